//! Recurrent models and loops by plans: what tract answers, and no more than tract's loops would be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod onnx;
mod tuned;

use std::sync::Arc;

use artifact::Mapped;
use inference::{
    Backend, DataType, Inputs, Limits, Model, Pack, Path, Tensor, TensorData, TensorSpec,
    cpu::{CpuBackend, PlannedModel},
    pack,
};
use onnx::{
    Is, Named,
    recurrent::{Reads, Recurrent, graph as graph_of, scan},
};
use proptest::prelude::*;
use tract_onnx::pb::{ModelProto, TensorProto};
use tuned::{Noise, inputs};

fn load(bytes: &[u8]) -> Arc<dyn Model> {
    CpuBackend::default().load(&Mapped::copied(bytes).unwrap()).unwrap()
}

/// The package of a model that has a plan.
fn planned(model: &ModelProto) -> Vec<u8> {
    let packed = pack(&onnx::bytes(model), &Pack::default()).unwrap();
    assert!(matches!(packed.path, Path::Plan { .. }), "{}", packed.path);
    packed.bytes
}

/// As [`planned`]; none where tract fails to simplify what it reads, which it does with some of a single turn
/// over a single number.
fn planned_if_simple(model: &ModelProto) -> Option<Vec<u8>> {
    let packed = pack(&onnx::bytes(model), &Pack::default()).unwrap();
    match packed.path {
        Path::Plan { .. } => Some(packed.bytes),
        Path::Tract { because } if because.contains("running pass declutter") => None,
        path @ Path::Tract { .. } => panic!("{path}"),
    }
}

/// Why a model has no plan.
fn unplanned(model: &ModelProto) -> String {
    match pack(&onnx::bytes(model), &Pack::default()).unwrap().path {
        Path::Tract { because } => because,
        path @ Path::Plan { .. } => panic!("{path}"),
    }
}

fn is_joinable(model: &dyn Model) -> bool {
    let any: &dyn std::any::Any = model;
    any.downcast_ref::<PlannedModel>().unwrap().is_joinable()
}

fn numbers(tensor: &Tensor) -> &[f32] {
    let TensorData::Fp32(numbers) = tensor.data() else { panic!("expected FP32") };
    numbers
}

fn noise(seed: u64) -> impl FnMut(&str, &[i64]) -> TensorProto {
    let mut noise = Noise::of(seed);
    move |name, dims| {
        let count = dims.iter().product::<i64>() as usize;
        let scale = 1.5 / (*dims.last().unwrap() as f32).sqrt();
        let numbers: Vec<f32> = noise.floats(count).iter().map(|it| it * scale).collect();
        onnx::floats(name, dims, &numbers)
    }
}

/// Asserts that a plan answers all rows as tract answers each. tract fails at some sequences of a single number
/// or turn, which then are compared with nothing here, and with onnxruntime elsewhere.
fn assert_alike(by_plan: &dyn Model, by_tract: &dyn Model, given: &Inputs) {
    let rows = vec![1; given.batch() as usize];
    let found = by_plan.infer(given.clone()).unwrap().split(&rows).unwrap();
    for (found, given) in found.iter().zip(given.clone().split(&rows).unwrap()) {
        let Ok(expected) = by_tract.infer(given) else { continue };
        assert_eq!(found.tensors().len(), expected.tensors().len());
        for (found, expected) in found.tensors().iter().zip(expected.tensors()) {
            assert_eq!((found.name(), found.shape()), (expected.name(), expected.shape()));
            for (at, (found, expected)) in numbers(found).iter().zip(numbers(expected)).enumerate()
            {
                let is_near = (found - expected).abs() <= 2e-5 * expected.abs().max(1.0);
                assert!(is_near, "{found} is not {expected} at {at}");
            }
        }
    }
}

