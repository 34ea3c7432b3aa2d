//! Waiting, with an end to it.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

const PAUSE: Duration = Duration::from_millis(20);

/// Asks until the answer is `Ok(Some)`, for at most `patience`.
///
/// # Errors
/// What `ask` fails with, at once; and after `patience`, that `what` did not come.
pub async fn until<T>(
    what: &str,
    patience: Duration,
    mut ask: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("expected {what} within {} s", patience.as_secs_f64());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
