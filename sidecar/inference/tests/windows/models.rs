//! Operators that look through a window, in small models: by a plan, and by tract.

use std::sync::Arc;

use artifact::Mapped;
use inference::{
    Backend, Inputs, Limits, Model, Outputs, Pack, Path, Tensor, TensorData, cpu::CpuBackend, pack,
};
use proptest::prelude::*;
use tract_onnx::pb::{AttributeProto, ModelProto, NodeProto, TensorProto};

use crate::onnx::{self, Element, Is, Named, int, ints};

fn some(seed: usize, count: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 37 + seed * 17 + 11) % 101) as f32 * 0.02 - 1.0).collect()
}

fn planned(onnx: &[u8]) -> Arc<dyn Model> {
    let packed = pack(onnx, &Pack::default()).unwrap();
    assert!(matches!(packed.path, Path::Plan { .. }), "{:?}", packed.path);
    CpuBackend::default().load(&Mapped::copied(&packed.bytes).unwrap()).unwrap()
}

fn answer(model: &dyn Model, shape: &[i64], batch: u64) -> Outputs {
    let shape: Vec<u64> = std::iter::once(batch).chain(shape.iter().map(|it| *it as u64)).collect();
    let count = shape.iter().product::<u64>() as usize;
    let given = Tensor::new("x", shape, TensorData::Fp32(some(3, count))).unwrap();
    model.infer(Inputs::new(vec![given]).unwrap()).unwrap()
}

/// Whether a plan answers as tract does, for some batches.
fn check(model: &ModelProto, shape: &[i64], batches: &[u64]) {
    let bytes = onnx::bytes(model);
    let plain = CpuBackend::default().load(&Mapped::copied(&bytes).unwrap()).unwrap();
    let planned = planned(&bytes);
    assert_eq!(planned.signature(), plain.signature());
    for batch in batches {
        let (found, expected) = (answer(&*planned, shape, *batch), answer(&*plain, shape, *batch));
        for (found, expected) in found.tensors().iter().zip(expected.tensors()) {
            assert_eq!(found.shape(), expected.shape());
            let (TensorData::Fp32(found), TensorData::Fp32(expected)) =
                (found.data(), expected.data())
            else {
                panic!("expected FP32");
            };
            let largest = expected.iter().fold(1.0_f32, |most, it| most.max(it.abs()));
            for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
                let near = (found - expected).abs() <= 2e-5 * largest;
                assert!(near, "batch {batch}: {at}: {found} is not {expected}");
            }
        }
    }
}

fn model(shape: &[i64], weights: Vec<TensorProto>, nodes: Vec<NodeProto>) -> ModelProto {
    let dims: Vec<onnx::Dim> =
        std::iter::once(Named("N")).chain(shape.iter().map(|dim| Is(*dim))).collect();
    let open = vec![onnx::Unknown; dims.len()];
    onnx::model(
        vec![onnx::value("x", Element::Float, &dims)],
        weights,
        nodes,
        vec![onnx::value("y", Element::Float, &open)],
    )
}

/// A window's attributes over some dimensions.
#[derive(Debug, Clone)]
struct Window {
    kernel: Vec<i64>,
    strides: Vec<i64>,
    dilations: Vec<i64>,
    pads: Vec<i64>,
}

impl Window {
    fn attributes(&self) -> Vec<AttributeProto> {
        vec![
            ints("kernel_shape", &self.kernel),
            ints("strides", &self.strides),
            ints("dilations", &self.dilations),
            ints("pads", &self.pads),
        ]
    }
}

