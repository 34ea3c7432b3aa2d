//! Phases of a task: what is being done, and how long it took.

use std::time::Instant;

use anyhow::Result;

/// Does `work`, saying before what it is and after how long it took.
pub(crate) fn phase<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("\n== {name}");
    let started = Instant::now();
    let done = work();
    let outcome = if done.is_ok() { "done" } else { "FAILED" };
    eprintln!("== {name}: {outcome} in {:.1} s", started.elapsed().as_secs_f64());
    done
}
