//! A device that is open.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use inference::DeviceError;
use wgpu::{
    BindGroupLayout, BindGroupLayoutDescriptor, BindGroupLayoutEntry, BindingType,
    BufferBindingType, DeviceDescriptor, Features, ShaderStages,
};

use super::{
    Adapter, Settings,
    adapters::{Found, chosen},
    driver::Driver,
    leave_to_itself,
    pipeline_file::PipelineFile,
    trusted,
};
use crate::{
    memory::{Budget, Families, Pools},
    pipelines::Pipelines,
};

/// What is asked for where an adapter has it.
const WANTED: [Features; 5] = [
    Features::SUBGROUP,
    Features::SHADER_F16,
    Features::TIMESTAMP_QUERY,
    Features::PIPELINE_CACHE,
    Features::EXPERIMENTAL_COOPERATIVE_MATRIX,
];

/// One opening of a device, from its start to its loss, and all that was made on it.
pub(crate) struct Opened {
    driver: Driver,
    pub(crate) queue: wgpu::Queue,
    pub(crate) adapter: Adapter,
    pub(crate) limits: shaders::Limits,
    /// The most bytes of an arena.
    pub(crate) run_bytes: u64,
    /// The most bytes of one buffer.
    pub(crate) buffer_bytes: u64,
    /// How long a tick of its clock is, where it tells how long kernels take.
    pub(crate) tick_nanoseconds: Option<f32>,
    pub(crate) bindings: BindGroupLayout,
    pub(crate) pipelines: Pipelines,
    pub(crate) budget: Arc<Budget>,
    pub(crate) pools: Pools,
    pub(crate) families: Families,
    /// Which opening it is: none has the number of another.
    pub(crate) generation: u64,
    hang_after: Duration,
}

impl Opened {
    /// Opens the device that `settings` choose.
    pub(super) fn new(settings: &Settings, generation: u64) -> Result<Arc<Self>, DeviceError> {
        let (_instance, found) = chosen(settings)?;
        Self::of(&found, settings, generation)
    }

    /// Opens this device.
    pub(super) fn of(
        found: &Found,
        settings: &Settings,
        generation: u64,
    ) -> Result<Arc<Self>, DeviceError> {
        let opening = AssertUnwindSafe(|| Self::open(found, settings, generation));
        // A driver that panics inside is a device that cannot be opened.
        catch_unwind(opening).unwrap_or_else(|_| {
            Err(DeviceError::Refused { detail: "its driver failed while it was opened".to_owned() })
        })
    }

    fn open(found: &Found, settings: &Settings, generation: u64) -> Result<Arc<Self>, DeviceError> {
        let chosen = &found.adapter;
        let info = chosen.get_info();
        let mut features =
            chosen.features() & WANTED.into_iter().fold(Features::empty(), |a, b| a | b);
        let cooperative = found.cooperative_matrix().filter(|_| settings.cooperative_matrices);
        if cooperative.is_none() {
            features.remove(Features::EXPERIMENTAL_COOPERATIVE_MATRIX);
        }
        let limits = chosen.limits();
        let descriptor = DeviceDescriptor {
            label: None,
            required_features: features,
            required_limits: limits.clone(),
            experimental_features: if cooperative.is_some() {
                trusted::experimental()
            } else {
                wgpu::ExperimentalFeatures::disabled()
            },
            ..DeviceDescriptor::default()
        };
        let (device, queue) = pollster::block_on(chosen.request_device(&descriptor))
            .map_err(|error| DeviceError::Refused { detail: error.to_string() })?;
        let driver = Driver::new(device);
        let device = driver.device();
        let file = settings.pipelines.as_deref().zip(wgpu::util::pipeline_cache_key(&info));
        let file = file.map(|(folder, key)| PipelineFile::new(folder, &key));
        let file = file.filter(|_| features.contains(Features::PIPELINE_CACHE));
        let cache = file.as_ref().map(|it| trusted::pipeline_cache(device, it.read().as_deref()));
        let bindings = bindings(device);
        let pipelines =
            Pipelines::new(&driver, &bindings, cache.zip(file), settings.compile_within);
        let tick = features.contains(Features::TIMESTAMP_QUERY);
        Ok(Arc::new(Self {
            adapter: found.adapter(),
            limits: shaders::Limits {
                subgroup_size: info.subgroup_max_size,
                cooperative_matrix: cooperative,
                ..limits_of(&limits, features)
            },
            run_bytes: settings.run_bytes.min(limits.max_storage_buffer_binding_size),
            buffer_bytes: limits.max_buffer_size,
            tick_nanoseconds: tick.then(|| queue.get_timestamp_period()),
            bindings,
            pipelines,
            budget: Arc::new(Budget::new(settings.budget_bytes)),
            pools: Pools::default(),
            families: Families::default(),
            generation,
            hang_after: settings.hang_after,
            driver,
            queue,
        }))
    }

