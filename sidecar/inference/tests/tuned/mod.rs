//! Models and fine-tuned ones of them.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::sync::Arc;

use artifact::{Mapped, Package};
use inference::{
    Backend, DataType, Inputs, Model, Pack, PackOver, Tensor, TensorData, changes::PairKind,
    cpu::CpuBackend, pack, pack_over,
};
use tract_onnx::pb::{ModelProto, NodeProto, TensorProto};

use crate::onnx::{
    self, Element, Is, Named,
    recurrent::{Reads, Recurrent},
};

/// Numbers that look random and are always the same (xorshift64*, Vigna 2016).
pub struct Noise(u64);

impl Noise {
    pub fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// From -1 to 1.
    pub fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }
}

/// The weights of a model: its base's where `tuned` is 0, and else what some tenant made of them.
pub struct Weights {
    pub tuned: u64,
    pub tensors: Vec<TensorProto>,
}

impl Weights {
    pub fn of(tuned: u64) -> Self {
        Self { tuned, tensors: vec![] }
    }

    /// Adds a tensor. A matrix is tuned by a rank of two, and so is a kernel as one of a row for each of
    /// its outputs; anything else is tuned altogether.
    pub fn add(&mut self, name: &str, dims: &[i64]) -> String {
        let count = dims.iter().product::<i64>() as usize;
        let seed = name.bytes().fold(7, |seed: u64, byte| seed * 31 + u64::from(byte));
        let scale = match dims {
            [inner, _] => (1.0 / *inner as f32).sqrt(),
            [1, _, inner] => (1.0 / *inner as f32).sqrt(),
            [_, inner @ ..] if !inner.is_empty() => {
                (1.0 / inner.iter().product::<i64>() as f32).sqrt()
            }
            _ => 0.5,
        };
        let mut numbers: Vec<f32> =
            Noise::of(seed).floats(count).iter().map(|it| it * scale).collect();
        if self.tuned > 0 {
            let mut noise = Noise::of(seed ^ (self.tuned << 20));
            let rows = match dims {
                [1, inner, columns] => Some((*inner, *columns)),
                [inner, columns @ ..] if !columns.is_empty() => {
                    Some((*inner, columns.iter().product()))
                }
                _ => None,
            };
            if let Some((inner, columns)) = rows {
                for _ in 0..2 {
                    let (down, up) = (noise.floats(inner as usize), noise.floats(columns as usize));
                    for (row, x) in numbers.chunks_mut(columns as usize).zip(&down) {
                        row.iter_mut().zip(&up).for_each(|(to, y)| *to += 0.3 * scale * x * y);
                    }
                }
            } else {
                numbers.iter_mut().for_each(|it| *it += 0.1 * noise.float());
            }
        }
        self.tensors.push(onnx::floats(name, dims, &numbers));
        name.to_owned()
    }
}

fn chain(ops: &[(&str, &[&str], &str)]) -> Vec<NodeProto> {
    ops.iter().map(|(op, inputs, output)| onnx::node(op, inputs, output, vec![])).collect()
}

/// Two hidden layers, one of them gated, and a head.
pub fn mlp(tuned: u64) -> ModelProto {
    let mut weights = Weights::of(tuned);
    for (name, dims) in [
        ("w1", &[7, 40][..]),
        ("b1", &[40]),
        ("w2", &[40, 70]),
        ("b2", &[70]),
        ("gate", &[40, 70]),
        ("w3", &[70, 3]),
        ("b3", &[3]),
        ("scale", &[1, 7]),
    ] {
        weights.add(name, dims);
    }
    let nodes = chain(&[
        ("Mul", &["x", "scale"], "scaled"),
        ("MatMul", &["scaled", "w1"], "h"),
        ("Add", &["h", "b1"], "hb"),
        ("Relu", &["hb"], "a"),
        ("MatMul", &["a", "w2"], "h2"),
        ("Add", &["h2", "b2"], "h2b"),
        ("Tanh", &["h2b"], "t"),
        ("MatMul", &["a", "gate"], "g"),
        ("Sigmoid", &["g"], "s"),
        ("Mul", &["t", "s"], "gated"),
        ("MatMul", &["gated", "w3"], "o"),
        ("Add", &["o", "b3"], "y"),
    ]);
    onnx::model(
        vec![onnx::value("x", Element::Float, &[Named("N"), Is(7)])],
        weights.tensors,
        nodes,
        vec![onnx::value("y", Element::Float, &[Named("N"), Is(3)])],
    )
}

/// A table that is looked up in, beside a number.
pub fn lookup(tuned: u64) -> ModelProto {
    let mut weights = Weights::of(tuned);
    for (name, dims) in
        [("table", &[5, 6][..]), ("w1", &[7, 33]), ("b1", &[33]), ("w2", &[33, 1]), ("b2", &[1])]
    {
        weights.add(name, dims);
    }
    let mut nodes = vec![
        onnx::node("Gather", &["table", "id"], "found", vec![onnx::int("axis", 0)]),
        onnx::node("Concat", &["found", "number"], "all", vec![onnx::int("axis", 1)]),
    ];
    nodes.extend(chain(&[
        ("MatMul", &["all", "w1"], "h"),
        ("Add", &["h", "b1"], "hb"),
        ("Relu", &["hb"], "a"),
        ("MatMul", &["a", "w2"], "o"),
        ("Add", &["o", "b2"], "y"),
    ]));
    onnx::model(
        vec![
            onnx::value("id", Element::Int64, &[Named("N")]),
            onnx::value("number", Element::Float, &[Named("N"), Is(1)]),
        ],
        weights.tensors,
        nodes,
        vec![onnx::value("y", Element::Float, &[Named("N"), Is(1)])],
    )
}

