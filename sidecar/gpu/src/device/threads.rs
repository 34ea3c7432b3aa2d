//! Threads that are in a driver while nobody waits for them.

use std::{
    sync::{Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Those of the process, for it is a process that ends.
static THREADS: Mutex<Vec<JoinHandle<()>>> = Mutex::new(vec![]);

/// How often it is looked whether one has ended.
const LOOKED_AFTER: Duration = Duration::from_millis(2);

/// Waits for this thread no more, but in [`driver_threads_end_within`].
pub(crate) fn leave_to_itself(thread: JoinHandle<()>) {
    let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    join_ended(&mut threads);
    threads.push(thread);
}

/// Waits until no thread that was left to itself is in a driver, for `within` at the most. Whether that
/// is so.
///
/// A process should ask before it ends: what a driver's libraries take down then, such a thread may be
/// using, and the process ends by a segmentation fault. None begins once all [`Device`](super::Device)s
/// and models on them are dropped, but one that a driver never lets go does not end either.
pub fn driver_threads_end_within(within: Duration) -> bool {
    let from = Instant::now();
    loop {
        let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
        join_ended(&mut threads);
        if threads.is_empty() {
            return true;
        }
        drop(threads);
        if from.elapsed() >= within {
            return false;
        }
        thread::sleep(LOOKED_AFTER);
    }
}

/// To join is to wait for what the libraries that a thread used do at its end, too.
fn join_ended(threads: &mut Vec<JoinHandle<()>>) {
    for ended in threads.extract_if(.., |it| it.is_finished()) {
        // One that panicked has told who waited for it.
        _ = ended.join();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_is_left_to_itself_is_waited_for_and_not_for_ever() {
        let (end, ended) = mpsc::channel::<()>();
        leave_to_itself(thread::spawn(move || _ = ended.recv()));
        assert!(!driver_threads_end_within(Duration::from_millis(20)));
        drop(end);
        assert!(driver_threads_end_within(Duration::from_secs(120)));
    }
}