fn recurrent() -> impl Strategy<Value = Recurrent> {
    let sizes = (1_i64..9, 1_i64..7, 1_i64..21);
    let kind = prop::sample::select(vec!["LSTM", "GRU", "RNN"]);
    let reads = prop::sample::select(vec![Reads::Forwards, Reads::Backwards, Reads::BothWays]);
    let all = (kind, reads, sizes, any::<[bool; 5]>());
    all.prop_map(|(kind, reads, (turns, input, hidden), is)| Recurrent {
        kind,
        reads,
        turns,
        input,
        hidden,
        has_bias: is[0],
        has_states: is[1],
        batch_first: is[2],
        whole: is[3],
        resets_behind: is[4],
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn recurrent_models_answer_as_by_tract(of in recurrent(), rows in 1_u64..6, seed in any::<u64>()) {
        let model = of.model(noise(seed));
        let packed = planned_if_simple(&model);
        prop_assume!(packed.is_some());
        let (by_plan, by_tract) = (load(&packed.unwrap()), load(&onnx::bytes(&model)));
        assert_alike(&*by_plan, &*by_tract, &inputs(&*by_plan, rows, 1, &mut Noise::of(seed)));
        // All of them have the batch first, and so rows that keep to themselves.
        prop_assert!(is_joinable(&*by_plan), "{of:?}");
    }

    /// NaN, infinity and what overflows stay in the rows of who sent them.
    #[test]
    fn what_is_no_number_stays_in_its_row(
        of in recurrent(),
        bad in 0_usize..3,
        poison in prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e38]),
        seed in any::<u64>(),
    ) {
        let packed = planned_if_simple(&of.model(noise(seed)));
        prop_assume!(packed.is_some());
        let model = load(&packed.unwrap());
        let given = inputs(&*model, 3, 1, &mut Noise::of(seed));
        let poisoned = given.tensors().iter().map(|it| {
            let mut numbers = numbers(it).to_vec();
            let each = numbers.len() / 3;
            numbers[bad * each..(bad + 1) * each].fill(poison);
            Tensor::new(it.name(), it.shape().to_vec(), TensorData::Fp32(numbers)).unwrap()
        });
        let poisoned = Inputs::new(poisoned.collect()).unwrap();
        let [clean, dirty] = [given, poisoned].map(|it| model.infer(it).unwrap());
        let (clean, dirty) = (numbers(&clean.tensors()[0]), numbers(&dirty.tensors()[0]));
        let each = clean.len() / 3;
        for (row, (clean, dirty)) in clean.chunks(each).zip(dirty.chunks(each)).enumerate() {
            if row != bad {
                let bits = |it: &[f32]| it.iter().map(|it| it.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(clean), bits(dirty), "row {} saw row {}", row, bad);
            }
        }
    }

    /// Bytes that are nearly a recurrent model make no plan without end, and end nothing but themselves.
    #[test]
    fn a_damaged_model_is_refused_or_answers(
        which in 0..3_usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let model = match which {
            0 => scan(Is(3), [0, 1], &[0.5; 9]),
            1 => Recurrent { reads: Reads::BothWays, has_states: true, ..LSTM }.model(noise(1)),
            _ => Recurrent { kind: "GRU", resets_behind: true, whole: true, ..LSTM }.model(noise(1)),
        };
        let mut bytes = onnx::bytes(&model);
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let Ok(packed) = pack(&bytes, &Pack::default()) else { return Ok(()) };
        let limits = Limits { max_batch: 4, max_tensor_bytes: 1 << 20 };
        let file = Mapped::copied(&packed.bytes).unwrap();
        if let Ok(model) = CpuBackend::new(limits).load(&file) {
            let is_known = |it: &TensorSpec| {
                it.datatype == DataType::Fp32 && it.shape.iter().all(|dim| *dim < 1 << 10)
            };
            prop_assume!(model.signature().inputs.iter().all(is_known));
            let _ = model.infer(inputs(&*model, 2, 2, &mut Noise::of(1)));
        }
    }

    #[test]
    fn scans_answer_as_by_tract(
        turns in 1_i64..9,
        directions in prop::array::uniform2(0_i64..2),
        rows in 1_u64..6,
        seed in any::<u64>(),
    ) {
        let model = scan(Is(turns), directions, &Noise::of(seed).floats(9));
        let (by_plan, by_tract) = (load(&planned(&model)), load(&onnx::bytes(&model)));
        assert_alike(&*by_plan, &*by_tract, &inputs(&*by_plan, rows, 1, &mut Noise::of(seed)));
        prop_assert!(is_joinable(&*by_plan));
    }
}

const LSTM: Recurrent = Recurrent {
    kind: "LSTM",
    reads: Reads::Forwards,
    turns: 5,
    input: 3,
    hidden: 4,
    has_bias: true,
    has_states: false,
    batch_first: false,
    whole: false,
    resets_behind: false,
};

