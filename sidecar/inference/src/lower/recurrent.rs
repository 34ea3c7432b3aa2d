//! The cells of recurrent operators, for which tract has operators of its own.

use tract_onnx::{
    prelude::{OutletId, TDim, TypedNode},
    tract_core::ops::{
        gru_cell::GruEpilogue,
        gru_seq::GruSeq,
        lstm_cell::LstmEpilogue,
        scan::{Scan, ScanInfo},
    },
};

use super::{
    Weights,
    einsum::permuted,
    graph::{Because, Lowering},
    scan::MOST_TURNS,
};
use crate::plan::{Binary, Kind, Step, Unary};

/// What a cell is computed of: values of one shape, but for their last dimension, which is as many times
/// `hidden` as there are gates.
struct Cell {
    shape: Vec<TDim>,
    hidden: usize,
}

impl Lowering<'_> {
    /// Loops, cells, and sequences of cells. None where the node is no such.
    pub(super) fn recurrent(&mut self, node: &TypedNode) -> Option<Because<()>> {
        if node.op_is::<Scan>() {
            return Some(self.scan(node.id));
        }
        if let Some(op) = node.op_as::<LstmEpilogue>() {
            return Some(self.lstm_cell(node, op.hidden));
        }
        if let Some(op) = node.op_as::<GruEpilogue>() {
            return Some(self.gru_cell(node, op.hidden));
        }
        node.op_as::<GruSeq>().map(|op| self.gru_sequence(node, op))
    }

    fn lstm_cell(&mut self, node: &TypedNode, hidden: usize) -> Because<()> {
        let [sums, before] = &*node.inputs else { return Err("other inputs than two".to_owned()) };
        let cell = self.cell(*before, hidden, &[(*sums, 4)])?;
        let (sums, before) = (self.value(*sums)?, self.value(*before)?);
        // In ONNX's order: input, output, forget, cell.
        let forget = self.gate(&cell, sums, 2)?;
        let forget = self.of_one(&cell, Unary::Sigmoid, forget)?;
        let kept = self.of_two(&cell, Binary::Mul, forget, before)?;
        let input = self.gate(&cell, sums, 0)?;
        let input = self.of_one(&cell, Unary::Sigmoid, input)?;
        let new = self.gate(&cell, sums, 3)?;
        let new = self.of_one(&cell, Unary::Tanh, new)?;
        let new = self.of_two(&cell, Binary::Mul, input, new)?;
        let state = self.of_two(&cell, Binary::Add, kept, new)?;
        let shown = self.of_one(&cell, Unary::Tanh, state)?;
        let output = self.gate(&cell, sums, 1)?;
        let output = self.of_one(&cell, Unary::Sigmoid, output)?;
        let shown = self.of_two(&cell, Binary::Mul, output, shown)?;
        self.is(OutletId::new(node.id, 0), shown);
        self.is(OutletId::new(node.id, 1), state);
        Ok(())
    }

    fn gru_cell(&mut self, node: &TypedNode, hidden: usize) -> Because<()> {
        let [input, state, before] = &*node.inputs else {
            return Err("other inputs than three".to_owned());
        };
        let cell = self.cell(*before, hidden, &[(*input, 3), (*state, 3)])?;
        let (input, state) = (self.value(*input)?, self.value(*state)?);
        let before = self.value(*before)?;
        let shown = self.gru_step(&cell, [input, state], before)?;
        self.is(OutletId::new(node.id, 0), shown);
        Ok(())
    }

    /// What a cell is made of, where its operands are of 32-bit floats and fit together.
    fn cell(&self, before: OutletId, hidden: usize, sums: &[(OutletId, usize)]) -> Because<Cell> {
        let shape = self.shape_of(before)?;
        let of = |gates: usize| {
            let mut shape = shape.clone();
            if let Some(last) = shape.last_mut() {
                *last = TDim::from(hidden.saturating_mul(gates));
            }
            shape
        };
        let all = sums.iter().copied().chain([(before, 1)]);
        for (outlet, gates) in all {
            if self.kind_of(outlet)? != Kind::F32 || self.shape_of(outlet)? != of(gates) {
                return Err("a cell of other operands than 32-bit floats for each gate".to_owned());
            }
        }
        Ok(Cell { shape, hidden })
    }

    /// The gates of `input` and of `state` are in ONNX's order: update, reset, hidden.
    fn gru_step(&mut self, cell: &Cell, [input, state]: [u32; 2], before: u32) -> Because<u32> {
        let reset = self.both(cell, [input, state], 1)?;
        let reset = self.of_one(cell, Unary::Sigmoid, reset)?;
        let of_state = self.gate(cell, state, 2)?;
        let of_state = self.of_two(cell, Binary::Mul, reset, of_state)?;
        let of_input = self.gate(cell, input, 2)?;
        let new = self.of_two(cell, Binary::Add, of_input, of_state)?;
        let new = self.of_one(cell, Unary::Tanh, new)?;
        // In this order the last one writes no slot of what the gates are read from, and all are one kernel.
        let back = self.of_two(cell, Binary::Sub, before, new)?;
        let update = self.both(cell, [input, state], 0)?;
        let update = self.of_one(cell, Unary::Sigmoid, update)?;
        let back = self.of_two(cell, Binary::Mul, update, back)?;
        self.of_two(cell, Binary::Add, new, back)
    }

    /// A gate of the sum of two.
    fn both(&mut self, cell: &Cell, [left, right]: [u32; 2], at: usize) -> Because<u32> {
        let (left, right) = (self.gate(cell, left, at)?, self.gate(cell, right, at)?);
        self.of_two(cell, Binary::Add, left, right)
    }

    /// The numbers of one gate out of those of all.
    fn gate(&mut self, cell: &Cell, sums: u32, at: usize) -> Because<u32> {
        let rank = cell.shape.len();
        let (zero, start) = (TDim::Val(0), TDim::from(at.saturating_mul(cell.hidden)));
        let (zero, start) = (self.dimension(&zero)?, self.dimension(&start)?);
        let starts = (1..=rank).map(|axis| if axis == rank { start } else { zero }).collect();
        let output = self.in_slot(Kind::F32, &cell.shape)?;
        self.step(Step::Move { input: sums, output, axes: (0..rank as u32).collect(), starts });
        Ok(output)
    }

    fn of_one(&mut self, cell: &Cell, op: Unary, input: u32) -> Because<u32> {
        let output = self.in_slot(Kind::F32, &cell.shape)?;
        self.step(Step::Unary { op, input, output });
        Ok(output)
    }

    fn of_two(&mut self, cell: &Cell, op: Binary, left: u32, right: u32) -> Because<u32> {
        let output = self.in_slot(Kind::F32, &cell.shape)?;
        self.step(Step::Binary { op, left, right, output });
        Ok(output)
    }

    /// A whole sequence of cells, whose reset gate is applied behind the product.
    fn gru_sequence(&mut self, node: &TypedNode, op: &GruSeq) -> Because<()> {
        let (weights, rest) = match (&*node.inputs, op.projected) {
            ([_, rest @ ..], true) => (None, rest),
            ([_, weights, rest @ ..], false) => (Some(*weights), rest),
            _ => return Err("too few inputs".to_owned()),
        };
        let (recurrent, bias, first) = match (rest, op.has_bias) {
            ([recurrent, bias, first], true) => (*recurrent, Some(*bias), *first),
            ([recurrent, first], false) => (*recurrent, None, *first),
            _ => return Err("other inputs than it has names for".to_owned()),
        };
        let given = node.inputs.first().copied().ok_or("no input")?;
        let [batch, TDim::Val(turns), _] = &*self.shape_of(given)? else {
            return Err("a sequence of open length: give it a fixed one".to_owned());
        };
        let turns = usize::try_from(*turns).map_err(|error| error.to_string())?;
        if !(1..=MOST_TURNS).contains(&turns) {
            return Err(format!("expected 1 to {MOST_TURNS} turns, found {turns}"));
        }
        self.work = self.work.saturating_add(turns);
        let hidden = TDim::from(op.hidden);
        let gates = TDim::from(op.hidden.saturating_mul(3));
        let cell =
            Cell { shape: vec![batch.clone(), TDim::Val(1), hidden.clone()], hidden: op.hidden };
        let of_step = [batch.clone(), TDim::Val(1), gates.clone()];
        let biases = match bias {
            Some(bias) => {
                let (_, numbers) = self.constant_numbers(bias).ok_or("a bias that is computed")?;
                Some(
                    numbers
                        .split_at_checked(op.hidden.saturating_mul(3))
                        .ok_or("a bias too short")?,
                )
            }
            None => None,
        };
        let mut sums = self.value(given)?;
        if let Some(weights) = weights {
            let matrix = self.gates_matrix(weights, biases.map(|it| it.0))?;
            let output = self.in_slot(Kind::F32, &[batch.clone(), TDim::from(turns), gates])?;
            self.step(Step::Product { input: sums, matrix, output, relu: false });
            sums = output;
        }
        let matrix = self.gates_matrix(recurrent, biases.map(|it| it.1))?;
        let state = self.value(first)?;
        let mut state = self.reshaped(state, &cell.shape)?;
        let info = ScanInfo { axis: 1, chunk: op.chunk.signum() };
        let mut made = vec![];
        for turn in 0..turns {
            let input = self.piece(sums, (Kind::F32, &of_step), info, turn)?;
            let output = self.in_slot(Kind::F32, &of_step)?;
            self.step(Step::Product { input: state, matrix, output, relu: false });
            state = self.gru_step(&cell, [input, output], state)?;
            made.push(state);
        }
        self.is(OutletId::new(node.id, 1), state);
        if op.emit_y {
            let outlet = OutletId::new(node.id, 0);
            let value = self.joined(outlet, &made, info)?;
            self.is(outlet, value);
        }
        Ok(())
    }

    /// The matrix of a constant that has a row for each number of all gates.
    fn gates_matrix(&mut self, outlet: OutletId, bias: Option<&[f32]>) -> Because<u32> {
        let (dims, numbers) = self.constant_numbers(outlet).ok_or("weights that are computed")?;
        let [columns, inner] = *dims else { return Err("weights that are no matrix".to_owned()) };
        if bias.is_some_and(|it| it.len() != columns) {
            return Err("a bias of another length".to_owned());
        }
        let numbers = permuted(numbers, dims, &[1, 0]);
        Ok(self.matrix(Weights { inner, columns, numbers, bias: bias.map(<[f32]>::to_vec) }))
    }
}
