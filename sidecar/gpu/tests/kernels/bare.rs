//! Dispatches alone, over memory that a test sees all of.

use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock},
};

use inference::plan::{ArchivedPlan, Place, Value, rows};
use shaders::{Dispatch, Group, Limits, Part, Run, Shader, Unsupported, Weights};
use wgpu::util::DeviceExt;

use crate::{case::Case, llvmpipe};

/// What words of the arena hold that nobody wrote.
pub const UNTOUCHED: u32 = 0xdead_beef;

/// A device without anything around it.
pub struct Bare {
    device: wgpu::Device,
    queue: wgpu::Queue,
    layout: wgpu::BindGroupLayout,
    pipelines: Mutex<HashMap<Shader, wgpu::ComputePipeline>>,
    pub limits: Limits,
}

/// A plan with its weights in a slab, and room for a run of it.
pub struct Laid {
    archive: rkyv::util::AlignedVec,
    dimensions: Vec<usize>,
    places: Vec<u32>,
    lengths: Vec<usize>,
    pub arena: Vec<u32>,
    matrices: Vec<u64>,
    constants: u64,
    slot_words: u64,
}

impl Laid {
    /// The plan of a case for so many rows, and a slot with its weights.
    pub fn new(case: &Case, batch: i64) -> (Self, Vec<u32>) {
        let archive = rkyv::to_bytes::<rkyv::rancor::Error>(&case.plan).unwrap();
        let plan = rkyv::access::<ArchivedPlan, rkyv::rancor::Error>(&archive).unwrap();
        let dimensions: Vec<usize> =
            plan.dimensions.iter().map(|it| it.evaluate(&[batch]).unwrap()).collect();
        let mut next = 128_usize;
        let mut place = |words: usize| {
            let start = next;
            // Words between two values belong to none.
            next = (start + words + 1).next_multiple_of(64);
            start as u32
        };
        let count = |value: &Value| -> usize {
            value.shape.iter().map(|at| dimensions[*at as usize]).product()
        };
        let lengths: Vec<usize> = case.plan.values.iter().map(count).collect();
        let mut slots = vec![0; case.plan.slots as usize];
        for (value, length) in case.plan.values.iter().zip(&lengths) {
            if let Place::Slot(slot) = value.place {
                slots[slot as usize] = slots[slot as usize].max(2 * length);
            }
        }
        let slots: Vec<u32> = slots.into_iter().map(&mut place).collect();
        let places =
            case.plan.values.iter().zip(&lengths).map(|(value, length)| match value.place {
                Place::Slot(slot) => slots[slot as usize],
                Place::Input(_) => place(2 * length),
                Place::Constant(_) => 0,
            });
        let places = places.collect();
        let arena = vec![UNTOUCHED; next];
        let (mut slot, mut matrices) = (vec![], vec![]);
        for panels in case.panels(16) {
            matrices.push(slot.len() as u64 / 4);
            slot.extend(panels);
        }
        let constants = slot.len() as u64 / 4;
        slot.extend(&case.constants);
        slot.resize(slot.len().next_multiple_of(256), 0);
        let slot: Vec<u32> =
            slot.chunks_exact(4).map(|it| u32::from_le_bytes(it.try_into().unwrap())).collect();
        let slot_words = slot.len() as u64;
        let laid =
            Self { archive, dimensions, places, lengths, arena, matrices, constants, slot_words };
        (laid, slot)
    }

    pub fn plan(&self) -> &ArchivedPlan {
        rkyv::access::<ArchivedPlan, rkyv::rancor::Error>(&self.archive).unwrap()
    }

    /// Writes a value of F32.
    pub fn write(&mut self, value: u32, numbers: &[f32]) {
        let start = self.places[value as usize] as usize;
        assert_eq!(numbers.len(), self.lengths[value as usize]);
        for (to, from) in self.arena[start..].iter_mut().zip(numbers) {
            *to = from.to_bits();
        }
    }

    /// Reads a value of F32 out of the arena, and asserts that all other words are what they were.
    pub fn read(&self, after: &[u32], values: &[u32], value: u32) -> Vec<f32> {
        let range = |value: u32| {
            let start = self.places[value as usize] as usize;
            start..start + self.lengths[value as usize]
        };
        let written: Vec<_> = values.iter().map(|it| range(*it)).collect();
        for (at, (after, before)) in after.iter().zip(&self.arena).enumerate() {
            let is_written = written.iter().any(|it| it.contains(&at));
            assert!(is_written || after == before, "word {at} was written");
        }
        after[range(value)].iter().map(|it| f32::from_bits(*it)).collect()
    }

