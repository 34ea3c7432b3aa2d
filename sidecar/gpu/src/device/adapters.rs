//! What devices there are.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use inference::DeviceError;
use wgpu::{Backends, DeviceType, Instance, InstanceDescriptor, InstanceFlags};

use super::Choice;

/// A device that could be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// Its number, for [`Choice::Index`].
    pub index: usize,
    /// Its name.
    pub name: String,
    /// What drives it, with its version.
    pub driver: String,
    /// Whether it computes on the CPU, so that it is used where it is named alone.
    pub is_cpu: bool,
}

impl Adapter {
    pub(super) fn of(index: usize, info: &wgpu::AdapterInfo) -> Self {
        Self {
            index,
            name: info.name.clone(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            is_cpu: info.device_type == DeviceType::Cpu,
        }
    }
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.index, self.name, self.driver)
    }
}

/// The devices that there are: none where there is no Vulkan.
pub fn adapters() -> Vec<Adapter> {
    let found = found().1;
    found.iter().enumerate().map(|(at, it)| Adapter::of(at, &it.get_info())).collect()
}

/// The adapter that `choice` means, with its number. The instance has to live until it is opened.
pub(super) fn chosen(choice: &Choice) -> Result<(Instance, usize, wgpu::Adapter), DeviceError> {
    if *choice == Choice::Off {
        return Err(DeviceError::None);
    }
    // To look for a driver takes tens of milliseconds and megabytes, and most machines have no GPU.
    if *choice == Choice::Auto && !may_be_a_gpu() {
        return Err(DeviceError::None);
    }
    let (instance, found) = found();
    let rank = |adapter: &wgpu::Adapter| match adapter.get_info().device_type {
        DeviceType::DiscreteGpu => Some(0),
        DeviceType::IntegratedGpu => Some(1),
        DeviceType::VirtualGpu => Some(2),
        DeviceType::Other => Some(3),
        DeviceType::Cpu => None,
    };
    let is_named = |adapter: &wgpu::Adapter, name: &str| {
        adapter.get_info().name.to_lowercase().contains(&name.to_lowercase())
    };
    let mut found = found.into_iter().enumerate();
    let chosen = match choice {
        Choice::Off => None,
        Choice::Index(index) => found.find(|(at, _)| at == index),
        Choice::Named(name) => found.find(|(_, it)| is_named(it, name)),
        Choice::Auto => {
            let ranked = found.filter_map(|(at, it)| Some((rank(&it)?, at, it)));
            ranked.min_by_key(|(rank, at, _)| (*rank, *at)).map(|(_, at, it)| (at, it))
        }
    };
    chosen.map(|(at, adapter)| (instance, at, adapter)).ok_or(DeviceError::None)
}

/// Whether Linux has a device of the kinds that drivers of GPUs talk to.
fn may_be_a_gpu() -> bool {
    let has = |folder: &str, prefix: &str| {
        let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names = names.map(|it| it.file_name());
        names.any(|name| name.to_string_lossy().starts_with(prefix))
    };
    has("/dev/dri", "render") || ["nvidia", "dxg", "kgsl"].iter().any(|it| has("/dev", it))
}

fn found() -> (Instance, Vec<wgpu::Adapter>) {
    let instance = Instance::new(InstanceDescriptor {
        backends: Backends::VULKAN,
        // Validation by layers is for who writes shaders, and not there on most machines.
        flags: InstanceFlags::empty(),
        ..InstanceDescriptor::new_without_display_handle()
    });
    // A driver that fails in any way is as good as none.
    let adapters = catch_unwind(AssertUnwindSafe(|| {
        pollster::block_on(instance.enumerate_adapters(Backends::VULKAN))
    }));
    (instance, adapters.unwrap_or_default())
}
