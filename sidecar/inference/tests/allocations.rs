//! A planned model that was warmed up answers without allocating.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod onnx;

use artifact::Mapped;
use inference::{Backend, Inputs, Outputs, Pack, Tensor, TensorData, cpu::CpuBackend, pack};
use onnx::Named;

fn floats(name: &str, shape: &[u64]) -> Tensor {
    let count = shape.iter().product::<u64>() as usize;
    Tensor::new(name, shape.to_vec(), TensorData::Fp32(vec![0.5; count])).unwrap()
}

#[test]
fn a_model_in_its_stride_allocates_nothing() {
    let options = Pack { with_source: false, ..Pack::default() };
    for (model, names) in [
        (onnx::mlp(Named("N")), vec!["x"]),
        (onnx::lookup(Named("N"), Named("N")), vec!["carrier", "distance"]),
    ] {
        let bytes = pack(&onnx::bytes(&model), &options).unwrap().bytes;
        let model = CpuBackend::default().load(&Mapped::copied(&bytes).unwrap()).unwrap();
        let of = |rows: u64| {
            let tensors = names.iter().map(|name| match *name {
                "x" => floats("x", &[rows, 3]),
                "distance" => floats("distance", &[rows, 1]),
                name => {
                    let data = TensorData::Int64(vec![1; rows as usize]);
                    Tensor::new(name, vec![rows], data).unwrap()
                }
            });
            Inputs::new(tensors.collect()).unwrap()
        };
        let requests = [of(1), of(32), of(7), of(64)];
        let mut outputs = Outputs::default();
        let mut all = || {
            for request in &requests {
                model.infer_into(request, &mut outputs).unwrap();
            }
        };
        all();
        all();
        let counted = allocation_counter::measure(all);
        assert_eq!((counted.count_total, counted.bytes_total), (0, 0), "{names:?}");
    }
}
