//! A device, models, and what they are asked.

use std::sync::Arc;

use artifact::Mapped;
use gpu::{Device, PlacedModel};
use inference::{
    Backend, DataType, Inputs, Model, Outputs, Pack, Path, Tensor, TensorData, cpu::CpuBackend,
    pack,
};
use tract_onnx::pb::ModelProto;

use crate::{llvmpipe::backend, onnx};

/// A packed model, with a plan.
pub fn packed(model: &ModelProto) -> Mapped {
    packed_as(model, &Pack::default())
}

pub fn packed_as(model: &ModelProto, options: &Pack) -> Mapped {
    let packed = pack(&onnx::bytes(model), options).unwrap();
    assert!(matches!(packed.path, Path::Plan { .. }), "{:?}", packed.path);
    Mapped::copied(&packed.bytes).unwrap()
}

pub fn load(device: &Device, file: &Mapped) -> Arc<dyn Model> {
    backend(device).load(file).unwrap()
}

pub fn placed(model: &dyn Model) -> &PlacedModel {
    let any: &dyn std::any::Any = model;
    any.downcast_ref().expect("a model that can be on a device")
}

pub fn some(seed: usize, count: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 37 + seed * 17 + 11) % 101) as f32 * 0.07 - 3.5).collect()
}

/// Inputs of the shape that a model takes, with `rows` for each open dimension.
pub fn inputs(model: &dyn Model, rows: u64) -> Inputs {
    let tensors = model.signature().inputs.iter().enumerate().map(|(at, spec)| {
        let shape: Vec<u64> =
            spec.shape.iter().map(|dim| u64::try_from(*dim).unwrap_or(rows)).collect();
        let count = shape.iter().product::<u64>() as usize;
        let data = match spec.datatype {
            DataType::Fp32 => TensorData::Fp32(some(at, count)),
            DataType::Int64 => TensorData::Int64((0..count as i64).map(|it| it % 5).collect()),
            DataType::Int32 => TensorData::Int32((0..count as i32).map(|it| it % 5).collect()),
            DataType::Bool => TensorData::Bool((0..count).map(|it| it % 3 == 0).collect()),
            DataType::Bytes => TensorData::Bytes(
                (0..count).map(|it| format!("t{}", it % 5).into_bytes()).collect(),
            ),
            other => panic!("a test with {other}"),
        };
        Tensor::new(&spec.name, shape, data).unwrap()
    });
    Inputs::new(tensors.collect()).unwrap()
}

/// Whether answers are the same within what kernels' orders of adding differ by.
pub fn assert_near(found: &Outputs, expected: &Outputs, tolerance: f32, what: &str) {
    assert_eq!(found.batch(), expected.batch(), "{what}");
    assert_eq!(found.tensors().len(), expected.tensors().len(), "{what}");
    for (found, expected) in found.tensors().iter().zip(expected.tensors()) {
        assert_eq!((found.name(), found.shape()), (expected.name(), expected.shape()), "{what}");
        let (TensorData::Fp32(found), TensorData::Fp32(expected)) = (found.data(), expected.data())
        else {
            assert_eq!(found.data(), expected.data(), "{what}");
            continue;
        };
        let largest =
            expected.iter().filter(|it| it.is_finite()).fold(1.0_f32, |a, b| a.max(b.abs()));
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            let near = (found - expected).abs() <= tolerance * largest
                || found == expected
                || (found.is_nan() && expected.is_nan());
            assert!(near, "{what}: element {at}: {found} is not {expected}");
        }
    }
}

/// Asserts that the device answers as the CPU does, and that it is the device that does.
pub fn assert_alike(device: &Device, file: &Mapped, batches: impl IntoIterator<Item = u64>) {
    let (on_cpu, on_device) = (CpuBackend::default().load(file).unwrap(), load(device, file));
    let mut asked = 0;
    for rows in batches {
        let given = inputs(&*on_cpu, rows);
        let expected = on_cpu.infer(given.clone()).unwrap();
        let found = on_device.infer(given).unwrap();
        assert_near(&found, &expected, 1e-5, &format!("batch {rows}"));
        asked += 1;
        assert_eq!(placed(&*on_device).answered_by_device(), asked, "batch {rows} by the CPU");
    }
}
