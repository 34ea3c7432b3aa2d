//! Usage: events counted once, hourly sums, and the proof that one is the sum of the other.

mod event;
mod ledger;
mod period;
mod record;

pub(crate) use event::Countable;
pub use event::{Quarantined, UsageEvent};
pub use ledger::{Ledger, Recorded};
pub use period::{Granularity, Period, PeriodError, parse_period};
pub use record::{Reconciliation, UsageQuery, UsageRecord};
