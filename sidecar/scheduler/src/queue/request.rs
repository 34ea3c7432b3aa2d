//! What waits, what runs, and what is refused.

use std::time::Duration;

use tenancy::TenantId;

/// A point in time, as how long after an instant of the caller's choice. The queue has no clock.
pub type Time = Duration;

/// A request for an execution.
#[derive(Debug, Clone)]
pub struct Request<K, T> {
    /// Whose it is, and who is charged.
    pub tenant: TenantId,
    /// What is executed. Executions of one kind and size cost the same, and requests of one kind
    /// may run as one where they may be joined at all.
    pub kind: K,
    /// How many rows it has.
    pub rows: u64,
    /// How much memory its payload holds while it waits.
    pub bytes: u64,
    /// Whether it may run together with others of its kind.
    pub join: Option<Join>,
    /// When its answer is worth nothing any more.
    pub deadline: Option<Time>,
    /// What the caller wants back when it is to run.
    pub payload: T,
}

/// How requests of one kind run together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Join {
    /// The most rows that run as one.
    pub max_rows: u64,
    /// How long a request waits for company, whether or not there is a free processor. Zero makes
    /// batches of what waits anyway.
    pub wait: Duration,
}

/// The name of a request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

/// The name of an execution that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub(super) u64);

/// An execution: one request, or several of one kind.
#[derive(Debug)]
pub struct Batch<T> {
    /// Its name, for [`super::Queue::finish`].
    pub id: RunId,
    /// Its requests, the one that was due first.
    pub members: Vec<Member<T>>,
}

/// A request that is to run now.
#[derive(Debug)]
pub struct Member<T> {
    /// Whose it is.
    pub tenant: TenantId,
    /// How many rows it has.
    pub rows: u64,
    /// How long it waited.
    pub waited: Duration,
    /// What came with it.
    pub payload: T,
}

/// What a free processor should do.
#[derive(Debug)]
pub enum Next<T> {
    /// Run this.
    Run(Batch<T>),
    /// Ask again at this time, or when something changes.
    NotBefore(Time),
    /// Ask again when something changes.
    Nothing,
}

/// What may wait on a node, of all tenants together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// The most requests.
    pub requests: usize,
    /// The most bytes of them: see [`Request::bytes`].
    pub bytes: u64,
}

/// Why a request is not executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As many of the tenant's requests wait as may.
    #[error("expected fewer than {most} requests of this tenant to be waiting: try again later")]
    TenantFull {
        /// The most that may wait.
        most: u32,
    },
    /// As many requests wait as may, and of no tenant more than of this one.
    #[error("expected fewer than {most} requests to be waiting on this node: try again later")]
    Full {
        /// The most that may wait.
        most: usize,
    },
    /// As much memory as may is held by what waits, and of no tenant more for its weight than of this
    /// one with the request: it has its part.
    #[error(
        "expected fewer bytes of this tenant to be waiting, of the {most} on this node: try again \
         later"
    )]
    BytesFull {
        /// The most bytes that may wait.
        most: u64,
    },
    /// It alone holds more memory than all that waits may.
    #[error(
        "expected a request of at most {most} bytes in memory, found {bytes}: ask for fewer rows at \
         once"
    )]
    TooLarge {
        /// What it holds.
        bytes: u64,
        /// The most bytes that may wait.
        most: u64,
    },
    /// It would be answered too late.
    #[error("expected {left:?} to be enough for this request, found that it takes {needs:?}")]
    TooLate {
        /// What is left until its deadline.
        left: Duration,
        /// What executions of its kind take.
        needs: Duration,
    },
}

impl Refused {
    /// A name for metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TenantFull { .. } => "tenant_queue_full",
            Self::Full { .. } => "queue_full",
            Self::BytesFull { .. } => "queue_bytes_full",
            Self::TooLarge { .. } => "too_large",
            Self::TooLate { .. } => "deadline",
        }
    }
}
