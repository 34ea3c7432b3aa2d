//! The control plane's memory: what was declared, by whom and when, and what was used.
//!
//! Two stores, each one SQLite file. [`Registry`] holds the resources as an append-only, hashed
//! journal from which the state is folded. [`Ledger`] holds usage events and their hourly sums,
//! counted once each. They are two files because their lives differ: the journal is small, kept
//! for ever and must never wait; usage is large, written all the time and kept for as long as the
//! contract says. A damaged or full usage file then stops no tenant from being routed.
//!
//! The crate knows neither Envoy nor HTTP nor where artifacts lie, and it does not depend on the
//! sidecar: [`UsageEvent`] is its own reading of the JSON that sidecars send.
//!
//! Start with [`Registry::apply`], then [`State`], then [`Ledger::record`].

mod chain;
mod change;
mod clock;
mod error;
mod event;
mod registry;
mod sql;
mod state;
mod stored;
mod usage;

pub use change::{Change, FieldChange, What};
pub use clock::{Clock, system_clock};
pub use error::{ApplyError, ChainError, OpenError, StorageError};
pub use event::{Entry, Event};
pub use registry::{Applied, Head, Registry};
pub use state::State;
pub use usage::{
    Granularity, Ledger, Period, PeriodError, Quarantined, Reconciliation, Recorded, UsageEvent,
    UsageQuery, UsageRecord, parse_period,
};
