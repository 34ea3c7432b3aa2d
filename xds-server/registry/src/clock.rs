//! Where the time comes from.

use std::sync::Arc;

use jiff::Timestamp;

/// Tells the time; a test sets it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The machine's clock.
pub fn system_clock() -> Clock {
    Arc::new(Timestamp::now)
}
