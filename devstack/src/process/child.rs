//! A process that is stopped when its handle is dropped.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};

use super::keeper::Keeper;

/// How long a process may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(5);

const POLL: Duration = Duration::from_millis(5);

/// How to start a process.
#[derive(Debug, Clone)]
pub struct Launch {
    /// What messages call it.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables added to its environment.
    pub environment: Vec<(String, String)>,
    /// The file that its output is appended to.
    pub log: PathBuf,
}

impl Launch {
    /// `program`, called `name`, with its log at `{logs}/{name}.log`.
    pub fn new(name: &str, program: impl Into<PathBuf>, logs: &Path) -> Self {
        Self {
            name: name.to_owned(),
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            log: logs.join(format!("{name}.log")),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds a variable to the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// The last `lines` lines of the log, for messages.
    pub fn log_tail(&self, lines: usize) -> String {
        tail(&self.log, lines).unwrap_or_else(|error| format!("(no log: {error})"))
    }
}

/// A running process, in a process group of its own, so that a Ctrl-C of the terminal does not
/// reach it before its owner stops it in order. Dropping it stops it; where its owner is killed and
/// drops nothing, the kernel ends it.
#[derive(Debug)]
pub struct Child {
    launch: Launch,
    child: std::process::Child,
    exited: Option<ExitStatus>,
    _keeper: Keeper,
}

impl Child {
    /// Starts it.
    ///
    /// # Errors
    /// Where its log cannot be opened or the program cannot be started.
    pub fn spawn(launch: &Launch) -> Result<Self> {
        let log = open_log(&launch.log)
            .with_context(|| format!("could not open the log {}", launch.log.display()))?;
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.arguments)
            .envs(launch.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        let (keeper, child) = Keeper::start(&launch.name, command).with_context(|| {
            format!("could not start {} ({})", launch.name, launch.program.display())
        })?;
        Ok(Self { launch: launch.clone(), child, exited: None, _keeper: keeper })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs.
    pub fn is_alive(&mut self) -> bool {
        self.exit_status().is_none()
    }

    /// How it ended, where it has.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        if self.exited.is_none() {
            self.exited = self.child.try_wait().ok().flatten();
        }
        self.exited
    }

    /// Ends it with SIGKILL, as a crash or the kernel's memory killer would.
    pub fn kill_hard(&mut self) {
        self.signal(Signal::KILL);
        self.await_exit(GRACE);
    }

    /// Ends it with SIGTERM, and with SIGKILL where that does not do it within five seconds.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        if !self.await_exit(GRACE) {
            tracing::warn!(process = self.launch.name, "did not end after SIGTERM; killed");
            self.kill_hard();
        }
    }

    /// The last `lines` lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        self.launch.log_tail(lines)
    }

    /// Only while it has not been waited for: until then its id is nobody else's.
    fn signal(&mut self, signal: Signal) {
        if self.exit_status().is_some() {
            return;
        }
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(Err(error)) = pid.map(|pid| kill_process_group(pid, signal)) {
            tracing::debug!(process = self.launch.name, %error, "could not be sent a signal");
        }
    }

    fn await_exit(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.is_alive() {
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(POLL);
        }
        true
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.stop();
    }
}

fn open_log(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

fn tail(path: &Path, lines: usize) -> std::io::Result<String> {
    const MAX_TAIL_BYTES: u64 = 16 << 10;
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    Ok(all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n"))
}