/// A layer of attention over sequences of any length, with a norm before it and a head after it.
pub fn attention(tuned: u64) -> ModelProto {
    let mut weights = Weights::of(tuned);
    for (name, dims) in [
        ("gamma", &[24][..]),
        ("beta", &[24]),
        ("wq", &[24, 24]),
        ("wk", &[24, 24]),
        ("wv", &[24, 24]),
        ("wo", &[24, 24]),
        ("bo", &[24]),
        ("head", &[24, 2]),
    ] {
        weights.add(name, dims);
    }
    weights.tensors.push(onnx::floats("root", &[1], &[0.2]));
    let mut nodes = vec![
        onnx::node("ReduceMean", &["x"], "mean", vec![onnx::ints("axes", &[2])]),
        onnx::node("Sub", &["x", "mean"], "centred", vec![]),
        onnx::node("Mul", &["centred", "gamma"], "wide", vec![]),
        onnx::node("Add", &["wide", "beta"], "normed", vec![]),
    ];
    nodes.extend(chain(&[
        ("MatMul", &["normed", "wq"], "q"),
        ("MatMul", &["normed", "wk"], "k"),
        ("MatMul", &["normed", "wv"], "v"),
    ]));
    nodes.push(onnx::node("Transpose", &["k"], "kt", vec![onnx::ints("perm", &[0, 2, 1])]));
    nodes.extend(chain(&[
        ("MatMul", &["q", "kt"], "scores"),
        ("Mul", &["scores", "root"], "small"),
    ]));
    nodes.push(onnx::node("Softmax", &["small"], "weights", vec![onnx::int("axis", 2)]));
    nodes.extend(chain(&[
        ("MatMul", &["weights", "v"], "seen"),
        ("MatMul", &["seen", "wo"], "o"),
        ("Add", &["o", "bo"], "ob"),
        ("Add", &["ob", "x"], "res"),
    ]));
    let pooled = vec![onnx::ints("axes", &[1]), onnx::int("keepdims", 0)];
    nodes.push(onnx::node("ReduceMax", &["res"], "pooled", pooled));
    nodes.extend(chain(&[("MatMul", &["pooled", "head"], "y")]));
    onnx::model(
        vec![onnx::value("x", Element::Float, &[Named("N"), Named("S"), Is(24)])],
        weights.tensors,
        nodes,
        vec![onnx::value("y", Element::Float, &[Named("N"), Is(2)])],
    )
}

/// Convolutions of images, one of them channel by channel, between which is pooled, and a head.
pub fn convolved(tuned: u64) -> ModelProto {
    let mut weights = Weights::of(tuned);
    for (name, dims) in [
        ("w1", &[14, 2, 3, 3][..]),
        ("b1", &[14]),
        ("w2", &[14, 1, 3, 3]),
        ("b2", &[14]),
        ("w3", &[20, 14, 1, 1]),
        ("w4", &[40, 20, 3, 3]),
        ("b4", &[40]),
        ("head", &[40, 3]),
    ] {
        weights.add(name, dims);
    }
    let padded = || vec![onnx::ints("kernel_shape", &[3, 3]), onnx::ints("pads", &[1, 1, 1, 1])];
    let grouped = [padded(), vec![onnx::int("group", 14)]].concat();
    let strides = vec![onnx::ints("kernel_shape", &[2, 2]), onnx::ints("strides", &[2, 2])];
    let mut nodes = vec![
        onnx::node("Conv", &["x", "w1", "b1"], "c1", padded()),
        onnx::node("Relu", &["c1"], "r1", vec![]),
        onnx::node("Conv", &["r1", "w2", "b2"], "c2", grouped),
        onnx::node("Conv", &["c2", "w3"], "c3", vec![]),
        onnx::node("MaxPool", &["c3"], "pooled", strides),
        onnx::node("Conv", &["pooled", "w4", "b4"], "c4", vec![]),
    ];
    nodes.extend(chain(&[("Tanh", &["c4"], "t4"), ("GlobalAveragePool", &["t4"], "mean")]));
    nodes.push(onnx::node("Flatten", &["mean"], "flat", vec![onnx::int("axis", 1)]));
    nodes.extend(chain(&[("MatMul", &["flat", "head"], "y")]));
    onnx::model(
        vec![onnx::value("x", Element::Float, &[Named("N"), Is(2), Is(9), Is(8)])],
        weights.tensors,
        nodes,
        vec![onnx::value("y", Element::Float, &[Named("N"), Is(3)])],
    )
}

