//! The device: opened by configuration, and again after it was lost.

mod adapters;
mod choice;
mod driver;
mod fastest;
mod opened;
mod pipeline_file;
mod threads;
mod trial;
mod trusted;

use std::{
    convert::Infallible,
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use inference::DeviceError;

pub use adapters::{Adapter, adapters};
pub use choice::Choice;
pub(crate) use driver::Driver;
pub(crate) use opened::Opened;
pub(crate) use pipeline_file::PipelineFile;
pub use threads::driver_threads_end_within;
pub(crate) use threads::leave_to_itself;

/// The longest time between two tries to open a lost device.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// How a device is used.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which one.
    pub choice: Choice,
    /// The most bytes of its memory that are taken, for weights and for runs.
    pub budget_bytes: u64,
    /// The most bytes of it that one run takes. A request that needs more is answered by several runs,
    /// where its rows can be told apart, and else by the CPU.
    pub run_bytes: u64,
    /// How long a submission may take before the device is taken for hung.
    pub hang_after: Duration,
    /// How long requests wait for its driver to compile a kernel before they are answered without the
    /// device, until it is there.
    pub compile_within: Duration,
    /// How long after a loss the device is opened again; twice as long after each time that fails.
    pub reopen_after: Duration,
    /// Whether products with 16-bit weights may be computed by the adapter's cooperative matrices. Rows
    /// are rounded to 16 bits for them, and what is beyond 65,504 becomes infinite. No GPU has run that
    /// kernel yet, only a driver that computes on the CPU, so it is for who measures it.
    pub cooperative_matrices: bool,
    /// A folder in which pipelines are kept between two starts.
    pub pipelines: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            choice: Choice::Auto,
            budget_bytes: 1 << 30,
            run_bytes: u64::MAX,
            hang_after: Duration::from_secs(10),
            compile_within: Duration::from_secs(30),
            reopen_after: Duration::from_millis(500),
            cooperative_matrices: false,
            pipelines: None,
        }
    }
}

/// What a device holds and what became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeviceStats {
    /// Bytes of its memory that are taken now.
    pub bytes: u64,
    /// The most that may be.
    pub budget_bytes: u64,
    /// How many times it was lost.
    pub losses: u64,
    /// Whether it is open now.
    pub is_open: bool,
    /// How many pipelines were made since it was opened.
    pub pipelines: u64,
}

/// A device, from its first opening on, whatever becomes of it. Clones are handles on the same.
#[derive(Clone)]
pub struct Device {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    state: Mutex<State>,
}

struct State {
    /// None while it is lost.
    opened: Option<Arc<Opened>>,
    adapter: Adapter,
    generation: u64,
    losses: u64,
    /// Goes with the device, which ends the thread that opens it again.
    reopening: Option<Sender<Infallible>>,
}

impl Device {
    /// Opens the device that `settings` choose.
    ///
    /// # Errors
    /// [`DeviceError::None`] where there is none such, or it is off; [`DeviceError::Refused`] where
    /// its driver does not open it.
    pub fn open(settings: Settings) -> Result<Self, DeviceError> {
        let opened = Opened::new(&settings, 0)?;
        tracing::info!(adapter = %opened.adapter, budget_bytes = settings.budget_bytes, "a device is used");
        Ok(Self::of(opened, settings))
    }

    fn of(opened: Arc<Opened>, settings: Settings) -> Self {
        let adapter = opened.adapter.clone();
        let state =
            State { opened: Some(opened), adapter, generation: 0, losses: 0, reopening: None };
        Self { inner: Arc::new(Inner { settings, state: Mutex::new(state) }) }
    }

    /// Which device it is.
    pub fn adapter(&self) -> Adapter {
        self.inner.lock().adapter.clone()
    }

    /// What it holds and what became of it.
    pub fn stats(&self) -> DeviceStats {
        let state = self.inner.lock();
        let opened = state.opened.as_ref().filter(|it| it.lost().is_none());
        DeviceStats {
            bytes: opened.map_or(0, |it| it.budget.used()),
            budget_bytes: self.inner.settings.budget_bytes,
            losses: state.losses,
            is_open: opened.is_some(),
            pipelines: opened.map_or(0, |it| it.pipelines.made()),
        }
    }

    /// Whether it is open, as far as is known.
    pub fn is_open(&self) -> bool {
        self.inner.lock().opened.as_ref().is_some_and(|it| it.lost().is_none())
    }

    /// As if it were lost, for tests: it is opened again as after any loss.
    pub fn lose(&self) {
        if let Ok(opened) = self.opened() {
            opened.lose();
        }
    }

    /// Looks whether the device is lost, after it failed at something: that is known to who polls it.
    /// Where it is, it begins to be opened again.
    pub(crate) fn look(&self) {
        if let Ok(opened) = self.opened()
            && opened.poll().is_err()
        {
            _ = self.opened();
        }
    }

    /// The device as it is open now. Where it is found lost, it begins to be opened again.
    pub(crate) fn opened(&self) -> Result<Arc<Opened>, DeviceError> {
        let mut state = self.inner.lock();
        let Some(opened) = &state.opened else {
            return Err(DeviceError::Lost { detail: "it is being opened again".to_owned() });
        };
        let Some(lost) = opened.lost() else { return Ok(Arc::clone(opened)) };
        tracing::warn!(adapter = %state.adapter, %lost, "requests are answered by the CPU");
        let gone = state.opened.take();
        state.losses += 1;
        state.generation += 1;
        let generation = state.generation;
        let (held, goes) = mpsc::channel();
        state.reopening = Some(held);
        drop(state);
        drop(gone);
        let inner = Arc::downgrade(&self.inner);
        let thread = thread::Builder::new().name("device".to_owned());
        match thread.spawn(move || reopen(&inner, &goes, generation)) {
            Ok(thread) => leave_to_itself(thread),
            Err(error) => {
                tracing::error!(%error, "no thread to open the device again: it stays lost");
            }
        }
        Err(lost)
    }
}

impl Inner {
    /// Nothing under the lock panics half-way through a change.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a lost device again, for as long as anybody has it: until it `goes`.
fn reopen(device: &Weak<Inner>, goes: &Receiver<Infallible>, generation: u64) {
    let Some(mut pause) = device.upgrade().map(|it| it.settings.reopen_after) else { return };
    loop {
        if goes.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        let Some(inner) = device.upgrade() else { return };
        match Opened::new(&inner.settings, generation) {
            Ok(opened) => {
                tracing::info!(adapter = %opened.adapter, "a lost device is back");
                let mut state = inner.lock();
                // Where several are to choose from, it can be another.
                state.adapter = opened.adapter.clone();
                state.opened = Some(opened);
                return;
            }
            Err(error) => {
                tracing::warn!(%error, after = ?pause, "a lost device is not back");
                pause = pause.saturating_mul(2).min(LONGEST_BACKOFF);
            }
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({}, {:?})", self.adapter(), self.stats())
    }
}
