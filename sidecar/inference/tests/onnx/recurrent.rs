//! Recurrent models.

use tract_onnx::pb::{
    AttributeProto, ModelProto, TensorProto, attribute_proto::AttributeType, tensor_proto::DataType,
};

use super::{Dim, Is, Named, floats, int, model, node, text, value};

/// How a sequence is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    Forwards,
    Backwards,
    BothWays,
}

/// What a recurrent model is made of.
#[derive(Debug, Clone, Copy)]
pub struct Recurrent {
    /// `LSTM`, `GRU` or `RNN`.
    pub kind: &'static str,
    pub reads: Reads,
    /// How many turns there are, or -1 where that is open, and how many numbers in each and between them.
    pub turns: i64,
    pub input: i64,
    pub hidden: i64,
    pub has_bias: bool,
    /// Whether states are given as inputs `h` and `c`, the batch first.
    pub has_states: bool,
    /// Whether the batch comes first in the operator itself, and not by what stands around it.
    pub batch_first: bool,
    /// Whether the states of all turns are answered, and not the last one alone.
    pub whole: bool,
    /// Whether a GRU resets behind its product.
    pub resets_behind: bool,
}

impl Recurrent {
    pub fn gates(&self) -> i64 {
        match self.kind {
            "LSTM" => 4,
            "GRU" => 3,
            _ => 1,
        }
    }

    pub fn directions(&self) -> i64 {
        1 + i64::from(self.reads == Reads::BothWays)
    }

    /// The model, with weights that `numbers` makes of a name and dimensions. `x` is of [N, turns, input],
    /// and `y` of [N, turns, directions, hidden] or [N, directions, hidden].
    pub fn model(&self, mut numbers: impl FnMut(&str, &[i64]) -> TensorProto) -> ModelProto {
        let Self { turns, input, hidden, .. } = *self;
        let (gates, directions) = (self.gates(), self.directions());
        let mut weights = vec![
            numbers("w", &[directions, gates * hidden, input]),
            numbers("r", &[directions, gates * hidden, hidden]),
        ];
        let mut inputs = vec![value("x", DataType::Float, &[Named("N"), Is(turns), Is(input)])];
        let mut nodes = vec![];
        let turned = |perm: &[i64]| vec![super::ints("perm", perm)];
        let mut given = vec!["x", "w", "r", "", "", "", ""];
        if self.has_bias {
            weights.push(numbers("b", &[directions, 2 * gates * hidden]));
            given[3] = "b";
        }
        if !self.batch_first {
            nodes.push(node("Transpose", &["x"], "xt", turned(&[1, 0, 2])));
            given[0] = "xt";
        }
        let states: &[(&str, &str)] = match (self.has_states, self.kind) {
            (false, _) => &[],
            (true, "LSTM") => &[("h", "ht"), ("c", "ct")],
            (true, _) => &[("h", "ht")],
        };
        for (at, (state, transposed)) in states.iter().enumerate() {
            inputs.push(value(state, DataType::Float, &[Named("N"), Is(directions), Is(hidden)]));
            given[5 + at] = state;
            if !self.batch_first {
                nodes.push(node("Transpose", &[state], transposed, turned(&[1, 0, 2])));
                given[5 + at] = transposed;
            }
        }
        let trailing = given.iter().rev().take_while(|it| it.is_empty()).count();
        given.truncate(given.len() - trailing);
        let direction = match self.reads {
            Reads::Forwards => "forward",
            Reads::Backwards => "reverse",
            Reads::BothWays => "bidirectional",
        };
        let mut attributes = vec![
            int("hidden_size", hidden),
            text("direction", direction),
            int("layout", i64::from(self.batch_first)),
        ];
        if self.kind == "GRU" {
            attributes.push(int("linear_before_reset", i64::from(self.resets_behind)));
        }
        let [sequence, last] = match (self.batch_first, self.whole) {
            (true, true) => ["y", ""],
            (true, false) => ["", "y"],
            (false, true) => ["ys", ""],
            (false, false) => ["", "yh"],
        };
        let mut cells = node(self.kind, &given, sequence, attributes);
        cells.output.push(last.to_owned());
        nodes.push(cells);
        match (self.batch_first, self.whole) {
            (true, _) => {}
            (false, true) => nodes.push(node("Transpose", &["ys"], "y", turned(&[2, 0, 1, 3]))),
            (false, false) => nodes.push(node("Transpose", &["yh"], "y", turned(&[1, 0, 2]))),
        }
        let mut shape: Vec<Dim> = vec![Named("N"), Is(turns), Is(directions), Is(hidden)];
        if !self.whole {
            shape.remove(1);
        }
        model(inputs, weights, nodes, vec![value("y", DataType::Float, &shape)])
    }
}

/// 64-bit integers.
pub fn integers(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![values.len() as i64],
        data_type: DataType::Int64 as i32,
        int64_data: values.to_vec(),
        ..Default::default()
    }
}

/// A graph as an attribute.
pub fn graph(name: &str, model: ModelProto) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Graph as i32,
        g: model.graph,
        ..Default::default()
    }
}

/// A scan over sequences `x` of [N, turns, 3], which sums up what a product with a matrix makes of each
/// piece, and what it had before, and answers all sums.
pub fn scan(turns: Dim, directions: [i64; 2], w: &[f32]) -> ModelProto {
    let body = model(
        vec![
            value("before", DataType::Float, &[Named("N"), Is(3)]),
            value("piece", DataType::Float, &[Named("N"), Is(3)]),
        ],
        vec![floats("w", &[3, 3], w)],
        vec![
            node("Add", &["before", "piece"], "both", vec![]),
            node("MatMul", &["both", "w"], "product", vec![]),
            node("Tanh", &["product"], "after", vec![]),
            node("Identity", &["after"], "shown", vec![]),
        ],
        vec![
            value("after", DataType::Float, &[Named("N"), Is(3)]),
            value("shown", DataType::Float, &[Named("N"), Is(3)]),
        ],
    );
    let mut scan = node(
        "Scan",
        &["h", "x"],
        "last",
        vec![
            graph("body", body),
            int("num_scan_inputs", 1),
            super::ints("scan_input_axes", &[1]),
            super::ints("scan_output_axes", &[1]),
            super::ints("scan_input_directions", &directions[..1]),
            super::ints("scan_output_directions", &directions[1..]),
        ],
    );
    scan.output.push("all".to_owned());
    model(
        vec![
            value("x", DataType::Float, &[Named("N"), turns, Is(3)]),
            value("h", DataType::Float, &[Named("N"), Is(3)]),
        ],
        vec![],
        vec![scan],
        vec![
            value("all", DataType::Float, &[Named("N"), turns, Is(3)]),
            value("last", DataType::Float, &[Named("N"), Is(3)]),
        ],
    )
}
