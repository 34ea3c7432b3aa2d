//! Starting a process that ends with whoever started it, even where that one is ended by SIGKILL and
//! can stop nothing any more.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Child, Command},
    sync::mpsc,
    thread,
};

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

/// The thread that a process was started by. The kernel ends a process when the *thread* that made
/// it is gone (prctl(2), `PR_SET_PDEATHSIG`), so this one stays until it is dropped.
#[derive(Debug)]
pub(super) struct Keeper {
    _released: mpsc::Sender<()>,
}

impl Keeper {
    /// Starts `command`, called `name`, as a process that gets SIGKILL when this process or the
    /// returned keeper is gone.
    pub(super) fn start(name: &str, mut command: Command) -> io::Result<(Self, Child)> {
        end_with(&mut command, getpid());
        let (started, start) = mpsc::sync_channel(1);
        let (released, release) = mpsc::channel::<()>();
        thread::Builder::new().name(format!("keep {name}")).spawn(move || {
            // Where nobody waits for it any more, nobody holds the other end either.
            let _ = started.send(command.spawn());
            let _ = release.recv();
        })?;
        let child = start.recv().map_err(io::Error::other)??;
        Ok((Self { _released: released }, child))
    }
}

#[allow(unsafe_code, reason = "the kernel is asked between fork and exec")]
fn end_with(command: &mut Command, parent: Pid) {
    let ask = move || -> io::Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may be gone already, and then no signal comes.
        match getppid() {
            Some(found) if found == parent => Ok(()),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed: `ask` makes two system
    // calls, and neither it nor what it returns allocates or takes a lock.
    unsafe { command.pre_exec(ask) };
}
