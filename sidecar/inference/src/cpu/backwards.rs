//! Recurrent operators that read backwards.
//!
//! tract reads a sequence forwards that is to be read backwards alone, takes a GRU that reads both ways
//! for another, and fails at any other that does where there are several rows, or they come first. What it
//! has is loops that go backwards. So an operator that reads both ways becomes two, and one that reads
//! backwards one that reads forwards, whose loop is turned round once there is one.

use std::mem;

use tract_onnx::{
    pb::{GraphProto, NodeProto, TensorProto},
    tract_core::ops::{
        gru_seq::GruSeq,
        scan::{InputMapping, Scan},
    },
    tract_hir::internal::*,
};

use super::{
    nodes::{along, attribute, one_integer, operator},
    recurrent::{INITIAL_C, INITIAL_H, direction, has_lengths, is_batch_first},
};

/// Inputs of `LSTM`, `GRU` and `RNN`, by their positions: what has a part for each direction.
const WEIGHTS: [usize; 4] = [1, 2, 3, 7];
const STATES: [usize; 2] = [INITIAL_H, INITIAL_C];

/// Writes those of a graph as ones that read forwards, where they read whole sequences and `opset` has
/// the operators for it. Gives the names of those to [`turn`].
pub(super) fn straighten(graph: &mut GraphProto, opset: i64) -> Vec<String> {
    let mut nodes = mem::take(&mut graph.node);
    let constants = &mut graph.initializer;
    let mut straight = Straight { opset, constants, nodes: vec![], turned: vec![], number: 0 };
    for node in nodes.drain(..) {
        straight.add(node);
    }
    graph.node = straight.nodes;
    straight.turned
}

/// Turns the loops of these names round: they read and answer from the last turn to the first.
pub(super) fn turn(model: &mut TypedModel, names: &[String]) -> TractResult<()> {
    for name in names {
        let node = model.nodes_mut().iter_mut().find(|it| it.name == *name);
        let node = node.with_context(|| format!("no loop is made of `{name}`"))?;
        if let Some(op) = node.op_as_mut::<GruSeq>() {
            op.chunk = -op.chunk;
            continue;
        }
        let Some(op) = node.op_as_mut::<Scan>() else { bail!("no loop is made of `{name}`") };
        for mapping in &mut op.input_mapping {
            if let InputMapping::Scan(info) = mapping {
                info.chunk = -info.chunk;
            }
        }
        for (_, info) in op.output_mapping.iter_mut().filter_map(|it| it.scan.as_mut()) {
            info.chunk = -info.chunk;
        }
    }
    Ok(())
}

struct Straight<'g> {
    opset: i64,
    constants: &'g mut Vec<TensorProto>,
    nodes: Vec<NodeProto>,
    turned: Vec<String>,
    /// Of the next name.
    number: usize,
}

impl Straight<'_> {
    fn add(&mut self, node: NodeProto) {
        let activations = match node.op_type.as_str() {
            "LSTM" => 3,
            "GRU" => 2,
            "RNN" => 1,
            _ => return self.nodes.push(node),
        };
        match direction(&node) {
            _ if has_lengths(&node) => self.nodes.push(node),
            b"reverse" => self.backwards(node),
            // Which activations have which of these numbers is not said by their order alone.
            b"bidirectional"
                if self.opset >= 10
                    && attribute(&node, "activation_alpha").is_none()
                    && attribute(&node, "activation_beta").is_none() =>
            {
                self.both_ways(&node, activations);
            }
            _ => self.nodes.push(node),
        }
    }

    fn backwards(&mut self, mut node: NodeProto) {
        node.name = self.name();
        node.attribute.retain(|it| it.name != "direction");
        self.turned.push(node.name.clone());
        self.nodes.push(node);
    }

    fn both_ways(&mut self, node: &NodeProto, activations: usize) {
        let beside = i64::from(is_batch_first(node));
        let mut parts = vec![vec![]; node.output.len()];
        for direction in 0..2_usize {
            let mut one = node.clone();
            one.name = self.name();
            one.attribute.retain(|it| it.name != "direction");
            for it in one.attribute.iter_mut().filter(|it| it.name == "activations") {
                let own = it.strings.chunks(activations).nth(direction);
                it.strings = own.unwrap_or_default().to_vec();
            }
            let at = direction as i64;
            for (inputs, axis) in [(&WEIGHTS[..], 0), (&STATES[..], beside)] {
                for input in inputs {
                    if let Some(input) = one.input.get_mut(*input).filter(|it| !it.is_empty()) {
                        let part = self.name();
                        let whole = mem::replace(input, part.clone());
                        self.slice(&whole, &part, [at, at + 1, axis]);
                    }
                }
            }
            for (output, parts) in one.output.iter_mut().zip(&mut parts) {
                if !output.is_empty() {
                    *output = self.name();
                    parts.push(output.clone());
                }
            }
            if direction == 0 {
                self.nodes.push(one);
            } else {
                self.backwards(one);
            }
        }
        // The states of all turns have a dimension more.
        for (at, (parts, output)) in parts.into_iter().zip(&node.output).enumerate() {
            if !parts.is_empty() {
                let axis = along(beside + i64::from(at == 0));
                let joined = operator("Concat", &parts.iter().collect::<Vec<_>>(), output);
                let name = self.name();
                self.nodes.push(NodeProto { name, attribute: vec![axis], ..joined });
            }
        }
    }

    /// What is from one place to another along an axis.
    fn slice(&mut self, from: &String, to: &str, start_end_axis: [i64; 3]) {
        let [start, end, axis] = start_end_axis.map(|number| {
            let name = self.name();
            self.constants.push(one_integer(name.clone(), number));
            name
        });
        let slice = operator("Slice", &[from, &start, &end, &axis], to);
        let name = self.name();
        self.nodes.push(NodeProto { name, ..slice });
    }

    fn name(&mut self) -> String {
        self.number += 1;
        format!("bulkhead.straight.{}", self.number)
    }
}
