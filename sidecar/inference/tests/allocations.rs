//! A planned model that was warmed up answers without allocating.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod onnx;
mod tuned;

use artifact::Mapped;
use inference::{Backend, Inputs, Outputs, Pack, Part, Tensor, TensorData, cpu::CpuBackend, pack};
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

#[test]
fn rows_of_several_models_in_their_stride_allocate_nothing() {
    // Names of dimensions beside the batch are compared in a map.
    for model in [tuned::mlp, tuned::lookup] {
        let family = tuned::family(model, 3);
        let mut noise = tuned::Noise::of(5);
        let requests: Vec<_> = [&[1, 2, 1, 1][..], &[3, 1, 4, 2], &[7]]
            .iter()
            .map(|rows| {
                let all = rows.iter().sum();
                let parts: Vec<Part<'_>> = family
                    .iter()
                    .zip(*rows)
                    .map(|(model, rows)| Part { model: &**model, rows: *rows })
                    .collect();
                (tuned::inputs(&*family[0], all, 4, &mut noise), parts)
            })
            .collect();
        let mut outputs = Outputs::default();
        let mut all = || {
            for (inputs, parts) in &requests {
                family[1].infer_together(inputs, parts, &mut outputs).unwrap();
                family[1].infer_into(inputs, &mut outputs).unwrap();
            }
        };
        all();
        all();
        let counted = allocation_counter::measure(all);
        assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
    }
}
