//! The example's own models, on flights.

use std::{fs, path::Path};

use artifact::Mapped;
use gpu::Device;
use inference::{
    Backend, DataType, Inputs, Model, Pack, Tensor, TensorData, cpu::CpuBackend, pack,
};

use crate::{
    llvmpipe::device,
    support::{assert_near, load, placed},
};

/// Rows of texts and numbers that the models know, and some that they do not.
fn rows(model: &dyn Model, rows: u64) -> Inputs {
    let texts = ["UA", "DL", "AA", "JFK", "LGA", "EWR", "ATL", "ORD", "nowhere"];
    let tensors = model.signature().inputs.iter().enumerate().map(|(at, spec)| {
        let shape: Vec<u64> =
            spec.shape.iter().map(|dim| u64::try_from(*dim).unwrap_or(rows)).collect();
        let count = shape.iter().product::<u64>() as usize;
        let data = match spec.datatype {
            DataType::Bytes => TensorData::Bytes(
                (0..count).map(|row| texts[(row + at) % texts.len()].into()).collect(),
            ),
            DataType::Int64 => TensorData::Int64((0..count).map(|row| (row % 12) as i64).collect()),
            DataType::Fp32 => {
                TensorData::Fp32((0..count).map(|row| 100.0 + (row * 37 % 900) as f32).collect())
            }
            other => panic!("a model of the example takes {other}"),
        };
        Tensor::new(&spec.name, shape, data).unwrap()
    });
    Inputs::new(tensors.collect()).unwrap()
}

fn assert_file(device: &Device, file: &Path) {
    let options = Pack { with_source: false, ..Pack::default() };
    let packed = pack(&fs::read(file).unwrap(), &options).unwrap();
    let packed = Mapped::copied(&packed.bytes).unwrap();
    let (on_cpu, model) = (CpuBackend::default().load(&packed).unwrap(), load(device, &packed));
    for count in [1, 2, 7, 64, 200] {
        let given = rows(&*on_cpu, count);
        let expected = on_cpu.infer(given.clone()).unwrap();
        let before = placed(&*model).answered_by_device();
        let what = format!("{} of {count}", file.display());
        assert_near(&model.infer(given).unwrap(), &expected, 1e-5, &what);
        assert_eq!(placed(&*model).answered_by_device(), before + 1, "{what}: by the CPU");
    }
}

#[test]
fn every_model_of_the_example_answers_as_on_the_cpu() {
    let Some(device) = device() else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/flights/models");
    let Ok(entries) = fs::read_dir(&folder) else {
        eprintln!("SKIPPED: {} has no models: `cargo xtask train` makes them", folder.display());
        return;
    };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|it| it == "onnx"));
    files.sort();
    assert!(!files.is_empty());
    files.iter().for_each(|file| assert_file(device, file));
}