#[test]
fn the_weights_of_a_loop_are_packed_once() {
    for turns in [2, 9, 40] {
        for (kind, matrices) in [("LSTM", 2), ("GRU", 2), ("RNN", 2)] {
            let of = Recurrent { kind, turns, resets_behind: true, ..LSTM };
            let packed = pack(&onnx::bytes(&of.model(noise(1))), &Pack::default()).unwrap();
            let Path::Plan { matrices: found, .. } = packed.path else { panic!("{}", packed.path) };
            assert_eq!(found, matrices, "{kind} of {turns} turns");
        }
    }
}

/// Scans in one another, all of them over the same sequence.
fn nested(depth: usize, turns: i64) -> ModelProto {
    let state = |name: &str| onnx::value(name, onnx::Element::Float, &[Named("N"), Is(3)]);
    let mut model = onnx::model(
        vec![],
        vec![],
        vec![onnx::node("Add", &["before0", "piece0"], "after0", vec![])],
        vec![state("after0")],
    );
    for level in 1..=depth {
        let inner = level - 1;
        let graph = model.graph.as_mut().unwrap();
        graph.input = vec![state(&format!("before{inner}")), state(&format!("piece{inner}"))];
        let attributes = vec![
            graph_of("body", model),
            onnx::int("num_scan_inputs", 1),
            onnx::ints("scan_input_axes", &[1]),
        ];
        let (sum, before, piece, after) = (
            format!("sum{level}"),
            format!("before{level}"),
            format!("piece{level}"),
            format!("after{level}"),
        );
        let nodes = if level == depth {
            vec![onnx::node("Scan", &["h", "x"], &after, attributes)]
        } else {
            vec![
                onnx::node("Add", &[&before, &piece], &sum, vec![]),
                onnx::node("Scan", &[&sum, "x"], &after, attributes),
            ]
        };
        model = onnx::model(vec![], vec![], nodes, vec![state(&after)]);
    }
    model.graph.as_mut().unwrap().input =
        vec![onnx::value("x", onnx::Element::Float, &[Named("N"), Is(turns), Is(3)]), state("h")];
    model
}

#[test]
fn loops_in_loops_make_no_plan_without_end() {
    // tract carries an inner loop's state over to the next turn of the outer one, which ONNX does not.
    let model = load(&planned(&nested(2, 7)));
    let given = inputs(&*model, 3, 1, &mut Noise::of(1));
    let answer = model.infer(given.clone()).unwrap();
    let [x, h] = given.tensors() else { panic!("two inputs") };
    let rows = numbers(x).chunks(7 * 3).zip(numbers(h).chunks(3));
    for ((x, h), found) in rows.zip(numbers(&answer.tensors()[0]).chunks(3)) {
        for at in 0..3 {
            let sum: f32 = x.iter().skip(at).step_by(3).sum();
            let expected = h[at] + (1.0 + 7.0) * sum;
            assert!((found[at] - expected).abs() < 1e-4, "{} is not {expected}", found[at]);
        }
    }
    for depth in [2, 3, 5] {
        let because = unplanned(&nested(depth, 200));
        assert!(because.contains("loops of more than 32768 nodes"), "{because}");
        // Where there is no plan, tract is not asked either.
        let onnx = onnx::bytes(&nested(depth, 200));
        let refused = CpuBackend::default().load(&Mapped::copied(&onnx).unwrap()).err().unwrap();
        assert!(refused.to_string().contains("no loop in the loop"), "{refused}");
    }
}

/// The states of all turns, with the weights of one direction, or of both: [rows, turns, directions, hidden].
fn states(of: &Recurrent, direction: Option<usize>, x: &Tensor) -> Vec<f32> {
    let mut both = noise(4);
    let model = of.model(|name, dims| {
        let mut whole = both(name, &[&[2], &dims[1..]].concat());
        if let Some(direction) = direction {
            let each = whole.raw_data.len() / 2;
            whole.raw_data = whole.raw_data[direction * each..][..each].to_vec();
            whole.dims = dims.to_vec();
        }
        whole
    });
    let model = load(&onnx::bytes(&model));
    numbers(&model.infer(Inputs::new(vec![x.clone()]).unwrap()).unwrap().tensors()[0]).to_vec()
}

