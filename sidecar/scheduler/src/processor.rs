//! Processors, processor time and who gives way to whom, as the operating system has them.

use std::{io, time::Duration};

use rustix::thread::{CpuSet, sched_setaffinity};

/// How much less the threads of the batch plane are worth: a tenth of the others' weight (`nice`).
const BATCH_NICENESS: i32 = 10;

/// The processor time that this thread has had.
#[allow(unsafe_code, reason = "no safe call reads this clock without a feature of a shared crate")]
pub(crate) fn time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one structure, which is borrowed for it. It cannot fail: Linux has this
    // clock, and if it did the structure would stay as it is.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Lets this thread run when no other wants its processor, and stop when one does.
pub(crate) fn give_way() {
    inference::give_way();
    if let Err(error) = set_policy(libc::SCHED_IDLE) {
        tracing::warn!(%error, "executions beyond their tenants' shares do not give way to others");
    }
}

/// Makes this thread, and those that it starts from now on, of the batch plane: they are worth less
/// than others, and take no processor away from one that wakes up.
///
/// # Errors
/// What the operating system says.
pub fn join_batch_plane() -> io::Result<()> {
    // Of the calling thread: on Linux priorities are threads'.
    rustix::process::setpriority_process(None, BATCH_NICENESS)?;
    set_policy(libc::SCHED_BATCH)
}

/// Keeps this thread, and those that it starts from now on, on `processors`, by number from 0.
///
/// # Errors
/// What the operating system says where it has none of them.
pub fn keep_on(processors: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for processor in processors {
        if *processor >= CpuSet::MAX_CPU {
            let found = format!("expected processors below {}, found {processor}", CpuSet::MAX_CPU);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, found));
        }
        set.set(*processor);
    }
    Ok(sched_setaffinity(None, &set)?)
}

#[allow(unsafe_code, reason = "no safe crate sets a thread's policy and leaves its niceness alone")]
fn set_policy(policy: libc::c_int) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the call reads one structure, which lives until it returns, and changes how the calling
    // thread (0) is scheduled, which no memory depends on.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
