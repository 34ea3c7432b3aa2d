//! Where bodies are read into tensors and written from them: small ones at once, large ones on
//! threads where they hold up no connection.

use std::{num::NonZero, thread};

use tenancy::problem::Problem;
use tokio::{sync::Semaphore, task};

use crate::answer::Refusal;

/// What takes a connection's thread no longer than its own bookkeeping does: some hundred
/// microseconds of JSON.
const SMALL: usize = 16 * 1024;

/// Runs what reads and writes bodies.
pub(crate) struct Codec {
    /// How many large ones are at work at once, since inference wants the same cores.
    large: Semaphore,
}

impl Codec {
    /// As many large bodies at once as there are cores.
    pub(crate) fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self { large: Semaphore::new(cores) }
    }

    /// Runs `work`, which takes time by `size`: bytes, or elements.
    ///
    /// # Errors
    /// `internal` where it panicked.
    pub(crate) async fn run<T, F>(&self, size: usize, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        if size <= SMALL {
            return Ok(work());
        }
        // It is never closed.
        let _permit = self.large.acquire().await.ok();
        task::spawn_blocking(work).await.map_err(|_| {
            Refusal::new(Problem::Internal, "expected to read or write this body, failed to")
        })
    }
}
