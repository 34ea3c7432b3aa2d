//! Models that tests make.

use tract_onnx::pb::ModelProto;

use crate::{
    onnx::{self, Element, Is, Named},
    support::some,
};

/// Layers of these widths, the last one without an activation. `seed` makes the weights.
pub fn layers(seed: usize, widths: &[i64]) -> ModelProto {
    let (mut weights, mut nodes) = (vec![], vec![]);
    let mut from = "x".to_owned();
    for (at, pair) in widths.windows(2).enumerate() {
        let (w, b) = (format!("w{at}"), format!("b{at}"));
        let (product, sum) = (format!("p{at}"), format!("s{at}"));
        let scale = 1.0 / (pair[0] as f32).sqrt();
        let numbers = |seed, count: i64| -> Vec<f32> {
            some(seed, count as usize).iter().map(|it| it * scale).collect()
        };
        weights.push(onnx::floats(&w, pair, &numbers(seed * 31 + at, pair[0] * pair[1])));
        weights.push(onnx::floats(&b, &pair[1..], &numbers(seed * 17 + at, pair[1])));
        nodes.push(onnx::node("MatMul", &[&from, &w], &product, vec![]));
        nodes.push(onnx::node("Add", &[&product, &b], &sum, vec![]));
        from = sum;
        if at + 2 < widths.len() {
            nodes.push(onnx::node("Relu", &[&from], &format!("a{at}"), vec![]));
            from = format!("a{at}");
        }
    }
    nodes.push(onnx::node("Identity", &[&from], "y", vec![]));
    model(&widths[..1], weights, nodes, &widths[widths.len() - 1..])
}

/// A head of attention over sequences of `length` by `width`, with a norm before and a sum around it.
pub fn attention(length: i64, width: i64) -> ModelProto {
    let scale = 1.0 / (width as f32).sqrt();
    let square = |name: &str, seed| {
        let numbers: Vec<f32> =
            some(seed, (width * width) as usize).iter().map(|it| it * scale * 0.3).collect();
        onnx::floats(name, &[width, width], &numbers)
    };
    let node = onnx::node;
    let nodes = vec![
        node("ReduceMean", &["x"], "mean", vec![onnx::ints("axes", &[-1])]),
        node("Sub", &["x", "mean"], "centred", vec![]),
        node("Mul", &["centred", "centred"], "squares", vec![]),
        node("ReduceMean", &["squares"], "variance", vec![onnx::ints("axes", &[-1])]),
        node("Add", &["variance", "epsilon"], "safe", vec![]),
        node("Sqrt", &["safe"], "deviation", vec![]),
        node("Div", &["centred", "deviation"], "normed", vec![]),
        node("Mul", &["normed", "gamma"], "n", vec![]),
        node("MatMul", &["n", "wq"], "q", vec![]),
        node("MatMul", &["n", "wk"], "k", vec![]),
        node("MatMul", &["n", "wv"], "v", vec![]),
        node("Transpose", &["k"], "kt", vec![onnx::ints("perm", &[0, 2, 1])]),
        node("MatMul", &["q", "kt"], "scores", vec![]),
        node("Mul", &["scores", "scale"], "scaled", vec![]),
        node("Softmax", &["scaled"], "weights", vec![onnx::int("axis", -1)]),
        node("MatMul", &["weights", "v"], "mixed", vec![]),
        node("MatMul", &["mixed", "wo"], "out", vec![]),
        node("Add", &["x", "out"], "y", vec![]),
    ];
    let weights = vec![
        square("wq", 1),
        square("wk", 2),
        square("wv", 3),
        square("wo", 4),
        onnx::floats("epsilon", &[1], &[1e-5]),
        onnx::floats("scale", &[1], &[scale]),
        onnx::floats("gamma", &[width], &some(5, width as usize)),
    ];
    model(&[length, width], weights, nodes, &[length, width])
}

/// Layers with a cast to 64-bit floats and back in the middle, which no device does.
pub fn with_a_step_of_the_cpus() -> ModelProto {
    let node = onnx::node;
    let to = |element: Element| vec![onnx::int("to", element as i64)];
    let nodes = vec![
        node("MatMul", &["x", "w"], "p", vec![]),
        node("Relu", &["p"], "a", vec![]),
        node("Cast", &["a"], "wide", to(Element::Double)),
        node("Cast", &["wide"], "narrow", to(Element::Float)),
        node("Add", &["narrow", "a"], "sum", vec![]),
        node("MatMul", &["sum", "w"], "q", vec![]),
        node("Tanh", &["q"], "y", vec![]),
    ];
    let weights: Vec<f32> = some(3, 36).iter().map(|it| it * 0.1).collect();
    model(&[6], vec![onnx::floats("w", &[6, 6], &weights)], nodes, &[6])
}

pub fn model(
    input: &[i64],
    weights: Vec<tract_onnx::pb::TensorProto>,
    nodes: Vec<tract_onnx::pb::NodeProto>,
    output: &[i64],
) -> ModelProto {
    let shape = |dims: &[i64]| {
        std::iter::once(Named("N")).chain(dims.iter().map(|dim| Is(*dim))).collect::<Vec<_>>()
    };
    onnx::model(
        vec![onnx::value("x", Element::Float, &shape(input))],
        weights,
        nodes,
        vec![onnx::value("y", Element::Float, &shape(output))],
    )
}