    pub(crate) const fn device(&self) -> &wgpu::Device {
        self.driver.device()
    }

    /// Why it is lost, where it is.
    pub(crate) fn lost(&self) -> Option<DeviceError> {
        self.driver.lost()
    }

    pub(crate) fn say_lost(&self, detail: impl Into<String>) -> DeviceError {
        self.driver.say_lost(detail)
    }

    /// [`Driver::guarded`], for work with all that was made on the device.
    pub(crate) fn guarded<T>(
        &self,
        bytes: u64,
        work: impl FnOnce(&Self) -> Result<T, DeviceError>,
    ) -> Result<T, DeviceError> {
        self.driver.guarded(bytes, || work(self))
    }

    /// How long it may take to answer.
    pub(crate) const fn hang_after(&self) -> Duration {
        self.hang_after
    }

    /// Waits until what was submitted as `index` is done. Where that takes longer than is declared,
    /// the device hangs, and is lost.
    pub(crate) fn wait(&self, index: wgpu::SubmissionIndex) -> Result<(), DeviceError> {
        let timeout = Some(self.hang_after);
        let wait = wgpu::PollType::Wait { submission_index: Some(index), timeout };
        match self.device().poll(wait) {
            Ok(_) => Ok(()),
            Err(wgpu::PollError::Timeout) => {
                Err(self.say_lost(format!("it did not answer within {:?}", self.hang_after)))
            }
            // The submission was refused, which its error scope tells.
            Err(error) => Err(DeviceError::Refused { detail: error.to_string() }),
        }
    }

    /// Takes note of what happened on the device since.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] where it is lost.
    pub(super) fn poll(&self) -> Result<(), DeviceError> {
        self.guarded(0, |opened| {
            _ = opened.device().poll(wgpu::PollType::Poll);
            Ok(())
        })
    }

    /// As if it were lost: for tests.
    pub(super) fn lose(&self) {
        self.device().destroy();
    }

    /// Keeps pipelines that were made since, for the next start.
    pub(crate) fn save_pipelines(&self) {
        self.pipelines.save();
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.pipelines.save();
        self.pools.clear();
        if self.lost().is_some() {
            // wgpu waits for a queue that goes, and asserts that it is empty. What hangs is waited for
            // on a thread of its own, which may fail.
            let (driver, queue) = (self.driver.clone(), self.queue.clone());
            let thread = thread::Builder::new().name("lost-device".to_owned());
            _ = thread.spawn(move || drop((queue, driver))).map(leave_to_itself);
        }
    }
}

fn bindings(device: &wgpu::Device) -> BindGroupLayout {
    let entry = |binding, read_only, has_dynamic_offset| BindGroupLayoutEntry {
        binding,
        visibility: ShaderStages::COMPUTE,
        ty: BindingType::Buffer {
            ty: BufferBindingType::Storage { read_only },
            has_dynamic_offset,
            min_binding_size: None,
        },
        count: None,
    };
    let entries = [entry(0, false, false), entry(1, true, false), entry(2, true, true)];
    device.create_bind_group_layout(&BindGroupLayoutDescriptor { label: None, entries: &entries })
}

fn limits_of(limits: &wgpu::Limits, features: Features) -> shaders::Limits {
    shaders::Limits {
        workgroup_invocations: limits.max_compute_invocations_per_workgroup,
        workgroup_size: [
            limits.max_compute_workgroup_size_x,
            limits.max_compute_workgroup_size_y,
            limits.max_compute_workgroup_size_z,
        ],
        workgroup_storage_bytes: limits.max_compute_workgroup_storage_size,
        workgroups_per_dimension: limits.max_compute_workgroups_per_dimension,
        binding_bytes: limits.max_storage_buffer_binding_size,
        subgroups: features.contains(Features::SUBGROUP),
        f16: features.contains(Features::SHADER_F16),
        ..shaders::Limits::default()
    }
}
