//! Where events are shipped to.

use std::{future::Future, time::Duration};

use crate::event::UsageEvent;

/// A receiver of usage events that makes them durable before it says so, and counts each
/// [`UsageEvent::id`] once.
pub trait Sink: Send + Sync {
    /// Ships events. `Ok` means that the receiver has all of them durably.
    ///
    /// The same events may be shipped any number of times: after an error, after a crash, and
    /// where an acknowledgement was lost.
    fn ship(&self, events: &[UsageEvent]) -> impl Future<Output = Result<(), ShipError>> + Send;
}

/// Why events were not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShipError {
    /// The receiver could not be reached, failed, or is not set up: the same events may be
    /// taken later.
    #[error("expected the usage receiver to take events, found {detail}")]
    Unavailable {
        /// What happened.
        detail: String,
        /// How long the receiver asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// The receiver understood the request and refuses what is in it: the same events will be
    /// refused again.
    #[error("expected the usage receiver to take events, found them refused ({status}): {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the receiver said.
        detail: String,
    },
}
