//! Single models, alone on a device.

use gpu::{Place, where_steps_run};
use inference::{
    Backend, Inputs, Pack, Tensor, TensorData,
    cpu::{CpuBackend, PlannedModel},
    plan::WeightKind,
};

use crate::{
    llvmpipe::device,
    models::{attention, layers, with_a_step_of_the_cpus},
    onnx::{
        self, Element, Is, Named,
        recurrent::{Reads, Recurrent},
    },
    support::{assert_alike, assert_near, inputs, load, packed, packed_as, placed, some},
    tuned,
};

#[test]
fn every_batch_from_1_to_64_is_answered_as_by_the_cpu() {
    let Some(device) = device() else { return };
    assert_alike(device, &packed(&onnx::mlp(Named("N"))), 1..=64);
}

#[test]
fn layers_of_odd_widths_are_answered() {
    let Some(device) = device() else { return };
    assert_alike(device, &packed(&layers(1, &[17, 33, 129, 5])), [1, 2, 3, 16, 31, 64, 257]);
    assert_alike(device, &packed(&layers(2, &[1, 1, 1])), [1, 2, 1024]);
}

#[test]
fn attention_is_answered() {
    let Some(device) = device() else { return };
    assert_alike(device, &packed(&attention(7, 24)), [1, 2, 5, 64]);
}

#[test]
fn convolutions_are_answered() {
    let Some(device) = device() else { return };
    assert_alike(device, &packed(&onnx::convolution(Named("N"))), [1, 2, 5, 64]);
    let file = packed(&tuned::convolved(0));
    assert_alike(device, &file, [1, 3, 17]);
    let model = CpuBackend::default().load(&file).unwrap();
    let any: &dyn std::any::Any = &*model;
    let places = where_steps_run(any.downcast_ref::<PlannedModel>().unwrap().plan().plan());
    let on_device = |place: &Place| matches!(place, Place::Device { .. });
    assert!(places.iter().all(|(_, place)| on_device(place)), "{places:?}");
    assert!(places.iter().any(|(name, _)| *name == "window"), "{places:?}");
}

#[test]
fn recurrent_models_are_answered_with_a_few_kernels_for_each_turn() {
    let Some(device) = device() else { return };
    let cases = [
        ("LSTM", Reads::Forwards, false, 3),
        ("LSTM", Reads::BothWays, true, 6),
        ("GRU", Reads::Forwards, true, 2),
        ("GRU", Reads::BothWays, true, 4),
        ("GRU", Reads::Backwards, false, 4),
        ("RNN", Reads::BothWays, false, 2),
    ];
    for (kind, reads, whole, for_each) in cases {
        let of = Recurrent {
            kind,
            reads,
            turns: 7,
            input: 5,
            hidden: 12,
            has_bias: true,
            has_states: false,
            batch_first: false,
            whole,
            resets_behind: whole,
        };
        let file = packed(&of.model(|name, dims| {
            let count = dims.iter().product::<i64>() as usize;
            let numbers: Vec<f32> =
                some(name.len() + count, count).iter().map(|it| it * 0.1).collect();
            onnx::floats(name, dims, &numbers)
        }));
        assert_alike(device, &file, [1, 2, 9, 33]);
        let model = CpuBackend::default().load(&file).unwrap();
        let any: &dyn std::any::Any = &*model;
        let places = where_steps_run(any.downcast_ref::<PlannedModel>().unwrap().plan().plan());
        let mut kernels = 0;
        let mut at = 0;
        while let Some((_, place)) = places.get(at) {
            let Place::Device { together } = place else { panic!("{kind}: {place:?}") };
            kernels += 1;
            at += together;
        }
        // Beside them the product of all inputs, the first state and its own product, the last turn, whose
        // slots are others, and joining what is answered.
        let directions = of.directions() as usize;
        assert!(
            kernels <= 7 * for_each + 6 * directions,
            "{kernels} kernels for {kind}: {places:?}"
        );
    }
}

#[test]
fn what_is_looked_up_is_answered() {
    let Some(device) = device() else { return };
    assert_alike(device, &packed(&onnx::lookup(Named("N"), Named("N"))), 1..=64);
}

#[test]
fn narrow_weights_are_answered_as_by_the_cpu() {
    let Some(device) = device() else { return };
    for weights in [WeightKind::F16, WeightKind::I8] {
        let options = Pack { weights, largest_deviation: 0.1, ..Pack::default() };
        let file = packed_as(&layers(3, &[40, 64, 9]), &options);
        assert_alike(device, &file, [1, 2, 8, 33, 64]);
    }
}

#[test]
fn panels_of_any_layout_are_answered() {
    let Some(device) = device() else { return };
    for lanes in [8, 16, 32] {
        let options = Pack { lanes: vec![lanes], ..Pack::default() };
        assert_alike(device, &packed_as(&layers(4, &[20, 40, 7]), &options), [1, 9, 40]);
    }
}