/// An LSTM whose last state is classified, and a GRU whose states all are, as frameworks write them: with
/// the batch first outside, and second inside.
fn recurrent(tuned: u64, of: Recurrent) -> ModelProto {
    let mut weights = Weights::of(tuned);
    weights.add("head", &[of.hidden, 2]);
    weights.add("head_bias", &[2]);
    let mut model = of.model(|name, dims| {
        weights.add(name, dims);
        weights.tensors.pop().unwrap()
    });
    let graph = model.graph.as_mut().unwrap();
    for node in &mut graph.node {
        for name in node.output.iter_mut().filter(|name| *name == "y") {
            node.name = "make_states".to_owned();
            *name = "states".to_owned();
        }
    }
    graph.initializer.append(&mut weights.tensors);
    let shape = if of.whole { vec![0, of.turns, of.hidden] } else { vec![0, of.hidden] };
    graph.initializer.push(onnx::recurrent::integers("shape", &shape));
    graph.node.extend(chain(&[
        ("Reshape", &["states", "shape"], "flat"),
        ("MatMul", &["flat", "head"], "o"),
        ("Add", &["o", "head_bias"], "y"),
    ]));
    let mut shape = vec![Named("N"), Is(of.turns), Is(2)];
    if !of.whole {
        shape.remove(1);
    }
    graph.output = vec![onnx::value("y", Element::Float, &shape)];
    model
}

pub fn lstm(tuned: u64) -> ModelProto {
    recurrent(tuned, Recurrent { kind: "LSTM", whole: false, ..RECURRENT })
}

pub fn gru(tuned: u64) -> ModelProto {
    recurrent(tuned, Recurrent { kind: "GRU", whole: true, ..RECURRENT })
}

const RECURRENT: Recurrent = Recurrent {
    kind: "LSTM",
    reads: Reads::Forwards,
    turns: 6,
    input: 9,
    hidden: 20,
    has_bias: true,
    has_states: false,
    batch_first: false,
    whole: false,
    resets_behind: true,
};

pub const MODELS: [fn(u64) -> ModelProto; 6] = [mlp, lookup, attention, convolved, lstm, gru];

pub fn base_of(model: fn(u64) -> ModelProto) -> Package {
    let options = Pack { with_source: false, ..Pack::default() };
    let packed = pack(&onnx::bytes(&model(0)), &options).unwrap();
    Package::open(Mapped::copied(&packed.bytes).unwrap()).unwrap()
}

pub fn options() -> PackOver {
    PackOver { rank: 4, largest_deviation: 1e-3, ..PackOver::default() }
}

/// A base and so many adapters of it.
pub fn family(model: fn(u64) -> ModelProto, adapters: u64) -> Vec<Arc<dyn Model>> {
    family_by(&CpuBackend::default(), model, adapters)
}

/// What the pairs of the adapter of a number are kept as, and how far off its answers may be for that.
pub fn pairs_of(tuned: u64) -> (PairKind, f32) {
    match tuned % 3 {
        0 => (PairKind::I8, 5e-2),
        1 => (PairKind::F16, 2e-3),
        _ => (PairKind::F32, 1e-4),
    }
}

/// A base and adapters of it, as `backend` loads them, with pairs of all kinds: see [`pairs_of`].
pub fn family_by(
    backend: &dyn Backend,
    model: fn(u64) -> ModelProto,
    adapters: u64,
) -> Vec<Arc<dyn Model>> {
    let base = base_of(model);
    let loaded = backend.load(base.file()).unwrap();
    let over = |tuned: u64| {
        let (pairs, near) = pairs_of(tuned);
        let options = PackOver { pairs, largest_deviation: near.into(), ..options() };
        let packed = pack_over(&base, &onnx::bytes(&model(tuned)), &options).unwrap();
        assert!(packed.changed.thin == 0 || packed.changed.pairs == Some(pairs), "{packed:?}");
        backend.load_over(&Mapped::copied(&packed.bytes).unwrap(), &loaded).unwrap()
    };
    let adapters: Vec<_> = (1..=adapters).map(over).collect();
    [vec![Arc::clone(&loaded)], adapters].concat()
}

/// Inputs of so many rows, with `length` for each other open dimension.
pub fn inputs(model: &dyn Model, rows: u64, length: u64, noise: &mut Noise) -> Inputs {
    let tensors = model.signature().inputs.iter().map(|spec| {
        let open = |(axis, dim): (usize, &i64)| match u64::try_from(*dim) {
            Ok(dim) => dim,
            Err(_) if axis == 0 => rows,
            Err(_) => length,
        };
        let shape: Vec<u64> = spec.shape.iter().enumerate().map(open).collect();
        let count = shape.iter().product::<u64>() as usize;
        let data = match spec.datatype {
            DataType::Fp32 => TensorData::Fp32(noise.floats(count)),
            DataType::Int64 => {
                TensorData::Int64((0..count).map(|_| (noise.next() % 5) as i64).collect())
            }
            other => panic!("a test with {other}"),
        };
        Tensor::new(&spec.name, shape, data).unwrap()
    });
    Inputs::new(tensors.collect()).unwrap()
}