/// Windows over one to three dimensions that are no larger than these with their padding.
fn windows() -> impl Strategy<Value = (Vec<i64>, Window)> {
    let one = (1_i64..4, 1_i64..4, 1_i64..3, 0_i64..3, 0_i64..3, 0_i64..6);
    prop::collection::vec(one, 1..4).prop_map(|all| {
        let mut window =
            Window { kernel: vec![], strides: vec![], dilations: vec![], pads: vec![] };
        let (mut dims, mut after) = (vec![], vec![]);
        for (kernel, stride, dilation, before, behind, more) in all {
            // No window lies in padding alone: what comes of that, nobody says.
            let (before, behind) = (before.min(kernel - 1), behind.min(kernel - 1));
            let reach = (kernel - 1) * dilation + 1;
            dims.push((reach - before - behind).max(dilation) + more);
            window.kernel.push(kernel);
            window.strides.push(stride);
            window.dilations.push(dilation);
            window.pads.push(before);
            after.push(behind);
        }
        window.pads.extend(after);
        (dims, window)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn convolutions_are_answered_as_by_tract(
        (dims, window) in windows(),
        group in prop::sample::select(vec![1_i64, 1, 1, 2, 3]),
        each in 1_i64..4,
        columns in 1_i64..5,
        is_depthwise in prop::sample::select(vec![false, false, true]),
        has_bias in any::<bool>(),
        relu in any::<bool>(),
        batch in 1_u64..6,
    ) {
        let (each, columns) = if is_depthwise { (1, 1) } else { (each, columns) };
        let group = if is_depthwise { group * 7 } else { group };
        let shape = [&[group * each], &*dims].concat();
        let kernel = [&[group * columns, each], &*window.kernel].concat();
        let count = kernel.iter().product::<i64>() as usize;
        let weights = vec![
            onnx::floats("w", &kernel, &some(1, count)),
            onnx::floats("b", &[group * columns], &some(2, (group * columns) as usize)),
        ];
        let mut attributes = window.attributes();
        attributes.push(int("group", group));
        let inputs = if has_bias { vec!["x", "w", "b"] } else { vec!["x", "w"] };
        let out = if relu { "c" } else { "y" };
        let mut nodes = vec![onnx::node("Conv", &inputs, out, attributes)];
        if relu {
            nodes.push(onnx::node("Relu", &["c"], "y", vec![]));
        }
        check(&model(&shape, weights, nodes), &shape, &[batch, 1]);
    }

    #[test]
    fn transposed_convolutions_are_answered_as_by_tract(
        (dims, window) in windows(),
        group in prop::sample::select(vec![1_i64, 1, 2, 3]),
        each in 1_i64..4,
        columns in 1_i64..5,
        more in prop::collection::vec(0_i64..3, 3),
        has_bias in any::<bool>(),
        relu in any::<bool>(),
        batch in 1_u64..6,
    ) {
        let shape = [&[group * each], &*dims].concat();
        let kernel = [&[group * each, columns], &*window.kernel].concat();
        let count = kernel.iter().product::<i64>() as usize;
        let weights = vec![
            onnx::floats("w", &kernel, &some(1, count)),
            onnx::floats("b", &[group * columns], &some(2, (group * columns) as usize)),
        ];
        let more: Vec<i64> =
            more.iter().zip(&window.strides).map(|(more, stride)| *more.min(&(stride - 1))).collect();
        let rank = dims.len();
        let size = |at: usize| {
            let reach = (window.kernel[at] - 1) * window.dilations[at] + 1;
            (dims[at] - 1) * window.strides[at] + reach - window.pads[at] - window.pads[rank + at]
        };
        prop_assume!((0..rank).all(|at| size(at) > 0));
        let mut attributes = window.attributes();
        attributes.extend([int("group", group), ints("output_padding", &more)]);
        let inputs = if has_bias { vec!["x", "w", "b"] } else { vec!["x", "w"] };
        let out = if relu { "c" } else { "y" };
        let mut nodes = vec![onnx::node("ConvTranspose", &inputs, out, attributes)];
        if relu {
            nodes.push(onnx::node("Relu", &["c"], "y", vec![]));
        }
        check(&model(&shape, weights, nodes), &shape, &[batch, 1]);
    }

    #[test]
    fn pools_are_answered_as_by_tract(
        (dims, window) in windows(),
        channels in 1_i64..5,
        which in 0..3,
        is_rounded_up in any::<bool>(),
        batch in 1_u64..6,
    ) {
        let shape = [&[channels], &*dims].concat();
        let mut attributes = window.attributes();
        attributes.push(int("ceil_mode", i64::from(is_rounded_up)));
        if which == 2 {
            attributes.push(int("count_include_pad", 1));
        }
        let op = if which == 0 { "MaxPool" } else { "AveragePool" };
        let mut pool = model(&shape, vec![], vec![onnx::node(op, &["x"], "y", attributes)]);
        pool.opset_import[0].version = 19;
        check(&pool, &shape, &[batch]);
    }

    #[test]
    fn slices_and_padding_are_answered_as_by_tract(
        dims in prop::collection::vec(3_i64..8, 1..4),
        starts in prop::collection::vec(0_i64..3, 3),
        steps in prop::collection::vec(prop::sample::select(vec![-3_i64, -2, -1, 1, 2, 3]), 3),
        pads in prop::collection::vec(0_i64..3, 6),
        mode in prop::sample::select(vec!["constant", "reflect", "edge"]),
        batch in 1_u64..4,
    ) {
        let rank = dims.len();
        let of = |name: &str, numbers: Vec<i64>| TensorProto {
            name: name.to_owned(),
            dims: vec![numbers.len() as i64],
            data_type: Element::Int64 as i32,
            int64_data: numbers,
            ..TensorProto::default()
        };
        let (mut first, mut end) = (vec![], vec![]);
        // Nothing is seen in a mirror beyond what is in front of it.
        let steps: Vec<i64> = if mode == "reflect" { vec![1; rank] } else { steps };
        let starts: Vec<i64> = if mode == "reflect" { vec![0; rank] } else { starts };
        for ((dim, start), step) in dims.iter().zip(&starts).zip(&steps) {
            let (from, to) = if *step > 0 { (*start, *dim) } else { (dim - 1 - start, i64::MIN + 1) };
            first.push(from);
            end.push(to);
        }
        let mut around = vec![0; 2 * (rank + 1)];
        for at in 0..rank {
            around[at + 1] = pads[at];
            around[rank + 2 + at] = pads[at + 3];
        }
        let weights = vec![
            of("starts", first),
            of("ends", end),
            of("axes", (1..=rank as i64).collect()),
            of("steps", steps[..rank].to_vec()),
            of("pads", around),
            onnx::floats("fill", &[], &[1.5]),
        ];
        let nodes = vec![
            onnx::node("Slice", &["x", "starts", "ends", "axes", "steps"], "s", vec![]),
            onnx::node("Pad", &["s", "pads", "fill"], "y", vec![onnx::text("mode", mode)]),
        ];
        check(&model(&dims, weights, nodes), &dims, &[batch]);
    }
}

/// Layers of a network for images: convolutions with and without padding, pooling, what is added over a
/// shortcut, joined channels, channels by themselves, and a head.
fn network() -> ModelProto {
    let node = onnx::node;
    let mut weights = vec![];
    let mut add = |name: &str, dims: &[i64]| {
        let count = dims.iter().product::<i64>() as usize;
        let scale = (dims.iter().skip(1).product::<i64>() as f32).sqrt();
        let numbers: Vec<f32> = some(name.len(), count).iter().map(|it| it / scale).collect();
        weights.push(onnx::floats(name, dims, &numbers));
    };
    for (name, dims) in [
        ("w0", &[8, 3, 3, 3][..]),
        ("b0", &[8]),
        ("w1", &[8, 8, 3, 3]),
        ("b1", &[8]),
        ("w2", &[8, 8, 3, 3]),
        ("w3", &[12, 8, 1, 1]),
        ("w4", &[12, 1, 3, 3]),
        ("w5", &[4, 12, 1, 1]),
        ("b5", &[4]),
        ("head", &[20, 5]),
    ] {
        add(name, dims);
    }
    let padded = || vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 1, 1])];
    let strided = || [padded(), vec![ints("strides", &[2, 2])]].concat();
    let nodes = vec![
        node("Conv", &["x", "w0", "b0"], "c0", padded()),
        node("Relu", &["c0"], "r0", vec![]),
        node("MaxPool", &["r0"], "p0", strided()),
        node("Conv", &["p0", "w1", "b1"], "c1", padded()),
        node("Relu", &["c1"], "r1", vec![]),
        node("Conv", &["r1", "w2"], "c2", padded()),
        node("Add", &["c2", "p0"], "sum", vec![]),
        node("Relu", &["sum"], "r2", vec![]),
        node("Conv", &["r2", "w3"], "c3", vec![ints("strides", &[2, 2])]),
        node("Tanh", &["c3"], "t3", vec![]),
        node("Conv", &["t3", "w4"], "c4", [padded(), vec![int("group", 12)]].concat()),
        node("Sigmoid", &["c4"], "gate", vec![]),
        node("Mul", &["t3", "gate"], "gated", vec![]),
        node("Conv", &["gated", "w5", "b5"], "c5", vec![]),
        node(
            "AveragePool",
            &["gated"],
            "p5",
            vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 1, 1])],
        ),
        node("Concat", &["c5", "p5", "c5"], "all", vec![int("axis", 1)]),
        node("GlobalAveragePool", &["all"], "mean", vec![]),
        node("Flatten", &["mean"], "flat", vec![int("axis", 1)]),
        node("MatMul", &["flat", "head"], "y", vec![]),
    ];
    model(&[3, 16, 12], weights, nodes)
}

