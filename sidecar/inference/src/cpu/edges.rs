//! What tract answers wrongly where numbers are infinite, put right in its graphs.

use tract_onnx::{
    tract_core::ops::{
        binary::TypedBinOp,
        cast::cast,
        logic::{CompGT, CompLT, Iff},
        nn::{Reduce, Reducer},
    },
    tract_hir::internal::*,
};

/// The input of tract's attention that says what a query may look at, of shape [batch, heads,
/// queries, keys] or one that is repeated to it.
const MASK: usize = 3;

/// Puts right:
///
/// * attention of a query that may look at no key. ONNX says that it is 0; tract divides by the sum
///   of no weights;
/// * the largest of numbers that all are minus infinity, and the smallest of those that all are
///   infinity. tract starts from the last finite one, and answers that.
pub(super) fn put_right(model: &mut TypedModel) -> TractResult<()> {
    let nodes: Vec<usize> = model.nodes().iter().map(|it| it.id).collect();
    for node in nodes {
        let node = model.node(node);
        let float = |at: usize| model.outlet_fact(*node.inputs.get(at)?).ok();
        let is_float = float(0).is_some_and(|fact| fact.datum_type.is_float());
        let patch = match node.op_as::<Reduce>() {
            Some(op) if is_float && op.reducer == Reducer::Max => {
                extreme(model, node, op, f32::NEG_INFINITY)?
            }
            Some(op) if is_float && op.reducer == Reducer::Min => {
                extreme(model, node, op, f32::INFINITY)?
            }
            _ if node.op.name() == "SDPA" && node.inputs.len() > MASK => attention(model, node)?,
            _ => continue,
        };
        patch.apply(model)?;
    }
    Ok(())
}

/// The answer of `op` where some number is no `edge`, and `edge` elsewhere.
fn extreme(
    model: &TypedModel,
    node: &TypedNode,
    op: &Reduce,
    edge: f32,
) -> TractResult<TypedModelPatch> {
    let mut wires = Wires::of(model, node)?;
    let input = wires.input(0)?;
    let answer = wires.wire("all", node.op.clone(), &[input])?;
    let some = wires.differs(input, edge, op.axes.clone())?;
    let edge = wires.constant("edge", edge, answer)?;
    wires.answer(model, [some, answer, edge])
}

/// The answer of attention where a mask leaves something to look at, and 0 elsewhere.
fn attention(model: &TypedModel, node: &TypedNode) -> TractResult<TypedModelPatch> {
    let mut wires = Wires::of(model, node)?;
    let inputs = wires.inputs.clone();
    let answer = wires.wire("all", node.op.clone(), &inputs)?;
    let mut mask = wires.input(MASK)?;
    // A mask of floats is added, and closes by minus infinity; one of truths opens.
    let is_bool = wires.patch.outlet_fact(mask)?.datum_type == bool::datum_type();
    if is_bool {
        mask = wires.wire("wide", Box::new(cast(f32::datum_type())), &[mask])?;
    }
    let open = wires.differs(mask, if is_bool { 0.0 } else { f32::NEG_INFINITY }, tvec!(3))?;
    let zero = wires.constant("zero", 0.0, answer)?;
    wires.answer(model, [open, answer, zero])
}

/// A patch that is being wired in place of a node.
struct Wires<'n> {
    node: &'n TypedNode,
    patch: TypedModelPatch,
    inputs: TVec<OutletId>,
}

impl<'n> Wires<'n> {
    fn of(model: &TypedModel, node: &'n TypedNode) -> TractResult<Self> {
        let mut patch = TypedModelPatch::default();
        let inputs = patch.taps(model, &node.inputs)?;
        Ok(Self { node, patch, inputs })
    }

    fn input(&self, at: usize) -> TractResult<OutletId> {
        self.inputs.get(at).copied().context("expected another input")
    }

    fn wire(
        &mut self,
        what: &str,
        op: Box<dyn TypedOp>,
        inputs: &[OutletId],
    ) -> TractResult<OutletId> {
        let outlets = self.patch.wire_node(format!("{}.{what}", self.node.name), op, inputs)?;
        outlets.first().copied().context("expected an output")
    }

    /// A number of the kind and rank of `like`.
    fn constant(&mut self, what: &str, number: f32, like: OutletId) -> TractResult<OutletId> {
        let fact = self.patch.outlet_fact(like)?;
        let (kind, rank) = (fact.datum_type, fact.rank());
        let number = tensor0(number).cast_to_dt(kind)?.into_owned().broadcast_into_rank(rank)?;
        self.patch.add_const(format!("{}.{what}", self.node.name), number.into_arc_tensor())
    }

    /// Whether any number along `axes` lies on the finite side of `edge`, which is the least there
    /// is or, where it is infinity, the most.
    fn differs(&mut self, input: OutletId, edge: f32, axes: TVec<usize>) -> TractResult<OutletId> {
        let limit = self.constant("limit", edge, input)?;
        let compare = match edge == f32::INFINITY {
            true => TypedBinOp(Box::new(CompLT), None),
            false => TypedBinOp(Box::new(CompGT), None),
        };
        let each = self.wire("differs", Box::new(compare), &[input, limit])?;
        self.wire("any", Box::new(Reduce { axes, reducer: Reducer::Any }), &[each])
    }

    fn answer(mut self, model: &TypedModel, inputs: [OutletId; 3]) -> TractResult<TypedModelPatch> {
        let answer = self.wire("answer", Box::new(Iff), &inputs)?;
        self.patch.shunt_outside(model, OutletId::new(self.node.id, 0), answer)?;
        Ok(self.patch)
    }
}
