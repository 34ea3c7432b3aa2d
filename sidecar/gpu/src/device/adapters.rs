//! What devices there are.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use inference::DeviceError;
use shaders::CooperativeMatrix;
use wgpu::{Backends, DeviceType, Features, Instance, InstanceDescriptor, InstanceFlags};

use super::{
    Choice, Settings,
    fastest::{Candidate, Speed, fastest},
    trial::measure,
};

/// A device that was not opened and measured within this is passed over. Drivers of GPUs take up to
/// two seconds to open one that nobody uses, and then a few milliseconds.
const MEASURED_WITHIN: Duration = Duration::from_secs(10);

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
    /// Whether it has cooperative matrices that kernels can use: see
    /// [`Settings::cooperative_matrices`](super::Settings::cooperative_matrices).
    pub has_cooperative_matrices: bool,
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.index, self.name, self.driver)
    }
}

/// The devices that there are: none where there is no Vulkan.
pub fn adapters() -> Vec<Adapter> {
    found().1.iter().map(Found::adapter).collect()
}

/// A device before it is opened, with its number.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) index: usize,
    pub(super) adapter: wgpu::Adapter,
}

impl Found {
    pub(super) fn adapter(&self) -> Adapter {
        let info = self.adapter.get_info();
        Adapter {
            index: self.index,
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            name: info.name,
            is_cpu: info.device_type == DeviceType::Cpu,
            has_cooperative_matrices: self.cooperative_matrix().is_some(),
        }
    }

    /// The largest cooperative matrices that kernels can use.
    pub(super) fn cooperative_matrix(&self) -> Option<CooperativeMatrix> {
        use wgpu::CooperativeScalarType::{F16, F32};
        let needed =
            Features::EXPERIMENTAL_COOPERATIVE_MATRIX | Features::SHADER_F16 | Features::SUBGROUP;
        let info = self.adapter.get_info();
        // Their kernel counts on subgroups of one size, whatever they are used for.
        if !self.adapter.features().contains(needed)
            || info.subgroup_min_size != info.subgroup_max_size
        {
            return None;
        }
        let sides = self.adapter.cooperative_matrix_properties().into_iter().filter_map(|it| {
            let is_square = it.m_size == it.n_size && it.n_size == it.k_size;
            let is_multiplied = is_square && it.ab_type == F16 && it.cr_type == F32;
            (is_multiplied && matches!(it.m_size, 8 | 16)).then_some(it.m_size)
        });
        let subgroup = info.subgroup_max_size;
        sides.max().map(|side| CooperativeMatrix { side, subgroup })
    }

    /// What its kind is worth; none where it is not chosen by itself.
    fn rank(&self) -> Option<u8> {
        match self.adapter.get_info().device_type {
            DeviceType::DiscreteGpu => Some(0),
            DeviceType::IntegratedGpu => Some(1),
            DeviceType::VirtualGpu => Some(2),
            DeviceType::Other => Some(3),
            DeviceType::Cpu => None,
        }
    }
}

/// The device that `settings` choose. The instance has to live until it is opened.
pub(super) fn chosen(settings: &Settings) -> Result<(Instance, Found), DeviceError> {
    let choice = &settings.choice;
    if *choice == Choice::Off {
        return Err(DeviceError::None);
    }
    // To look for a driver takes tens of milliseconds and megabytes, and most machines have no GPU.
    if *choice == Choice::Auto && !may_be_a_gpu() {
        return Err(DeviceError::None);
    }
    let (instance, found) = found();
    let is_named =
        |it: &Found, name: &str| it.adapter().name.to_lowercase().contains(&name.to_lowercase());
    let chosen = match choice {
        Choice::Off => None,
        Choice::Index(index) => found.into_iter().find(|it| it.index == *index),
        Choice::Named(name) => found.into_iter().find(|it| is_named(it, name)),
        Choice::Auto => {
            let ranked = found.into_iter().filter_map(|it| Some((it.rank()?, it)));
            fastest_of(ranked.collect(), |it| measure(it, settings, MEASURED_WITHIN))?
        }
    };
    Ok((instance, chosen.ok_or(DeviceError::None)?))
}

/// The fastest of these devices, each with the rank of its kind. A single one is not measured.
fn fastest_of(
    mut ranked: Vec<(u8, Found)>,
    measure: impl Fn(&Found) -> Result<Speed, DeviceError>,
) -> Result<Option<Found>, DeviceError> {
    if ranked.len() < 2 {
        return Ok(ranked.pop().map(|(_, it)| it));
    }
    let mut failed = None;
    let mut candidates = vec![];
    // One after another: two on one machine can be in each other's way.
    for (rank, it) in &ranked {
        let adapter = it.adapter();
        let speed = match measure(it) {
            Ok(speed) => {
                tracing::info!(%adapter, many = ?speed.many, one = ?speed.one, "a device was measured");
                Some(speed)
            }
            Err(error) => {
                tracing::warn!(%adapter, %error, "a device is passed over");
                failed = Some(error);
                None
            }
        };
        candidates.push(Candidate { rank: *rank, speed });
    }
    match (fastest(&candidates), failed) {
        (Some(at), _) => Ok(Some(ranked.swap_remove(at).1)),
        (None, Some(error)) => Err(error),
        (None, None) => Ok(None),
    }
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

pub(super) fn found() -> (Instance, Vec<Found>) {
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
    let found = adapters.unwrap_or_default().into_iter().enumerate();
    (instance, found.map(|(index, adapter)| Found { index, adapter }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn micros(many: u64, one: u64) -> Speed {
        Speed { many: Duration::from_micros(many), one: Duration::from_micros(one) }
    }

    /// The first device that there is, as if there were so many of it.
    fn several(count: usize) -> Vec<(u8, Found)> {
        let first = found().1.into_iter().next();
        if first.is_none() {
            eprintln!("SKIPPED: there is no device; Debian's package mesa-vulkan-drivers has one");
        }
        let as_another = |index, it: &Found| (0, Found { index, adapter: it.adapter.clone() });
        first.iter().flat_map(|it| (0..count).map(|index| as_another(index, it))).collect()
    }

    fn chosen(count: usize, speeds: &[Option<Speed>]) -> Result<Option<usize>, DeviceError> {
        let lost = || DeviceError::Lost { detail: "it hangs".to_owned() };
        let found = fastest_of(several(count), |it| speeds[it.index].ok_or_else(lost));
        Ok(found?.map(|it| it.index))
    }

    #[test]
    fn the_fastest_is_taken_and_one_that_hangs_is_passed_over() {
        if several(1).is_empty() {
            return;
        }
        let speeds = [None, Some(micros(900, 90)), Some(micros(300, 60))];
        assert_eq!(chosen(3, &speeds), Ok(Some(2)));
        assert_eq!(chosen(2, &speeds), Ok(Some(1)));
        chosen(2, &[None, None]).unwrap_err();
    }

    #[test]
    fn a_single_device_is_not_measured() {
        let found = fastest_of(several(1), |it| panic!("{it:?} was measured"));
        assert_eq!(found.unwrap().map(|it| it.index), found_indices().first().copied());
    }

    fn found_indices() -> Vec<usize> {
        found().1.iter().map(|it| it.index).collect()
    }
}