#[test]
fn a_step_that_no_device_does_is_done_by_the_cpu_in_the_middle_of_the_others() {
    let Some(device) = device() else { return };
    let file = packed(&with_a_step_of_the_cpus());
    assert_alike(device, &file, [1, 2, 64]);
    let model = CpuBackend::default().load(&file).unwrap();
    let any: &dyn std::any::Any = &*model;
    let places = where_steps_run(any.downcast_ref::<PlannedModel>().unwrap().plan().plan());
    let on_cpu =
        |place: &Place| matches!(place, Place::Cpu { because } if because.contains("64-bit"));
    let firsts = places.iter().map(|(_, place)| on_cpu(place)).collect::<Vec<_>>();
    assert!(!firsts[0] && firsts.iter().any(|it| *it) && !firsts[firsts.len() - 1], "{places:?}");
}

#[test]
fn what_is_no_number_or_too_large_comes_out_as_on_the_cpu() {
    let Some(device) = device() else { return };
    let file = packed(&layers(5, &[4, 4]));
    let (on_cpu, on_device) = (CpuBackend::default().load(&file).unwrap(), load(device, &file));
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -0.0, 1e-40, 3e38, 0.5];
    let x = Tensor::new("x", vec![8, 4], TensorData::Fp32(odd.repeat(4))).unwrap();
    let given = Inputs::new(vec![x]).unwrap();
    let expected = on_cpu.infer(given.clone()).unwrap();
    let found = on_device.infer(given).unwrap();
    let [found, expected] = [&found, &expected].map(|it| match it.tensors()[0].data() {
        TensorData::Fp32(numbers) => numbers.clone(),
        other => panic!("{other:?}"),
    });
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.is_nan(), expected.is_nan(), "{found} and {expected}");
    }
}

#[test]
fn an_index_beyond_its_table_is_the_same_failure_as_on_the_cpu() {
    let Some(device) = device() else { return };
    let file = packed(&onnx::lookup(Named("N"), Named("N")));
    let (on_cpu, on_device) = (CpuBackend::default().load(&file).unwrap(), load(device, &file));
    let carrier = Tensor::new("carrier", vec![3], TensorData::Int64(vec![1, 99, 2])).unwrap();
    let distance = Tensor::new("distance", vec![3, 1], TensorData::Fp32(vec![1.0; 3])).unwrap();
    let given = Inputs::new(vec![carrier, distance]).unwrap();
    let expected = on_cpu.infer(given.clone()).unwrap_err();
    assert_eq!(on_device.infer(given).unwrap_err(), expected);
    // The device is as good as before.
    let given = inputs(&*on_cpu, 5);
    let expected = on_cpu.infer(given.clone()).unwrap();
    assert_near(&on_device.infer(given).unwrap(), &expected, 1e-5, "after a failure");
}

#[test]
fn what_does_not_fit_the_signature_is_refused_as_by_the_cpu() {
    let Some(device) = device() else { return };
    let file = packed(&onnx::mlp(Named("N")));
    let (on_cpu, on_device) = (CpuBackend::default().load(&file).unwrap(), load(device, &file));
    let x = |shape: &[u64], count: usize| {
        let x = Tensor::new("x", shape.to_vec(), TensorData::Fp32(vec![1.0; count])).unwrap();
        Inputs::new(vec![x]).unwrap()
    };
    for given in [x(&[1, 4], 4), x(&[2000, 3], 6000), x(&[0, 3], 0), x(&[3], 3)] {
        assert_eq!(on_device.infer(given.clone()).unwrap_err(), on_cpu.infer(given).unwrap_err());
    }
    assert_eq!(placed(&*on_device).answered_by_device(), 0);
}

#[test]
fn bools_and_integers_go_through() {
    let Some(device) = device() else { return };
    let model = onnx::model(
        vec![
            onnx::value("x", Element::Float, &[Named("N"), Is(3)]),
            onnx::value("flag", Element::Bool, &[Named("N"), Is(3)]),
            onnx::value("n", Element::Int64, &[Named("N"), Is(3)]),
        ],
        vec![onnx::floats("zero", &[1], &[0.0])],
        vec![
            onnx::node("Greater", &["x", "zero"], "positive", vec![]),
            onnx::node("And", &["positive", "flag"], "both", vec![]),
            onnx::node("Add", &["n", "n"], "twice", vec![]),
            onnx::node("Where", &["both", "twice", "n"], "chosen", vec![]),
        ],
        vec![
            onnx::value("both", Element::Bool, &[Named("N"), Is(3)]),
            onnx::value("chosen", Element::Int64, &[Named("N"), Is(3)]),
        ],
    );
    assert_alike(device, &packed(&model), [1, 2, 9, 64]);
}
