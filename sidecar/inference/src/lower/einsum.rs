//! Sums of products: matrix products of every shape.

use tract_onnx::{
    prelude::{DatumType, OutletId, TDim, TypedNode},
    tract_core::ops::{binary::TypedBinOp, einsum::EinSum},
};

use super::{
    Weights,
    graph::{Because, Lowering},
    views::View,
};
use crate::plan::{Kind, Step};

/// The axes of one operand, by what becomes of them. Axes of length 1 are nothing and left out.
#[derive(Default)]
struct Axes {
    batch: Vec<usize>,
    own: Vec<usize>,
    summed: Vec<usize>,
}

struct Operand {
    outlet: OutletId,
    shape: Vec<TDim>,
    axes: Axes,
    /// Where its own axes are in the result.
    result: Vec<usize>,
}

impl Lowering<'_> {
    pub(super) fn einsum(&mut self, node: &TypedNode, op: &EinSum) -> Because<()> {
        if op.q_params.is_some() || op.operating_dt != DatumType::F32 {
            return Err("a sum of products that is not of 32-bit floats".to_owned());
        }
        let [left, right] = &*node.inputs else {
            return Err("a sum of products of more than two tensors".to_owned());
        };
        let result = OutletId::new(node.id, 0);
        if self.kind_of(*left)? != Kind::F32 || self.kind_of(*right)? != Kind::F32 {
            return Err("a sum of products that is not of 32-bit floats".to_owned());
        }
        let shape = self.shape_of(result)?;
        let (mut left, mut right, batch) = self.operands(op, *left, *right, &shape)?;
        let natural = |left: &Operand, right: &Operand| -> Vec<usize> {
            batch.iter().chain(&left.result).chain(&right.result).copied().collect()
        };
        // The second operand is the one that is packed: a constant where there is one, and else
        // the one with which the result needs no rearranging.
        let (left_fixed, right_fixed) =
            (self.constant(left.outlet).is_some(), self.constant(right.outlet).is_some());
        let is_sorted = |order: &[usize]| order.is_sorted();
        if (left_fixed && !right_fixed)
            || (left_fixed == right_fixed
                && !is_sorted(&natural(&left, &right))
                && is_sorted(&natural(&right, &left)))
        {
            std::mem::swap(&mut left, &mut right);
        }
        let order = natural(&left, &right);
        if left.axes.summed.len() != right.axes.summed.len() {
            return Err("a sum over an axis of one tensor alone".to_owned());
        }
        let fixed = self.constant_numbers(right.outlet).filter(|_| batch.is_empty());
        let direct = order.is_sorted();
        let natural_shape: Vec<TDim> =
            order.iter().filter_map(|axis| shape.get(*axis)).cloned().collect();
        let is_fixed = fixed.is_some();
        let (product, made) = match fixed {
            Some((dims, numbers)) => {
                let made = self.fixed_product(node, &left, &right, &shape, (dims, numbers))?;
                (made.0, made.1)
            }
            None => (self.plain_product(&left, &right, &batch, &shape, &natural_shape)?, result),
        };
        if direct {
            let value = self.reshaped(product, &shape)?;
            self.is(made, value);
        } else if is_fixed
            && self.is_viewed(left.outlet)
            && let axes = self.view(left.outlet)?.axes
            && lies_in(&order, &axes, &shape)
        {
            let within = self.shape_in(made, &axes)?;
            let value = self.reshaped(product, &within)?;
            self.is_view(made, View { value, axes });
        } else {
            let natural = self.reshaped(product, &natural_shape)?;
            let mut back: Vec<usize> = (0..order.len()).collect();
            back.sort_by_key(|at| order.get(*at));
            let to_shape: Vec<TDim> =
                back.iter().filter_map(|at| natural_shape.get(*at)).cloned().collect();
            let to = self.in_slot(Kind::F32, &to_shape)?;
            let axes = back.iter().map(|at| *at as u32).collect();
            self.step(Step::Move { input: natural, output: to, axes, starts: vec![] });
            let value = self.reshaped(to, &shape)?;
            self.is(made, value);
        }
        Ok(())
    }

    fn operands(
        &self,
        op: &EinSum,
        left: OutletId,
        right: OutletId,
        result: &[TDim],
    ) -> Because<(Operand, Operand, Vec<usize>)> {
        let new = |outlet| -> Because<Operand> {
            let shape = self.shape_of(outlet)?;
            Ok(Operand { outlet, shape, axes: Axes::default(), result: vec![] })
        };
        let (mut left, mut right) = (new(left)?, new(right)?);
        let mut batch = vec![];
        let mut axes: Vec<_> = op.axes.iter_all_axes().collect();
        axes.sort_by_key(|axis| axis.outputs.first().and_then(|it| it.first().copied()));
        for axis in axes {
            let one = TDim::Val(1);
            let of = |at: Option<&[usize]>, shape: &[TDim]| -> Because<Option<usize>> {
                match at.unwrap_or_default() {
                    [] => Ok(None),
                    [at] => Ok(shape.get(*at).filter(|dim| **dim != one).map(|_| *at)),
                    _ => Err("an axis that comes twice in one tensor".to_owned()),
                }
            };
            let in_left = of(axis.inputs.first().map(|it| &**it), &left.shape)?;
            let in_right = of(axis.inputs.get(1).map(|it| &**it), &right.shape)?;
            let in_result = of(axis.outputs.first().map(|it| &**it), result)?;
            match (in_left, in_right, in_result) {
                (None, None, None) => {}
                (Some(a), Some(b), Some(c)) => {
                    left.axes.batch.push(a);
                    right.axes.batch.push(b);
                    batch.push(c);
                }
                (Some(a), None, Some(c)) => {
                    left.axes.own.push(a);
                    left.result.push(c);
                }
                (None, Some(b), Some(c)) => {
                    right.axes.own.push(b);
                    right.result.push(c);
                }
                (Some(a), Some(b), None) => {
                    left.axes.summed.push(a);
                    right.axes.summed.push(b);
                }
                _ => return Err("a sum over an axis of one tensor alone".to_owned()),
            }
        }
        Ok((left, right, batch))
    }

    /// A product with a constant matrix, with the addition and the relu that follow it, where they
    /// do and nobody else wants what is between. Gives the outlet that it is then.
    fn fixed_product(
        &mut self,
        node: &TypedNode,
        left: &Operand,
        right: &Operand,
        shape: &[TDim],
        (dims, numbers): (&[usize], &[f32]),
    ) -> Because<(u32, OutletId)> {
        // The left operand says in which order is summed, so that it need not be rearranged.
        let mut summed: Vec<(usize, usize)> =
            left.axes.summed.iter().copied().zip(right.axes.summed.iter().copied()).collect();
        summed.sort_unstable();
        let (left_summed, right_summed): (Vec<usize>, Vec<usize>) = summed.into_iter().unzip();
        let order: Vec<usize> = left.axes.own.iter().chain(&left_summed).copied().collect();
        let input = self.arranged(left, &order)?;
        let size = |axes: &[usize]| axes.iter().filter_map(|at| dims.get(*at)).product::<usize>();
        let order: Vec<usize> = right_summed.iter().chain(&right.axes.own).copied().collect();
        let (inner, columns) = (size(&right_summed), size(&right.axes.own));
        let mut bias = None;
        let mut outlet = OutletId::new(node.id, 0);
        let mut last = node;
        if let Some(reader) = self.only_reader(last)
            && let Some(added) = self.added(reader, outlet, right, shape, columns)
        {
            bias = Some(added);
            (outlet, last) = (OutletId::new(reader.id, 0), reader);
            self.scope.done.insert(reader.id);
        }
        // What is added behind something else, as to the gates of a loop, may as well be added at once.
        if self.work > 0
            && let Some(sum) = self.only_reader(last)
            && self.is_sum_with(sum, outlet)
            && let Some(later) = self.only_reader(sum)
            && !self.scope.passing.contains_key(&later.id)
            && let sum = OutletId::new(sum.id, 0)
            && let Some(mut added) = self.added(later, sum, right, shape, columns)
        {
            let before = bias.iter().flatten();
            added.iter_mut().zip(before).for_each(|(added, before)| *added += before);
            bias = Some(added);
            self.scope.passing.insert(later.id, sum);
        }
        let (outlet, relu) = self.made_with_relu(last);
        let natural: Vec<TDim> = left
            .result
            .iter()
            .chain(&right.result)
            .filter_map(|axis| shape.get(*axis))
            .cloned()
            .collect();
        let matrix = self.matrix_of((node.id, 0), || {
            let numbers = permuted(numbers, dims, &order);
            Weights { inner, columns, numbers, bias }
        });
        let output = self.in_slot(Kind::F32, &natural)?;
        self.step(Step::Product { input, matrix, output, relu });
        Ok((output, outlet))
    }

    /// What `reader` adds to `outlet`, where it adds a number for each column.
    fn added(
        &self,
        reader: &TypedNode,
        outlet: OutletId,
        right: &Operand,
        shape: &[TDim],
        columns: usize,
    ) -> Option<Vec<f32>> {
        let (dims, numbers) = self.other_operand(reader, outlet, "Add")?;
        if let [only] = numbers {
            return Some(vec![*only; columns]);
        }
        let fits = dims.len() == shape.len()
            && numbers.len() == columns
            && dims.iter().enumerate().all(|(at, dim)| *dim == 1 || right.result.contains(&at));
        fits.then(|| numbers.to_vec())
    }

    /// Whether `reader` adds another tensor of its shape to `outlet`.
    fn is_sum_with(&self, reader: &TypedNode, outlet: OutletId) -> bool {
        let is_sum = reader.op_as::<TypedBinOp>().is_some_and(|op| op.0.name() == "Add");
        let is_other = |it: &&OutletId| **it != outlet && self.constant(**it).is_none();
        let others = reader.inputs.iter().filter(is_other);
        let keeps_shape = self.shape_of(OutletId::new(reader.id, 0)) == self.shape_of(outlet);
        is_sum && keeps_shape && others.count() == 1
    }

    /// What a node's product makes: what follows it, where that is what a product can do at its end.
    pub(super) fn made_with_relu(&mut self, node: &TypedNode) -> (OutletId, bool) {
        let outlet = OutletId::new(node.id, 0);
        if let Some(reader) = self.only_reader(node)
            && self.is_relu(reader, outlet)
        {
            self.scope.done.insert(reader.id);
            return (OutletId::new(reader.id, 0), true);
        }
        (outlet, false)
    }

    fn is_relu(&self, reader: &TypedNode, outlet: OutletId) -> bool {
        let Some((_, numbers)) = self.other_operand(reader, outlet, "Max") else { return false };
        numbers == [0.0]
    }

    /// The constant that a function of two numbers joins with `outlet`.
    fn other_operand(
        &self,
        reader: &TypedNode,
        outlet: OutletId,
        function: &str,
    ) -> Option<(&[usize], &[f32])> {
        let op = reader.op_as::<TypedBinOp>()?;
        let [a, b] = &*reader.inputs else { return None };
        let other = if *a == outlet { *b } else { *a };
        let keeps_shape = self.shape_of(OutletId::new(reader.id, 0)) == self.shape_of(outlet);
        if op.0.name() != function || other == outlet || !keeps_shape {
            return None;
        }
        self.constant_numbers(other)
    }

    fn plain_product(
        &mut self,
        left: &Operand,
        right: &Operand,
        batch: &[usize],
        shape: &[TDim],
        natural_shape: &[TDim],
    ) -> Because<u32> {
        let join = |parts: [&[usize]; 3]| parts.concat();
        let left_order = join([&left.axes.batch, &left.axes.own, &left.axes.summed]);
        let plain = join([&right.axes.batch, &right.axes.summed, &right.axes.own]);
        let turned = join([&right.axes.batch, &right.axes.own, &right.axes.summed]);
        let transposed = !plain.is_sorted() && turned.is_sorted();
        let input = self.arranged(left, &left_order)?;
        let other = self.arranged(right, if transposed { &turned } else { &plain })?;
        let of = |axes: &[usize], shape: &[TDim]| -> Vec<TDim> {
            axes.iter().filter_map(|at| shape.get(*at)).cloned().collect()
        };
        let (batch, rows) = (of(batch, shape), of(&left.axes.own, &left.shape));
        let (inner, columns) =
            (of(&left.axes.summed, &left.shape), of(&right.axes.own, &right.shape));
        let dimensions = [
            self.product(batch.iter())?,
            self.product(rows.iter())?,
            self.product(inner.iter())?,
            self.product(columns.iter())?,
        ];
        let output = self.in_slot(Kind::F32, natural_shape)?;
        self.step(Step::MatMul { left: input, right: other, output, dimensions, transposed });
        Ok(output)
    }

    /// The operand with its axes in `order`, which leaves out those of length 1.
    fn arranged(&mut self, operand: &Operand, order: &[usize]) -> Because<u32> {
        let view = self.view(operand.outlet)?;
        let axes: Vec<usize> = order.iter().filter_map(|at| view.axes.get(*at)).copied().collect();
        if axes.is_sorted() {
            return Ok(view.value);
        }
        let shape: Vec<TDim> =
            order.iter().filter_map(|at| operand.shape.get(*at)).cloned().collect();
        let output = self.in_slot(Kind::F32, &shape)?;
        let axes = axes.iter().map(|at| *at as u32).collect();
        self.step(Step::Move { input: view.value, output, axes, starts: vec![] });
        Ok(output)
    }
}

/// Whether dimensions of a tensor that lie in `order`, without those of length 1, lie as in a view.
fn lies_in(order: &[usize], axes: &[usize], shape: &[TDim]) -> bool {
    let mut viewed: Vec<usize> = (0..shape.len()).collect();
    viewed.sort_by_key(|at| axes.get(*at));
    viewed.retain(|at| shape.get(*at) != Some(&TDim::Val(1)));
    axes.len() == shape.len() && viewed == order
}

/// The numbers of a tensor with its axes in `order`; axes that are left out have length 1.
pub(super) fn permuted(numbers: &[f32], dims: &[usize], order: &[usize]) -> Vec<f32> {
    let stride = |axis: usize| dims.iter().skip(axis + 1).product::<usize>();
    let mut starts = vec![0_usize];
    for axis in order {
        let (length, stride) = (dims.get(*axis).copied().unwrap_or(1), stride(*axis));
        starts = starts
            .iter()
            .flat_map(|start| (0..length).map(move |at| start + at * stride))
            .collect();
    }
    starts.iter().map(|at| numbers.get(*at).copied().unwrap_or_default()).collect()
}
