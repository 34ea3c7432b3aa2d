//! The control plane's memory: what was declared, by whom and when, and what was used.
//!
//! Two stores, each one SQLite file. [`Registry`] holds the resources as an append-only, hashed
//! journal from which the state is folded. [`Ledger`] holds usage events and their hourly sums,
//! counted once each. They are two files because their lives differ: the journal is small, kept
//! for ever and must never wait; usage is large, written all the time and kept for as long as the
//! contract says. A damaged or full usage file then stops no tenant from being routed.
//!
//! A change is an [`Edit`]: it is planned against what holds ([`Plan`]: what would change, for whom,
//! and every mistake), and committed where nothing has changed since. What was committed together
//! is a [`ChangeSet`], and each can be looked at and gone back to.
//!
//! The crate knows neither Envoy nor HTTP nor where artifacts lie, and it does not depend on the
//! sidecar: [`UsageEvent`] is its own reading of the JSON that sidecars send.
//!
//! Start with [`Registry::plan`], then [`Turn::commit`], then [`State`], then [`Ledger::record`].

mod chain;
mod change;
mod clock;
mod edit;
mod error;
mod event;
mod history;
mod impact;
mod past;
mod registry;
mod sql;
mod state;
mod stored;
mod turn;
mod usage;

pub use change::{Change, FieldChange, What};
pub use clock::{Clock, system_clock};
pub use edit::{Edit, Plan};
pub use error::{ApplyError, ChainError, OpenError, PastError, StorageError};
pub use event::{
    ArtifactStored, CanaryEnded, CanaryOutcome, CanaryStarted, ChangeSetCommitted, Entry, Event,
    ResourceApplied, ResourceDeleted, RevisionPublished,
};
pub use history::ChangeSet;
pub use impact::{TenantImpact, impact};
pub use registry::{Head, Registry};
pub use state::State;
pub use turn::{Applied, By, Turn};
pub use usage::{
    Granularity, Ledger, Period, PeriodError, Quarantined, Reconciliation, Recorded, UsageEvent,
    UsageQuery, UsageRecord, parse_period,
};
