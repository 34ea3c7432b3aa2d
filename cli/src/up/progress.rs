//! How far the replay has come: a line that moves on a terminal, a line now and then elsewhere.

use std::{
    io::{IsTerminal, Write, stderr},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// How many requests are done.
#[derive(Debug)]
pub(super) struct Progress {
    total: usize,
    done: AtomicUsize,
}

impl Progress {
    pub(super) const fn new(total: usize) -> Self {
        Self { total, done: AtomicUsize::new(0) }
    }

    /// One more is done.
    pub(super) fn add(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Shows it until dropped.
    pub(super) async fn show(&self) {
        let is_terminal = stderr().is_terminal();
        let pause = if is_terminal { Duration::from_millis(200) } else { Duration::from_secs(5) };
        loop {
            tokio::time::sleep(pause).await;
            self.print(is_terminal);
        }
    }

    fn print(&self, is_terminal: bool) {
        let (done, total) = (self.done.load(Ordering::Relaxed), self.total);
        let percent = done * 100 / total.max(1);
        let (start, end) = if is_terminal { ("\r", "") } else { ("", "\n") };
        let mut stderr = stderr().lock();
        // Whoever closed the terminal needs no progress.
        _ = write!(stderr, "{start}replaying: {done} of {total} requests ({percent} %){end}");
        _ = stderr.flush();
    }
}
