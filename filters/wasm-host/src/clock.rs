//! Time that only the embedder moves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The time that guests see, by `proxy_get_current_time_nanoseconds` and by WASI's clocks alike.
///
/// It stands still until it is told to move. Clones share one time, so a test keeps one handle and
/// gives another to each VM.
///
/// ```
/// use std::time::Duration;
/// use wasm_host::Clock;
///
/// let clock = Clock::at(Duration::from_secs(1_700_000_000));
/// let vms_clock = clock.clone();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(vms_clock.now(), Duration::from_secs(1_700_000_060));
/// ```
#[derive(Clone, Debug)]
pub struct Clock {
    reading: Arc<Mutex<Reading>>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    /// Since the Unix epoch.
    realtime: Duration,
    /// Since the clock was made; never goes back.
    monotonic: Duration,
}

impl Clock {
    /// A clock that shows this time since the Unix epoch.
    #[must_use]
    pub fn at(since_epoch: Duration) -> Self {
        Self {
            reading: Arc::new(Mutex::new(Reading {
                realtime: since_epoch,
                monotonic: Duration::ZERO,
            })),
        }
    }

    /// Time since the Unix epoch.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.lock().realtime
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut reading = self.lock();
        reading.realtime = reading.realtime.saturating_add(by);
        reading.monotonic = reading.monotonic.saturating_add(by);
    }

    /// Puts the wall clock to this time since the Unix epoch, as an operator would: the monotonic
    /// clock does not move.
    pub fn set(&self, since_epoch: Duration) {
        self.lock().realtime = since_epoch;
    }

    /// Time since the clock was made. Timers and timeouts run on it: [`Clock::set`] does not touch them.
    pub(crate) fn monotonic(&self) -> Duration {
        self.lock().monotonic
    }

    pub(crate) fn realtime_nanoseconds(&self) -> u64 {
        nanoseconds(self.lock().realtime)
    }

    pub(crate) fn monotonic_nanoseconds(&self) -> u64 {
        nanoseconds(self.lock().monotonic)
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Clock {
    /// 2001-09-09T01:46:40Z: a round number (10^9 s) that no real run shows.
    fn default() -> Self {
        Self::at(Duration::from_secs(1_000_000_000))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
