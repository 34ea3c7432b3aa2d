//! Pipelines, each made once.

use std::{
    collections::HashMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use inference::DeviceError;
use shaders::Shader;
use wgpu::{
    BindGroupLayout, ComputePipeline, ComputePipelineDescriptor, PipelineCache,
    PipelineCompilationOptions, PipelineLayout, PipelineLayoutDescriptor, ShaderModuleDescriptor,
    ShaderSource,
};

use crate::device::{Driver, PipelineFile, leave_to_itself};

/// What a main thread has: how deep a driver's compiler goes, nobody says.
const STACK_BYTES: usize = 8 << 20;

/// The pipelines of an opened device, by shader, and the file that they are kept in.
pub(crate) struct Pipelines {
    by_shader: Mutex<HashMap<Shader, Arc<Making>>>,
    compiler: Arc<Compiler>,
    file: Option<PipelineFile>,
    saved: AtomicU64,
    /// How long a pipeline is waited for.
    within: Duration,
}

/// What makes pipelines.
struct Compiler {
    driver: Driver,
    layout: PipelineLayout,
    cache: Option<PipelineCache>,
    /// How many are being made.
    at_work: AtomicU64,
    made: AtomicU64,
}

/// A pipeline from when it is asked for first.
struct Making {
    since: Instant,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    made: Option<Result<ComputePipeline, DeviceError>>,
    /// That makes it, until somebody has waited for it.
    thread: Option<JoinHandle<()>>,
    is_told_late: bool,
}

impl Pipelines {
    pub(crate) fn new(
        driver: &Driver,
        bindings: &BindGroupLayout,
        kept: Option<(PipelineCache, PipelineFile)>,
        within: Duration,
    ) -> Self {
        let layout = driver.device().create_pipeline_layout(&PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(bindings)],
            immediate_size: 0,
        });
        let (cache, file) = kept.unzip();
        let compiler = Compiler {
            driver: driver.clone(),
            layout,
            cache,
            at_work: AtomicU64::new(0),
            made: AtomicU64::new(0),
        };
        let (by_shader, saved) = (Mutex::default(), AtomicU64::new(0));
        Self { by_shader, compiler: Arc::new(compiler), file, saved, within }
    }

    /// The pipeline of a shader. One that its device refused once is refused again.
    ///
    /// A driver compiles each on a thread of its own, which is left to itself where that takes too long:
    /// what it has by then is found by whoever asks next.
    ///
    /// # Errors
    /// Those of [`Driver::guarded`]; [`DeviceError::NotCompiled`].
    pub(crate) fn get(&self, shader: &Shader) -> Result<ComputePipeline, DeviceError> {
        self.making(shader).within(self.within, shader)
    }

    fn making(&self, shader: &Shader) -> Arc<Making> {
        let mut by_shader = self.by_shader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(making) = by_shader.get(shader) {
            return Arc::clone(making);
        }
        let making = Arc::new(Making::begun());
        by_shader.insert(shader.clone(), Arc::clone(&making));
        drop(by_shader);
        let (compiler, asked, told) =
            (Arc::clone(&self.compiler), shader.clone(), Arc::clone(&making));
        let thread = thread::Builder::new().name("kernel".to_owned()).stack_size(STACK_BYTES);
        let compile = move || {
            let made = compiler.compile(&asked);
            // Before anybody goes on: the device must not go with this thread.
            drop(compiler);
            told.end(made);
        };
        match thread.spawn(compile) {
            Ok(thread) => making.lock().thread = Some(thread),
            Err(error) => {
                making.end(Err(DeviceError::Refused { detail: format!("no thread: {error}") }));
            }
        }
        making
    }

    /// How many were made.
    pub(crate) fn made(&self) -> u64 {
        self.compiler.made.load(Ordering::Relaxed)
    }

    /// Writes the file, where there are pipelines that are not in it.
    pub(crate) fn save(&self) {
        let made = self.made();
        let Some((cache, file)) = self.compiler.cache.as_ref().zip(self.file.as_ref()) else {
            return;
        };
        // A driver may hold its cache for as long as it compiles.
        if self.compiler.is_at_work() || self.saved.swap(made, Ordering::Relaxed) == made {
            return;
        }
        if let Some(bytes) = cache.get_data()
            && let Err(error) = file.write(&bytes)
        {
            tracing::warn!(%error, "pipelines are not kept for the next start");
        }
    }
}

impl Compiler {
    fn compile(&self, shader: &Shader) -> Result<ComputePipeline, DeviceError> {
        self.at_work.fetch_add(1, Ordering::Relaxed);
        let name = shader.name();
        let made = self.driver.guarded(0, || {
            let device = self.driver.device();
            let module = device.create_shader_module(ShaderModuleDescriptor {
                label: Some(&name),
                source: ShaderSource::Wgsl(shader.wgsl().into()),
            });
            Ok(device.create_compute_pipeline(&ComputePipelineDescriptor {
                label: Some(&name),
                layout: Some(&self.layout),
                module: &module,
                entry_point: Some(Shader::ENTRY_POINT),
                // What workgroups share is zeroed before each: no kernel can read another's.
                compilation_options: PipelineCompilationOptions::default(),
                cache: self.cache.as_ref(),
            }))
        });
        match &made {
            Ok(_) => _ = self.made.fetch_add(1, Ordering::Relaxed),
            Err(error) => tracing::error!(%error, name, "a shader was refused"),
        }
        self.at_work.fetch_sub(1, Ordering::Relaxed);
        made
    }

    fn is_at_work(&self) -> bool {
        self.at_work.load(Ordering::Relaxed) > 0
    }
}

impl Making {
    fn begun() -> Self {
        Self { since: Instant::now(), state: Mutex::default(), ended: Condvar::new() }
    }

    /// Nothing under the lock panics half-way through a change.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, made: Result<ComputePipeline, DeviceError>) {
        self.lock().made = Some(made);
        self.ended.notify_all();
    }

    /// What it was made to, at the latest so long after it was begun.
    fn within(&self, within: Duration, shader: &Shader) -> Result<ComputePipeline, DeviceError> {
        let state = self.lock();
        let left = within.saturating_sub(self.since.elapsed());
        let waited = self.ended.wait_timeout_while(state, left, |state| state.made.is_none());
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let thread = state.thread.take();
        if let Some(made) = state.made.clone() {
            drop(state);
            // To its very end: it must not be in the driver any more when a process ends.
            _ = thread.map(JoinHandle::join);
            return made;
        }
        _ = thread.map(leave_to_itself);
        let late = DeviceError::NotCompiled { kernel: shader.name(), within };
        if !std::mem::replace(&mut state.is_told_late, true) {
            tracing::warn!(error = %late, "requests that need it are answered by the CPU");
        }
        Err(late)
    }
}
