//! A process that is started again when it ends unasked, as systemd or a kubelet would.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use super::{Child, Launch};

/// How often the process is looked at, and so about how long it stays down after a crash.
const WATCH: Duration = Duration::from_millis(20);

/// A process that does not even run this long was not started, but failed to start.
const SETTLED: Duration = Duration::from_secs(1);

/// After so many failures to start in a row it is left down.
const MAX_FAILURES: u32 = 5;

/// A process that is kept running.
#[derive(Debug)]
pub struct Service {
    launch: Launch,
    state: Arc<Mutex<State>>,
    watcher: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    child: Option<Child>,
    started: Instant,
    wanted: bool,
    ended: bool,
    restarts: u32,
    failures: u32,
}

impl Service {
    /// Starts the process and keeps it running.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(launch: Launch) -> Result<Self> {
        let state = State {
            child: Some(Child::spawn(&launch)?),
            started: Instant::now(),
            wanted: true,
            ended: false,
            restarts: 0,
            failures: 0,
        };
        let state = Arc::new(Mutex::new(state));
        let watcher = thread::Builder::new().name(format!("watch {}", launch.name)).spawn({
            let (launch, state) = (launch.clone(), Arc::clone(&state));
            move || watch(&launch, &state)
        })?;
        Ok(Self { launch, state, watcher: Some(watcher) })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.launch.name
    }

    /// How it is started.
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// The id of the process that runs now.
    pub fn pid(&self) -> Option<u32> {
        let mut state = self.lock();
        let child = state.child.as_mut()?;
        child.is_alive().then(|| child.pid())
    }

    /// Whether it runs now.
    pub fn is_alive(&self) -> bool {
        self.pid().is_some()
    }

    /// How often it ended unasked and was started again.
    pub fn restarts(&self) -> u32 {
        self.lock().restarts
    }

    /// Ends the process with SIGKILL; it is started again at once.
    pub fn crash(&self) {
        if let Some(child) = &mut self.lock().child {
            child.kill_hard();
        }
    }

    /// Ends the process with SIGKILL and leaves it down.
    pub fn kill_hard(&self) {
        let mut state = self.lock();
        state.wanted = false;
        if let Some(mut child) = state.child.take() {
            child.kill_hard();
        }
    }

    /// Ends the process in order and leaves it down.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.wanted = false;
        state.child = None;
    }

    /// Starts it again after [`Service::stop`] or [`Service::kill_hard`]; does nothing where it
    /// runs.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start_again(&self) -> Result<()> {
        let mut state = self.lock();
        if !state.child.as_mut().is_some_and(Child::is_alive) {
            state.child = Some(Child::spawn(&self.launch)?);
            state.started = Instant::now();
            state.failures = 0;
        }
        state.wanted = true;
        Ok(())
    }

    /// Starts another process of it, with `arguments` beside its own, which is watched from then on,
    /// and gives back the one before: it runs on until it ends by itself or is dropped.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn succeed(&self, arguments: &[&str]) -> Result<Option<Child>> {
        let mut state = self.lock();
        let next = Child::spawn(&self.launch.clone().args(arguments))?;
        state.started = Instant::now();
        Ok(state.child.replace(next))
    }

    /// Fails where it was given up: it ended right after its start, again and again.
    ///
    /// # Errors
    /// With the end of its log.
    pub fn check(&self) -> Result<()> {
        if self.lock().failures < MAX_FAILURES {
            return Ok(());
        }
        bail!(
            "{} ended right after its start {MAX_FAILURES} times; its log ends:\n{}",
            self.launch.name,
            self.log_tail(20)
        )
    }

    /// The last `lines` lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        self.launch.log_tail(lines)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.lock().ended = true;
        self.stop();
        if let Some(watcher) = self.watcher.take()
            && watcher.join().is_err()
        {
            tracing::error!(service = self.launch.name, "its watcher panicked");
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch(launch: &Launch, state: &Mutex<State>) {
    loop {
        thread::sleep(WATCH);
        let mut state = lock(state);
        if state.ended {
            return;
        }
        let Some(status) = state.child.as_mut().and_then(Child::exit_status) else {
            continue;
        };
        if !state.wanted || state.failures >= MAX_FAILURES {
            continue;
        }
        state.failures = if state.started.elapsed() < SETTLED { state.failures + 1 } else { 0 };
        tracing::warn!(service = launch.name, %status, "ended unasked; started again");
        if state.failures >= MAX_FAILURES {
            continue;
        }
        match Child::spawn(launch) {
            Ok(child) => {
                state.child = Some(child);
                state.started = Instant::now();
                state.restarts += 1;
            }
            Err(error) => {
                tracing::error!(service = launch.name, %error, "could not be started again");
                state.failures = MAX_FAILURES;
            }
        }
    }
}