#[test]
fn to_read_backwards_is_to_read_the_reverse_and_to_answer_it_in_reverse() {
    const ROWS: usize = 2;
    const TURNS: usize = 6;
    const INPUT: usize = 3;
    let given = Noise::of(7).floats(ROWS * TURNS * INPUT);
    let x = |numbers: &[f32]| {
        let shape = [ROWS, TURNS, INPUT].map(|it| it as u64).to_vec();
        Tensor::new("x", shape, TensorData::Fp32(numbers.to_vec())).unwrap()
    };
    // Each row's turns the other way round.
    let reversed = |numbers: &[f32]| -> Vec<f32> {
        let (row, turn) = (numbers.len() / ROWS, numbers.len() / ROWS / TURNS);
        numbers.chunks(row).flat_map(|row| row.chunks(turn).rev().flatten().copied()).collect()
    };
    for kind in ["LSTM", "GRU", "RNN"] {
        for (batch_first, turns) in [(false, 6), (true, 6), (false, -1)] {
            let forwards = Recurrent { kind, turns, batch_first, whole: true, ..LSTM };
            let of = |reads, direction, x: &Tensor| {
                states(&Recurrent { reads, ..forwards }, direction, x)
            };
            let expected = of(Reads::Forwards, Some(1), &x(&reversed(&given)));
            let backwards = of(Reads::Backwards, Some(1), &x(&given));
            assert_eq!(reversed(&backwards), expected, "{kind}, {batch_first}, {turns}");

            let onwards = of(Reads::Forwards, Some(0), &x(&given));
            let both = of(Reads::BothWays, None, &x(&given));
            let each = LSTM.hidden as usize;
            let beside = onwards.chunks(each).zip(backwards.chunks(each));
            let beside: Vec<f32> = beside.flat_map(|(a, b)| [a, b].concat()).collect();
            assert_eq!(both, beside, "{kind}, {batch_first}, {turns}");
        }
    }
}

#[test]
fn long_and_open_sequences_are_left_to_tract_and_it_is_said_why() {
    planned(&Recurrent { turns: 256, ..LSTM }.model(noise(1)));
    let because = unplanned(&Recurrent { turns: 257, ..LSTM }.model(noise(1)));
    assert!(because.contains("a loop of 257 turns, more than 256"), "{because}");
    let because = unplanned(&scan(Named("T"), [0, 0], &[0.1; 9]));
    assert!(because.contains("a sequence of open length"), "{because}");
}

#[test]
fn what_would_be_answered_wrongly_is_refused() {
    let refused = |model: &ModelProto| {
        let file = Mapped::copied(&onnx::bytes(model)).unwrap();
        CpuBackend::default().load(&file).err().expect("a refusal").to_string()
    };
    let operator = |model: &mut ModelProto, op: &str| {
        let nodes = &mut model.graph.as_mut().unwrap().node;
        nodes.iter().position(|it| it.op_type == op).unwrap()
    };
    // With lengths.
    let mut model = Recurrent { kind: "GRU", ..LSTM }.model(noise(1));
    let at = operator(&mut model, "GRU");
    let graph = model.graph.as_mut().unwrap();
    graph.node[at].input.resize(5, String::new());
    graph.node[at].input[4] = "lengths".to_owned();
    let error = refused(&model);
    assert!(error.contains("reads forward over sequences with lengths"), "{error}");
    // Backwards in a file that has no operators to write it otherwise.
    let mut model = Recurrent { kind: "GRU", reads: Reads::BothWays, ..LSTM }.model(noise(1));
    model.opset_import[0].version = 9;
    let error = refused(&model);
    assert!(error.contains("reads bidirectional with"), "{error}");
    // In the body of a loop.
    let mut model = scan(Is(3), [0, 0], &[0.5; 9]);
    let at = operator(&mut model, "Scan");
    let cell = Recurrent { reads: Reads::Backwards, ..LSTM }.model(noise(1)).graph.unwrap();
    let cell = cell.node.into_iter().find(|it| it.op_type == "LSTM").unwrap();
    let scan = &mut model.graph.as_mut().unwrap().node[at];
    let body = scan.attribute.iter_mut().find_map(|it| it.g.as_mut()).unwrap();
    body.node.push(cell);
    let error = refused(&model);
    assert!(error.contains("reads reverse with"), "{error}");
}