    /// The words of a value.
    pub fn words<'a>(&self, after: &'a [u32], value: u32) -> &'a [u32] {
        let start = self.places[value as usize] as usize;
        &after[start..start + self.lengths[value as usize]]
    }

    pub fn dispatches(
        &self,
        groups: &[Group],
        parts: &[Part<'_>],
        slab_words: u64,
        limits: &Limits,
    ) -> Result<Vec<Dispatch>, Unsupported> {
        let rows = rows(self.plan());
        let run = Run {
            plan: self.plan(),
            rows: &rows,
            dimensions: &self.dimensions,
            places: &self.places,
            arena_words: self.arena.len() as u32,
            weights: Weights {
                lanes: 16,
                matrices: &self.matrices,
                constants: self.constants,
                slot_words: self.slot_words,
            },
            slab_words,
            parts,
        };
        let all = groups.iter().map(|group| shaders::dispatches(&run, group, limits));
        Ok(all.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }
}

impl Bare {
    /// The device that tests share.
    pub fn get() -> Option<&'static Self> {
        static BARE: OnceLock<Option<Bare>> = OnceLock::new();
        BARE.get_or_init(|| {
            let name = llvmpipe::name();
            let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
            descriptor.backends = wgpu::Backends::VULKAN;
            let instance = wgpu::Instance::new(descriptor);
            let found = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN));
            let adapter = found.into_iter().find(|it| it.get_info().name.contains(&name));
            let Some(adapter) = adapter else {
                eprintln!("SKIPPED: no device is called {name}");
                return None;
            };
            Some(Self::of(&adapter))
        })
        .as_ref()
    }

    fn of(adapter: &wgpu::Adapter) -> Self {
        let limits = adapter.limits();
        let features = adapter.features() & wgpu::Features::SUBGROUP;
        let descriptor = wgpu::DeviceDescriptor {
            required_features: features,
            required_limits: limits.clone(),
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
        let entry = |binding, read_only| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: None,
            entries: &[entry(0, false), entry(1, true), entry(2, true)],
        });
        let limits = Limits {
            workgroup_invocations: limits.max_compute_invocations_per_workgroup,
            workgroup_storage_bytes: limits.max_compute_workgroup_storage_size,
            binding_bytes: limits.max_storage_buffer_binding_size,
            subgroups: !features.is_empty(),
            ..Limits::default()
        };
        Self { device, queue, layout, pipelines: Mutex::default(), limits }
    }

    /// Runs dispatches one after another over an arena and a slab, and gives the arena back.
    pub fn run(&self, dispatches: &[Dispatch], arena: &[u32], slab: &[u32]) -> Vec<u32> {
        let buffer = |words: &[u32]| {
            let contents: Vec<u8> = words.iter().flat_map(|it| it.to_le_bytes()).collect();
            self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: None,
                contents: &contents,
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
            })
        };
        let (memory, fixed) = (buffer(arena), buffer(slab));
        let mut encoder =
            self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for dispatch in dispatches {
            let params = buffer(&dispatch.params);
            let range = if dispatch.fixed.is_empty() {
                0..slab.len() as u64
            } else {
                dispatch.fixed.clone()
            };
            let binding = wgpu::BufferBinding {
                buffer: &fixed,
                offset: range.start * 4,
                size: wgpu::BufferSize::new((range.end - range.start) * 4),
            };
            let entries = [
                memory.as_entire_binding(),
                wgpu::BindingResource::Buffer(binding),
                params.as_entire_binding(),
            ];
            let entries: Vec<_> = (0..)
                .zip(entries)
                .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
                .collect();
            let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &self.layout,
                entries: &entries,
            });
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&self.pipeline(&dispatch.shader));
            pass.set_bind_group(0, &group, &[]);
            let [x, y, z] = dispatch.workgroups;
            pass.dispatch_workgroups(x, y, z);
        }
        let bytes = arena.len() as u64 * 4;
        let back = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        encoder.copy_buffer_to_buffer(&memory, 0, &back, 0, bytes);
        self.queue.submit([encoder.finish()]);
        back.slice(..).map_async(wgpu::MapMode::Read, |mapped| mapped.unwrap());
        self.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
        let mapped = back.slice(..).get_mapped_range().unwrap();
        mapped.chunks_exact(4).map(|it| u32::from_le_bytes(it.try_into().unwrap())).collect()
    }

    fn pipeline(&self, shader: &Shader) -> wgpu::ComputePipeline {
        let mut pipelines = self.pipelines.lock().unwrap();
        pipelines.entry(shader.clone()).or_insert_with(|| self.make(shader)).clone()
    }

    fn make(&self, shader: &Shader) -> wgpu::ComputePipeline {
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(shader.wgsl().into()),
        });
        let layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&self.layout)],
            immediate_size: 0,
        });
        self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&shader.name()),
            layout: Some(&layout),
            module: &module,
            entry_point: Some(Shader::ENTRY_POINT),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        })
    }
}
