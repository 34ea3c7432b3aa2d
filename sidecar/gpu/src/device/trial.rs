//! How fast a device answers, measured to choose among several.

use std::{
    any::Any,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use artifact::{Header, Mapped, PackageBuilder, SectionKind, Tensor as TensorHeader};
use inference::{
    Backend, DeviceError, Inputs, Model, Outputs, Tensor, TensorData,
    cpu::CpuBackend,
    plan::{
        Dimension, Kind, Layout, Matrix, PLAN_VERSION, Place, Plan, Step, SymbolSource, Term,
        Value, WeightKind,
    },
};
use kernels::{Element, PanelShape};

use super::{Device, Opened, Settings, adapters::Found, fastest::Speed, leave_to_itself};
use crate::{GpuBackend, Mode, PlacedModel};

/// Rows of the request that is bound by how fast a device computes: half a billion multiplications.
const ROWS: usize = 256;
/// Rows and columns of the matrix: 4 MiB, which one row reads all of.
const WIDTH: usize = 1024;
/// How many times each is asked, after once that makes pipelines and takes memory.
const TIMES: usize = 5;
/// What takes longer than this is not asked again: it is told apart as it is.
const LONG: Duration = Duration::from_millis(50);
/// More than the model and its runs take.
const BUDGET_BYTES: u64 = 64 << 20;

/// Opens a device, measures it and lets it go again, on a thread of its own: what is not there within
/// `deadline` hangs, and is left to itself.
pub(super) fn measure(
    found: &Found,
    settings: &Settings,
    deadline: Duration,
) -> Result<Speed, DeviceError> {
    let settings = Settings {
        budget_bytes: BUDGET_BYTES,
        run_bytes: u64::MAX,
        hang_after: settings.hang_after.min(deadline),
        ..settings.clone()
    };
    let (told, measured) = mpsc::sync_channel(1);
    let found = found.clone();
    let thread = thread::Builder::new().name("device-trial".to_owned());
    let measure = move || _ = told.send(measured_here(&found, settings));
    leave_to_itself(thread.spawn(measure).map_err(|error| refused(&error))?);
    measured.recv_timeout(deadline).unwrap_or_else(|error| {
        Err(match error {
            RecvTimeoutError::Timeout => {
                DeviceError::Lost { detail: format!("it was not measured within {deadline:?}") }
            }
            RecvTimeoutError::Disconnected => refused(&"its driver failed while it was measured"),
        })
    })
}

fn measured_here(found: &Found, settings: Settings) -> Result<Speed, DeviceError> {
    let device = Device::of(Opened::of(found, &settings, 0)?, settings);
    let backend = GpuBackend::new(CpuBackend::default(), Some(device), Mode::Always);
    let model = backend.load(&package()?).map_err(|error| refused(&error))?;
    Ok(Speed { many: least(&*model, ROWS)?, one: least(&*model, 1)? })
}

/// What a request of so many rows takes at the least.
fn least(model: &dyn Model, rows: usize) -> Result<Duration, DeviceError> {
    let any: &dyn Any = model;
    let placed: &PlacedModel = any.downcast_ref().ok_or(DeviceError::None)?;
    let x = TensorData::Fp32(numbers(rows * WIDTH));
    let x = Tensor::new("x", vec![rows as u64, WIDTH as u64], x).map_err(|it| refused(&it))?;
    let inputs = Inputs::new(vec![x]).map_err(|error| refused(&error))?;
    let mut outputs = Outputs::default();
    let mut least = Duration::MAX;
    for time in 0..=TIMES {
        let (before, from) = (placed.answered_by_device(), Instant::now());
        model.infer_into(&inputs, &mut outputs).map_err(|error| refused(&error))?;
        let took = from.elapsed();
        if placed.answered_by_device() == before {
            return Err(refused(&"the CPU had to answer"));
        }
        if time > 0 {
            least = least.min(took);
            if took > LONG {
                break;
            }
        }
    }
    Ok(least)
}

/// A model of one product.
fn package() -> Result<Mapped, DeviceError> {
    // In the layout that a device reads; what the CPU makes of it is let go with the rest.
    const LANES: usize = 16;
    let element = Element::F32;
    let shape = PanelShape { inner: WIDTH, columns: WIDTH, has_bias: false, element, lanes: LANES };
    let mut panels = vec![];
    let packed = shape.pack(&numbers(WIDTH * WIDTH), None, &mut panels);
    packed.map_err(|error| refused(&error))?;
    let key = format!("lanes={LANES}");
    let value = |place| Value { kind: Kind::F32, shape: vec![0, 1], place };
    let width = WIDTH as u64;
    let plan = Plan {
        version: PLAN_VERSION,
        symbols: vec![SymbolSource { input: 0, axis: 0 }],
        dimensions: [Term::Symbol(0), Term::Number(WIDTH as i64)]
            .map(|term| Dimension { terms: vec![term] })
            .to_vec(),
        values: vec![value(Place::Input(0)), value(Place::Slot(0))],
        slots: 1,
        matrices: vec![Matrix {
            inner: width,
            columns: width,
            has_bias: false,
            element: WeightKind::F32,
        }],
        layouts: vec![Layout { lanes: LANES as u32, key: key.clone(), offsets: vec![0] }],
        steps: vec![Step::Product { input: 0, matrix: 0, output: 1, relu: true }],
        outputs: vec![1],
    };
    let tensor = |name: &str| TensorHeader {
        name: name.to_owned(),
        datatype: "FP32".to_owned(),
        shape: vec![-1, WIDTH as i64],
        names: vec!["N".to_owned(), String::new()],
    };
    let header =
        Header { inputs: vec![tensor("x")], outputs: vec![tensor("y")], ..Header::default() };
    let plan = rkyv::to_bytes::<rkyv::rancor::Error>(&plan).map_err(|error| refused(&error))?;
    let mut builder = PackageBuilder::new(header);
    builder.section(SectionKind::Plan, "", plan.into_vec());
    builder.section(SectionKind::Panels, key, panels);
    let bytes = builder.finish().map_err(|error| refused(&error))?;
    Mapped::copied(&bytes).map_err(|error| refused(&error))
}

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 37 + 11) % 101) as f32 * 0.02 - 1.0).collect()
}

fn refused(what: &dyn std::fmt::Display) -> DeviceError {
    DeviceError::Refused { detail: what.to_string() }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{adapters::found, driver_threads_end_within},
        *,
    };
    use crate::llvmpipe::{LONG, settings};

    /// Measures each, and waits for those that were left to themselves.
    fn each(deadline: Duration) -> Vec<Result<Speed, DeviceError>> {
        let (_instance, found) = found();
        if found.is_empty() {
            eprintln!("SKIPPED: there is no device; Debian's package mesa-vulkan-drivers has one");
        }
        let measured = found.iter().map(|it| measure(it, &settings(), deadline)).collect();
        assert!(driver_threads_end_within(LONG), "one is left");
        measured
    }

    #[test]
    fn every_device_that_there_is_is_measured() {
        for speed in each(LONG) {
            let Speed { many, one } = speed.unwrap();
            assert!(!one.is_zero() && !many.is_zero(), "{many:?}, {one:?}");
        }
    }

    #[test]
    fn what_is_not_measured_in_time_is_lost() {
        for speed in each(Duration::ZERO) {
            assert!(matches!(speed, Err(DeviceError::Lost { .. })), "{speed:?}");
        }
    }
}
