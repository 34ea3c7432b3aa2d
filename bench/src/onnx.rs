//! Perceptrons as ONNX files, with weights that mean nothing. Only the fields of its messages that they
//! need are written here.

use prost::Message;

const FLOAT: i32 = 1;

/// A perceptron over an input named `x`, whose shape is an open batch, `inner`, and the first of `widths`;
/// between layers negative numbers become 0. `weights` gives the rows of each layer's matrix, one after
/// another, by its number.
pub(crate) fn perceptron(
    widths: &[usize],
    inner: &[usize],
    weights: impl Fn(usize, (usize, usize)) -> Vec<f32>,
) -> Vec<u8> {
    let mut graph = Graph { name: "perceptron".to_owned(), ..Graph::default() };
    let mut last = "x".to_owned();
    for (layer, pair) in widths.windows(2).enumerate() {
        let [from, to] = *pair else { continue };
        let (name, sums) = (format!("w{layer}"), format!("s{layer}"));
        graph.initializer.push(tensor(&name, from, to, &weights(layer, (from, to))));
        graph.node.push(node("MatMul", &[&last, &name], &sums));
        let is_last = layer + 2 == widths.len();
        last = if is_last { "y".to_owned() } else { format!("h{layer}") };
        let operator = if is_last { "Identity" } else { "Relu" };
        graph.node.push(node(operator, &[&sums], &last));
    }
    let shape = |width: Option<&usize>| inner.iter().chain(width).map(|it| *it as i64).collect();
    graph.input.push(value("x", shape(widths.first())));
    graph.output.push(value("y", shape(widths.last())));
    let opset = Opset { domain: String::new(), version: 17 };
    Model { ir_version: 8, graph: Some(graph), opset_import: vec![opset] }.encode_to_vec()
}

/// Numbers of about 1 over the root of `rows`, always the same for one `seed`.
pub(crate) fn numbers(seed: u32, (rows, columns): (usize, usize)) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((f64::from(state) / f64::from(u32::MAX) - 0.5) / (rows as f64).sqrt()) as f32
    };
    (0..rows * columns).map(next).collect()
}

fn tensor(name: &str, rows: usize, columns: usize, weights: &[f32]) -> Tensor {
    let raw_data = weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
    let dims = vec![rows as i64, columns as i64];
    Tensor { dims, data_type: FLOAT, name: name.to_owned(), raw_data }
}

fn node(operator: &str, inputs: &[&str], output: &str) -> Node {
    Node {
        input: inputs.iter().map(|it| (*it).to_owned()).collect(),
        output: vec![output.to_owned()],
        name: output.to_owned(),
        op_type: operator.to_owned(),
    }
}

fn value(name: &str, dims: Vec<i64>) -> Value {
    let fixed = |value| Dimension { value: Some(value), parameter: None };
    let batch = Dimension { value: None, parameter: Some("batch".to_owned()) };
    let dim = std::iter::once(batch).chain(dims.into_iter().map(fixed)).collect();
    let tensor = TensorType { elem_type: FLOAT, shape: Some(Shape { dim }) };
    Value { name: name.to_owned(), r#type: Some(Type { tensor: Some(tensor) }) }
}

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<Opset>,
}

#[derive(Clone, PartialEq, Message)]
struct Opset {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<Value>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    r#type: Option<Type>,
}

#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, optional, tag = "1")]
    value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    parameter: Option<String>,
}
