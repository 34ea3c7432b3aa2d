//! Each operator that has a step.

use tract_onnx::{
    prelude::{OutletId, TDim, TypedNode},
    tract_core::ops::{
        Downsample,
        array::{Gather, MultiBroadcastTo, Pad, Slice, TypedConcat},
        binary::TypedBinOp,
        cast::Cast,
        change_axes::AxisOp,
        cnn::{Conv, Deconv, MaxPool, SumPool},
        einsum::EinSum,
        element_wise::{ElementWiseMiniOp, ElementWiseOp},
        identity::Identity,
        logic::Iff,
        math::PowConst,
        nn::{LeakyRelu, Reduce, Reducer, RmsNorm, Softmax, SoftmaxKind, gelu_approximate},
    },
};

use super::{
    graph::{Because, Lowering, is_source, kind, scalar},
    views::View,
};
use crate::{
    operators::Category,
    plan::{Binary, Kind, Reduction, Step, Unary},
};

impl Lowering<'_> {
    pub(super) fn node(&mut self, node: &TypedNode) -> Because<()> {
        if is_source(node) || self.scope.done.contains(&node.id) {
            return Ok(());
        }
        if let Some(operand) = self.scope.passing.get(&node.id).copied() {
            let value = self.value(operand)?;
            self.is(OutletId::new(node.id, 0), value);
            return Ok(());
        }
        if let Some(done) = self.recurrent(node) {
            return done;
        }
        let [_] = &*node.outputs else { return Err("more than one output".to_owned()) };
        if let Some(op) = node.op_as::<EinSum>() {
            return self.einsum(node, op);
        }
        if let Some(op) = node.op_as::<AxisOp>() {
            return self.axis_op(node, op);
        }
        if let Some(TypedBinOp(op, _)) = node.op_as::<TypedBinOp>() {
            return self.binary(node, op.name());
        }
        if let Some(ElementWiseOp(op, _)) = node.op_as::<ElementWiseOp>() {
            return self.unary(node, &**op);
        }
        if let Some(op) = node.op_as::<Conv>() {
            return self.conv(node, op);
        }
        if let Some(op) = node.op_as::<Deconv>() {
            return self.deconv(node, op);
        }
        if let Some(op) = node.op_as::<MaxPool>() {
            return self.max_pool(node, op);
        }
        if let Some(op) = node.op_as::<SumPool>() {
            return self.sum_pool(node, op);
        }
        if let Some(op) = node.op_as::<Pad>() {
            return self.pad(node, op);
        }
        if let Some(op) = node.op_as::<Downsample>() {
            return self.downsample(node, op);
        }
        if let Some(op) = node.op_as::<Reduce>() {
            return self.reduce(node, op);
        }
        if let Some(op) = node.op_as::<TypedConcat>() {
            return self.concat(node, op);
        }
        let outlet = OutletId::new(node.id, 0);
        let inputs =
            node.inputs.iter().map(|input| self.value(*input)).collect::<Because<Vec<_>>>();
        if let Some(op) = node.op_as::<Cast>() {
            return self.cast(node, op, outlet);
        }
        let inputs = inputs?;
        let [input, others @ ..] = &*inputs else { return Err("no input".to_owned()) };
        let input = *input;
        let rank = |lowering: &Self| lowering.shape_of(outlet).map(|it| it.len());
        let step = if node.op_is::<Identity>() {
            self.is(outlet, input);
            return Ok(());
        } else if let Some(op) = node.op_as::<Gather>() {
            let [indices] = others else { return Err("other inputs than two".to_owned()) };
            if node.inputs.get(1).map(|it| self.kind_of(*it)) != Some(Ok(Kind::I64)) {
                return Err("indices that are not 64-bit integers".to_owned());
            }
            let output = self.written(outlet)?;
            Step::Gather { axis: op.axis as u32, table: input, indices: *indices, output }
        } else if let Some(op) = node.op_as::<Slice>() {
            let (rank, zero) = (rank(self)?, self.dimension(&TDim::Val(0))?);
            let start = self.dimension(&op.start)?;
            let starts = (0..rank).map(|at| if at == op.axis { start } else { zero }).collect();
            let output = self.written(outlet)?;
            Step::Move { input, output, axes: (0..rank as u32).collect(), starts }
        } else if node.op_is::<MultiBroadcastTo>() {
            self.broadcast(node, input, outlet)?
        } else if let Some(op) = node.op_as::<Softmax>() {
            if op.quant_output_dt.is_some() || self.kind_of(outlet)? != Kind::F32 {
                return Err("of another kind than 32-bit floats".to_owned());
            }
            let (axis, axes) = range(&op.axes)?;
            let mut log = op.kind == SoftmaxKind::LogSoftmax;
            let mut made = outlet;
            // Where it is the logarithm that is wanted, numbers that are far below the largest have one.
            if !log
                && let Some(reader) = self.only_reader(node)
                && let Some(ElementWiseOp(function, _)) = reader.op_as::<ElementWiseOp>()
                && function.name() == "Ln"
            {
                self.scope.done.insert(reader.id);
                (made, log) = (OutletId::new(reader.id, 0), true);
            }
            let output = self.written(made)?;
            Step::Softmax { input, output, axis, axes, log }
        } else if let Some(op) = node.op_as::<RmsNorm>() {
            let epsilon = scalar::<f32>(&op.eps).ok_or("an epsilon that is no 32-bit float")?;
            if self.kind_of(outlet)? != Kind::F32 {
                return Err("of another kind than 32-bit floats".to_owned());
            }
            let output = self.written(outlet)?;
            Step::RmsNorm { input, output, axis: op.axis as u32, epsilon }
        } else if node.op_is::<Iff>() {
            let [yes, no] = others else { return Err("other inputs than three".to_owned()) };
            let output = self.written(outlet)?;
            Step::Select { condition: input, yes: *yes, no: *no, output }
        } else if let Some(op) = node.op_as::<Category>() {
            let output = self.written(outlet)?;
            let (texts, codes) = op.codes.clone().into_iter().unzip();
            Step::Category { input, output, texts, codes, otherwise: op.otherwise }
        } else {
            return Err("plans have no step for it".to_owned());
        };
        self.step(step);
        Ok(())
    }

    fn cast(&mut self, node: &TypedNode, op: &Cast, outlet: OutletId) -> Because<()> {
        let [from] = &*node.inputs else { return Err("no input".to_owned()) };
        let input = self.value(*from)?;
        let (from, to) = (self.kind_of(*from)?, kind(op.to)?);
        if from == to {
            self.is(outlet, input);
            return Ok(());
        }
        if from == Kind::Text || to == Kind::Text {
            return Err("a cast of texts".to_owned());
        }
        let output = self.written(outlet)?;
        self.step(Step::Cast { input, output });
        Ok(())
    }

    fn concat(&mut self, node: &TypedNode, op: &TypedConcat) -> Because<()> {
        let outlet = OutletId::new(node.id, 0);
        let (inputs, axes) = self.alike(&node.inputs)?;
        let (axis, output) = match axes {
            Some(axes) => {
                let axis = axes.get(op.axis).copied().ok_or("an axis that there is not")?;
                (axis, self.written_in(outlet, &axes)?)
            }
            None => (op.axis, self.written(outlet)?),
        };
        self.step(Step::Concat { axis: axis as u32, inputs, output });
        Ok(())
    }

    fn axis_op(&mut self, node: &TypedNode, op: &AxisOp) -> Because<()> {
        let [from] = &*node.inputs else { return Err("no input".to_owned()) };
        let outlet = OutletId::new(node.id, 0);
        if let AxisOp::Move(from_axis, to_axis) = op
            && self.is_viewed(*from)
        {
            let View { value, mut axes } = self.view(*from)?;
            if *from_axis >= axes.len() || *to_axis >= axes.len() {
                return Err("a move of an axis that there is not".to_owned());
            }
            let axis = axes.remove(*from_axis);
            axes.insert(*to_axis, axis);
            self.is_view(outlet, View { value, axes });
            return Ok(());
        }
        let input = self.value(*from)?;
        match op {
            AxisOp::Add(_) | AxisOp::Rm(_) | AxisOp::Reshape(..) => {
                let shape = self.shape_of(outlet)?;
                let value = self.reshaped(input, &shape)?;
                self.is(outlet, value);
            }
            AxisOp::Move(from_axis, to_axis) => {
                if self.kind_of(*from)? == Kind::Text {
                    return Err("a move of texts".to_owned());
                }
                let mut axes: Vec<u32> = (0..self.shape_of(*from)?.len() as u32).collect();
                if *from_axis >= axes.len() || *to_axis >= axes.len() {
                    return Err("a move of an axis that there is not".to_owned());
                }
                let axis = axes.remove(*from_axis);
                axes.insert(*to_axis, axis);
                let output = self.written(outlet)?;
                self.step(Step::Move { input, output, axes, starts: vec![] });
            }
        }
        Ok(())
    }

    fn broadcast(&mut self, node: &TypedNode, input: u32, outlet: OutletId) -> Because<Step> {
        let [from] = &*node.inputs else { return Err("no input".to_owned()) };
        let (read, wrote) = (self.shape_of(*from)?, self.shape_of(outlet)?);
        let missing = wrote.len().checked_sub(read.len()).ok_or("fewer dimensions than before")?;
        let axes = (0..wrote.len())
            .map(|at| match at.checked_sub(missing) {
                Some(at) if read.get(at) != Some(&TDim::Val(1)) => at as u32,
                _ => read.len() as u32,
            })
            .collect();
        let output = self.written(outlet)?;
        Ok(Step::Move { input, output, axes, starts: vec![] })
    }

    fn reduce(&mut self, node: &TypedNode, op: &Reduce) -> Because<()> {
        let [from] = &*node.inputs else { return Err("no input".to_owned()) };
        let View { value: input, axes: order } = self.view(*from)?;
        let outlet = OutletId::new(node.id, 0);
        let reduction = match op.reducer {
            Reducer::ArgMax(false) => Reduction::ArgMax,
            Reducer::ArgMin(false) => Reduction::ArgMin,
            Reducer::Max => Reduction::Max,
            Reducer::MeanOfSquares => Reduction::MeanOfSquares,
            Reducer::Min => Reduction::Min,
            Reducer::Prod => Reduction::Prod,
            Reducer::Sum => Reduction::Sum,
            other => return Err(format!("{other:?}")),
        };
        let kind = self.kind_of(*from)?;
        let is_by_index = matches!(reduction, Reduction::ArgMax | Reduction::ArgMin);
        if kind != Kind::F32
            && (kind != Kind::I64 || is_by_index || reduction == Reduction::MeanOfSquares)
        {
            return Err(format!("of {kind:?}"));
        }
        let mut axes: Vec<usize> =
            op.axes.iter().filter_map(|at| order.get(*at)).copied().collect();
        axes.sort_unstable();
        if let Ok((axis, axes)) = range(&axes) {
            let output = self.written_in(outlet, &order)?;
            self.step(Step::Reduce { op: reduction, input, output, axis, axes });
            return Ok(());
        }
        if is_by_index || reduction == Reduction::MeanOfSquares {
            return Err("over axes that are apart".to_owned());
        }
        let mut shape = self.shape_in(*from, &order)?;
        let mut value = input;
        for axis in axes {
            *shape.get_mut(axis).ok_or("an axis that there is not")? = TDim::Val(1);
            let output = self.in_slot(kind, &shape)?;
            let axis = axis as u32;
            self.step(Step::Reduce { op: reduction, input: value, output, axis, axes: 1 });
            value = output;
        }
        self.is_view(outlet, View { value, axes: order });
        Ok(())
    }

    fn binary(&mut self, node: &TypedNode, name: &str) -> Because<()> {
        let [left, right] = &*node.inputs else {
            return Err("other inputs than two".to_owned());
        };
        let (mut left, mut right) = (*left, *right);
        let op = match name {
            "Add" => Binary::Add,
            "And" => Binary::And,
            "Div" => Binary::Div,
            "Eq" => Binary::Equal,
            "GT" => Binary::Greater,
            "GTE" => Binary::GreaterEqual,
            "LT" => Binary::Less,
            "LTE" => Binary::LessEqual,
            "Max" => Binary::Max,
            "Min" => Binary::Min,
            "Mul" => Binary::Mul,
            "NE" => Binary::NotEqual,
            "Or" => Binary::Or,
            "Pow" => Binary::Pow,
            "Sub" => Binary::Sub,
            "SubF" => {
                (left, right) = (right, left);
                Binary::Sub
            }
            "Xor" => Binary::Xor,
            other => return Err(format!("the function {other}")),
        };
        let outlet = OutletId::new(node.id, 0);
        let (kind, other, result) =
            (self.kind_of(left)?, self.kind_of(right)?, self.kind_of(outlet)?);
        let (compares, logic) = (op.compares(), op.is_logical());
        let fits = kind == other
            && match kind {
                Kind::F32 => !logic,
                Kind::I64 => !logic && op != Binary::Pow,
                Kind::Bool => logic || matches!(op, Binary::Equal | Binary::NotEqual),
                _ => false,
            }
            && result == if compares { Kind::Bool } else { kind };
        if !fits {
            return Err(format!("{name} of {kind:?} and {other:?}"));
        }
        let (values, axes) = self.alike(&[left, right])?;
        let [left, right] = *values else { return Err("other inputs than two".to_owned()) };
        let output = match axes {
            Some(axes) => self.written_in(outlet, &axes)?,
            None => self.written(outlet)?,
        };
        self.step(Step::Binary { op, left, right, output });
        Ok(())
    }

    fn unary(&mut self, node: &TypedNode, op: &dyn ElementWiseMiniOp) -> Because<()> {
        let [from] = &*node.inputs else { return Err("other inputs than one".to_owned()) };
        let outlet = OutletId::new(node.id, 0);
        let (kind, result) = (self.kind_of(*from)?, self.kind_of(outlet)?);
        let unary = function(op)?;
        let fits = match kind {
            Kind::F32 => unary != Unary::Not,
            Kind::I64 => matches!(unary, Unary::Abs | Unary::Neg),
            Kind::Bool => unary == Unary::Not,
            _ => false,
        };
        if !fits || kind != result {
            return Err(format!("{} of {kind:?}", op.name()));
        }
        let View { value: input, axes } = self.view(*from)?;
        let output = self.written_in(outlet, &axes)?;
        self.step(Step::Unary { op: unary, input, output });
        Ok(())
    }
}