#[test]
fn a_network_for_images_is_answered_as_by_tract_and_moves_nothing_in_between() {
    let network = network();
    check(&network, &[3, 16, 12], &[1, 2, 7, 32]);
    let bytes = pack(&onnx::bytes(&network), &Pack::default()).unwrap().bytes;
    let package = artifact::Package::open(Mapped::copied(&bytes).unwrap()).unwrap();
    let plan = inference::plan::PackedPlan::open(package).unwrap();
    let moves = plan.plan().steps.iter();
    let moves = moves.filter(|it| matches!(it, inference::plan::ArchivedStep::Move { .. }));
    // The image's channels, which come first.
    assert_eq!(moves.count(), 1);
}

#[test]
fn cores_that_help_change_no_bit_of_a_convolution() {
    let shape = [16, 40, 40];
    let weights = vec![onnx::floats("w", &[48, 16, 3, 3], &some(5, 48 * 16 * 9))];
    let nodes = vec![onnx::node("Conv", &["x", "w"], "y", vec![ints("pads", &[1, 1, 1, 1])])];
    let bytes = pack(&onnx::bytes(&model(&shape, weights, nodes)), &Pack::default()).unwrap().bytes;
    let on = |cores| {
        let backend = CpuBackend::with_cores(Limits::default(), cores);
        backend.load(&Mapped::copied(&bytes).unwrap()).unwrap()
    };
    let (alone, helped) = (on(1), on(4));
    for batch in [1, 3, 8] {
        let (alone, helped) = (answer(&*alone, &shape, batch), answer(&*helped, &shape, batch));
        assert!(alone.tensors() == helped.tensors(), "batch {batch}");
    }
}

#[test]
fn what_a_window_shows_to_a_product_counts_for_no_limit() {
    // What is multiplied is nine times the input.
    let shape = [8, 32, 32];
    let weights = vec![onnx::floats("w", &[8, 8, 3, 3], &some(5, 8 * 8 * 9))];
    let nodes = vec![onnx::node("Conv", &["x", "w"], "y", vec![ints("pads", &[1, 1, 1, 1])])];
    let bytes = pack(&onnx::bytes(&model(&shape, weights, nodes)), &Pack::default()).unwrap().bytes;
    let limits = Limits { max_tensor_bytes: 5 * 8 * 32 * 32 * 4, ..Limits::default() };
    let model = CpuBackend::new(limits).load(&Mapped::copied(&bytes).unwrap()).unwrap();
    assert_eq!(model.max_batch(), 5);
    answer(&*model, &shape, 5);
}
