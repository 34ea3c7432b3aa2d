//! Pipelines, each made once.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use inference::DeviceError;
use shaders::Shader;
use wgpu::{
    BindGroupLayout, ComputePipeline, ComputePipelineDescriptor, PipelineCache,
    PipelineCompilationOptions, PipelineLayout, PipelineLayoutDescriptor, ShaderModuleDescriptor,
    ShaderSource,
};

use crate::device::{Opened, PipelineFile};

type Made = Arc<OnceLock<Result<ComputePipeline, DeviceError>>>;

/// The pipelines of an opened device, by shader, and the file that they are kept in.
pub(crate) struct Pipelines {
    by_shader: Mutex<HashMap<Shader, Made>>,
    layout: PipelineLayout,
    kept: Option<(PipelineCache, PipelineFile)>,
    made: AtomicU64,
    saved: AtomicU64,
}

impl Pipelines {
    pub(crate) fn new(
        device: &wgpu::Device,
        bindings: &BindGroupLayout,
        kept: Option<(PipelineCache, PipelineFile)>,
    ) -> Self {
        let layout = device.create_pipeline_layout(&PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(bindings)],
            immediate_size: 0,
        });
        let (by_shader, made, saved) = (Mutex::default(), AtomicU64::new(0), AtomicU64::new(0));
        Self { by_shader, layout, kept, made, saved }
    }

    /// The pipeline of a shader. One that its device refused once is refused again.
    pub(crate) fn get(
        &self,
        opened: &Opened,
        shader: &Shader,
    ) -> Result<ComputePipeline, DeviceError> {
        let made = {
            let mut by_shader = self.by_shader.lock().unwrap_or_else(PoisonError::into_inner);
            match by_shader.get(shader) {
                Some(made) => Arc::clone(made),
                None => Arc::clone(by_shader.entry(shader.clone()).or_default()),
            }
        };
        // Outside of the lock: a driver takes milliseconds for one.
        made.get_or_init(|| self.make(opened, shader)).clone()
    }

    fn make(&self, opened: &Opened, shader: &Shader) -> Result<ComputePipeline, DeviceError> {
        let name = shader.name();
        let made = opened.guarded(0, |opened| {
            let module = opened.device.create_shader_module(ShaderModuleDescriptor {
                label: Some(&name),
                source: ShaderSource::Wgsl(shader.wgsl().into()),
            });
            Ok(opened.device.create_compute_pipeline(&ComputePipelineDescriptor {
                label: Some(&name),
                layout: Some(&self.layout),
                module: &module,
                entry_point: Some(Shader::ENTRY_POINT),
                // What workgroups share is zeroed before each: no kernel can read another's.
                compilation_options: PipelineCompilationOptions::default(),
                cache: self.kept.as_ref().map(|(cache, _)| cache),
            }))
        });
        match &made {
            Ok(_) => _ = self.made.fetch_add(1, Ordering::Relaxed),
            Err(error) => tracing::error!(%error, name, "a shader was refused"),
        }
        made
    }

    /// How many were made.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Writes the file, where there are pipelines that are not in it.
    pub(crate) fn save(&self) {
        let made = self.made();
        let Some((cache, file)) = &self.kept else { return };
        if self.saved.swap(made, Ordering::Relaxed) == made {
            return;
        }
        if let Some(bytes) = cache.get_data()
            && let Err(error) = file.write(&bytes)
        {
            tracing::warn!(%error, "pipelines are not kept for the next start");
        }
    }
}