fn function(op: &dyn ElementWiseMiniOp) -> Because<Unary> {
    if let Some(op) = op.downcast_ref::<LeakyRelu>() {
        return Ok(Unary::LeakyRelu(op.alpha));
    }
    if let Some(op) = op.downcast_ref::<PowConst>() {
        return Ok(Unary::Pow(op.exponent));
    }
    if let Some(op) = op.downcast_ref::<gelu_approximate::GeluApproximate>() {
        return if op.fast_impl {
            Err("an approximation of Gelu".to_owned())
        } else {
            Ok(Unary::GeluTanh)
        };
    }
    Ok(match op.name().as_str() {
        "Abs" => Unary::Abs,
        "Acos" => Unary::Acos,
        "Acosh" => Unary::Acosh,
        "Asin" => Unary::Asin,
        "Asinh" => Unary::Asinh,
        "Atan" => Unary::Atan,
        "Atanh" => Unary::Atanh,
        "Ceil" => Unary::Ceil,
        "Cos" => Unary::Cos,
        "Cosh" => Unary::Cosh,
        "Erf" => Unary::Erf,
        "Exp" => Unary::Exp,
        "Floor" => Unary::Floor,
        "GeluExact" => Unary::Gelu,
        "HardSwish" => Unary::HardSwish,
        "Ln" => Unary::Ln,
        "Neg" => Unary::Neg,
        "Not" | "BitNot" => Unary::Not,
        "Recip" => Unary::Recip,
        "Round" => Unary::Round,
        "RoundHalfToEven" => Unary::RoundTiesEven,
        "Rsqrt" => Unary::Rsqrt,
        "Sigmoid" => Unary::Sigmoid,
        "Sign" => Unary::Sign,
        "Silu" => Unary::Silu,
        "Sin" => Unary::Sin,
        "Sinh" => Unary::Sinh,
        "Sqrt" => Unary::Sqrt,
        "Square" => Unary::Square,
        "Tan" => Unary::Tan,
        "Tanh" => Unary::Tanh,
        other => return Err(format!("the function {other}")),
    })
}

/// Axes that follow one another, as the first and their number.
fn range(axes: &[usize]) -> Because<(u32, u32)> {
    let first = axes.first().copied().ok_or("over no axis")?;
    if axes.iter().enumerate().all(|(at, axis)| *axis == first + at) {
        Ok((first as u32, axes.len() as u32))
    } else {
        Err("over axes that are apart".to_owned())
    }
}
