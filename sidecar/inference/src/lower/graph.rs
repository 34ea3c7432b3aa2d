//! Values, dimensions and constants of a plan that is being made.

use std::collections::{HashMap, HashSet};

use tract_onnx::{
    prelude::{Datum, DatumType, OutletId, Symbol, TDim, Tensor, TypedModel, TypedNode},
    tract_core::ops::{konst::Const, source::TypedSource},
};

use super::{Lowered, NoPlan, Weights, slots, tidy, views::View};
use crate::plan::{
    Dimension, Kind, MAX_RANK, Matrix, Place, Plan, Step, SymbolSource, Term, Value, WeightKind,
};

/// Why a node has no step, in words.
pub(super) type Because<T> = Result<T, String>;

const CONSTANT_ALIGNMENT: usize = 64;
/// How deep an expression of dimensions may be, so that no file overflows the stack.
const MAX_DEPTH: usize = 64;

pub(super) struct Lowering<'m> {
    pub(super) model: &'m TypedModel,
    pub(super) plan: Plan,
    constants: Vec<u8>,
    matrices: Vec<Weights>,
    dimensions: HashMap<Dimension, u32>,
    symbols: HashMap<Symbol, u32>,
    /// How many nodes the loops came to so far.
    pub(super) work: usize,
    pub(super) scope: Scope,
}

/// What is known of the nodes of a model: of the graph, or of a loop's body.
#[derive(Default)]
pub(super) struct Scope {
    pub(super) values: HashMap<OutletId, u32>,
    pub(super) views: HashMap<OutletId, View>,
    /// Nodes that are part of a step of an earlier one.
    pub(super) done: HashSet<usize>,
    /// Nodes that are their first operand: what they add is part of an earlier step.
    pub(super) passing: HashMap<usize, OutletId>,
    /// The matrices of products, so that those of all turns of a loop have one.
    /// Several of one node are told apart by a number of its own.
    pub(super) matrices: HashMap<(usize, usize), u32>,
    /// The same of constants that are made of what a node has.
    made: HashMap<(usize, usize), u32>,
}

impl<'m> Lowering<'m> {
    pub(super) fn new(model: &'m TypedModel) -> Result<Self, NoPlan> {
        let plan = Plan { version: 1, ..Plan::default() };
        let mut lowering = Self {
            model,
            plan,
            constants: vec![],
            matrices: vec![],
            dimensions: HashMap::new(),
            symbols: HashMap::new(),
            work: 0,
            scope: Scope::default(),
        };
        for (at, outlet) in model.input_outlets().unwrap_or_default().iter().enumerate() {
            lowering.input(at as u32, *outlet).map_err(|detail| NoPlan {
                operator: "input".to_owned(),
                node: model.node(outlet.node).name.clone(),
                detail,
            })?;
        }
        Ok(lowering)
    }

    fn input(&mut self, at: u32, outlet: OutletId) -> Because<()> {
        let shape = self.shape_of(outlet)?;
        for (axis, dim) in shape.iter().enumerate() {
            if let TDim::Sym(symbol) = dim
                && !self.symbols.contains_key(symbol)
            {
                self.symbols.insert(symbol.clone(), self.plan.symbols.len() as u32);
                self.plan.symbols.push(SymbolSource { input: at, axis: axis as u32 });
            }
        }
        let kind = self.kind_of(outlet)?;
        let value = self.new_value(kind, &shape, Place::Input(at))?;
        self.scope.values.insert(outlet, value);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Lowered, NoPlan> {
        let outlets = self.model.output_outlets().unwrap_or_default().to_vec();
        for outlet in outlets {
            let node = self.model.node(outlet.node);
            let value = self.value(outlet).and_then(|value| {
                let kind = self.kind_of(outlet)?;
                if kind == Kind::Text { Err("a text as output".to_owned()) } else { Ok(value) }
            });
            let value = value.map_err(|detail| NoPlan {
                operator: "output".to_owned(),
                node: node.name.clone(),
                detail,
            })?;
            self.plan.outputs.push(value);
        }
        // Plans without loops stay as they always were: changes of packages of earlier releases fit them.
        let has_loops = self.work > 0;
        if has_loops {
            tidy::tidy(&mut self.plan);
        }
        slots::share(&mut self.plan);
        if has_loops {
            tidy::merge_values(&mut self.plan);
        }
        Ok(Lowered { plan: self.plan, constants: self.constants, matrices: self.matrices })
    }

    pub(super) fn shape_of(&self, outlet: OutletId) -> Because<Vec<TDim>> {
        let fact = self.model.outlet_fact(outlet).map_err(|error| error.to_string())?;
        Ok(fact.shape.iter().cloned().collect())
    }

    pub(super) fn kind_of(&self, outlet: OutletId) -> Because<Kind> {
        let fact = self.model.outlet_fact(outlet).map_err(|error| error.to_string())?;
        kind(fact.datum_type)
    }

    /// The value of an outlet: made by an earlier step, or a constant.
    pub(super) fn value(&mut self, outlet: OutletId) -> Because<u32> {
        if let Some(value) = self.scope.values.get(&outlet) {
            return Ok(*value);
        }
        if let Some(view) = self.scope.views.get(&outlet).cloned() {
            let value = self.unviewed(outlet, &view)?;
            self.scope.values.insert(outlet, value);
            return Ok(value);
        }
        let tensor = self.constant(outlet).ok_or("an operand that no step makes")?;
        let kind = kind(tensor.datum_type())?;
        let shape: Vec<TDim> = tensor.shape().iter().map(|dim| TDim::Val(*dim as i64)).collect();
        if kind == Kind::Text {
            return Err("a constant text".to_owned());
        }
        let value = self.new_constant(kind, &shape, tensor.as_bytes())?;
        self.scope.values.insert(outlet, value);
        Ok(value)
    }

    fn new_constant(&mut self, kind: Kind, shape: &[TDim], bytes: &[u8]) -> Because<u32> {
        self.constants.resize(self.constants.len().next_multiple_of(CONSTANT_ALIGNMENT), 0);
        let place = Place::Constant(self.constants.len() as u64);
        self.constants.extend_from_slice(bytes);
        self.new_value(kind, shape, place)
    }

    /// A constant of indices.
    pub(super) fn indices(&mut self, indices: &[i64]) -> Because<u32> {
        let bytes: Vec<u8> = indices.iter().flat_map(|it| it.to_le_bytes()).collect();
        self.new_constant(Kind::I64, &[TDim::Val(indices.len() as i64)], &bytes)
    }

    /// A constant that is no outlet's: this one of a node's.
    pub(super) fn made_constant(
        &mut self,
        of: (usize, usize),
        shape: &[TDim],
        numbers: &[f32],
    ) -> Because<u32> {
        if let Some(value) = self.scope.made.get(&of) {
            return Ok(*value);
        }
        let bytes: Vec<u8> = numbers.iter().flat_map(|it| it.to_le_bytes()).collect();
        let value = self.new_constant(Kind::F32, shape, &bytes)?;
        self.scope.made.insert(of, value);
        Ok(value)
    }

    /// The matrix of this number of a node's, made of `weights` for its first turn.
    pub(super) fn matrix_of(
        &mut self,
        of: (usize, usize),
        weights: impl FnOnce() -> Weights,
    ) -> u32 {
        if let Some(matrix) = self.scope.matrices.get(&of) {
            return *matrix;
        }
        let matrix = self.matrix(weights());
        self.scope.matrices.insert(of, matrix);
        matrix
    }

    /// How many columns a matrix has.
    pub(super) fn columns_of(&self, matrix: u32) -> usize {
        self.matrices.get(matrix as usize).map_or(0, |it| it.columns)
    }

    /// The tensor behind an outlet that is constant.
    pub(super) fn constant(&self, outlet: OutletId) -> Option<&'m Tensor> {
        let node = self.model.node(outlet.node);
        node.op_as::<Const>().map(|constant| &**constant.val())
    }

    pub(super) fn constant_numbers(&self, outlet: OutletId) -> Option<(&'m [usize], &'m [f32])> {
        let tensor = self.constant(outlet)?;
        let numbers = tensor.try_as_plain_ram().ok()?.as_slice::<f32>().ok()?;
        Some((tensor.shape(), numbers))
    }

    pub(super) fn is(&mut self, outlet: OutletId, value: u32) {
        self.scope.values.insert(outlet, value);
    }

    /// Goes on with the nodes of another model, and gives what is known of those before.
    pub(super) fn enter(&mut self, model: &'m TypedModel, scope: Scope) -> (&'m TypedModel, Scope) {
        (std::mem::replace(&mut self.model, model), std::mem::replace(&mut self.scope, scope))
    }

    /// Goes back to what [`Lowering::enter`] gave.
    pub(super) fn leave(&mut self, (model, scope): (&'m TypedModel, Scope)) {
        (self.model, self.scope) = (model, scope);
    }

    /// Forgets what some outlets are.
    pub(super) fn forget(&mut self, which: impl Fn(&OutletId) -> bool) {
        self.scope.values.retain(|outlet, _| !which(outlet));
        self.scope.views.retain(|outlet, _| !which(outlet));
    }

    /// A value of an outlet's kind and shape in a slot of its own, for a step to write.
    pub(super) fn written(&mut self, outlet: OutletId) -> Because<u32> {
        let (kind, shape) = (self.kind_of(outlet)?, self.shape_of(outlet)?);
        let value = self.in_slot(kind, &shape)?;
        self.scope.values.insert(outlet, value);
        Ok(value)
    }

    pub(super) fn in_slot(&mut self, kind: Kind, shape: &[TDim]) -> Because<u32> {
        if kind == Kind::Text {
            return Err("a text that is computed".to_owned());
        }
        let place = Place::Slot(self.plan.slots);
        self.plan.slots += 1;
        self.new_value(kind, shape, place)
    }

    /// The elements of `value` under another shape.
    pub(super) fn reshaped(&mut self, value: u32, shape: &[TDim]) -> Because<u32> {
        let Some(Value { kind, place, .. }) = self.plan.values.get(value as usize) else {
            return Err("a value that there is not".to_owned());
        };
        let (kind, place) = (*kind, *place);
        self.new_value(kind, shape, place)
    }

    fn new_value(&mut self, kind: Kind, shape: &[TDim], place: Place) -> Because<u32> {
        if shape.len() > MAX_RANK {
            return Err(format!("a tensor of more than {MAX_RANK} dimensions"));
        }
        let shape = shape.iter().map(|dim| self.dimension(dim)).collect::<Because<_>>()?;
        self.plan.values.push(Value { kind, shape, place });
        Ok(self.plan.values.len() as u32 - 1)
    }

    pub(super) fn step(&mut self, step: Step) {
        if matches!(step, Step::Window { .. }) {
            self.plan.version = 2;
        }
        self.plan.steps.push(step);
    }

    pub(super) fn matrix(&mut self, weights: Weights) -> u32 {
        self.plan.matrices.push(Matrix {
            inner: weights.inner as u64,
            columns: weights.columns as u64,
            has_bias: weights.bias.is_some(),
            element: WeightKind::F32,
        });
        self.matrices.push(weights);
        self.matrices.len() as u32 - 1
    }

    pub(super) fn dimension(&mut self, dim: &TDim) -> Because<u32> {
        let mut terms = vec![];
        self.terms(dim, &mut terms, 0)?;
        Ok(self.intern(Dimension { terms }))
    }

    /// The product of some dimensions.
    pub(super) fn product<'d>(&mut self, dims: impl Iterator<Item = &'d TDim>) -> Because<u32> {
        let product = dims.fold(TDim::Val(1), |product, dim| product * dim);
        self.dimension(&product)
    }

    fn intern(&mut self, dimension: Dimension) -> u32 {
        let next = self.plan.dimensions.len() as u32;
        *self.dimensions.entry(dimension).or_insert_with_key(|dimension| {
            self.plan.dimensions.push(dimension.clone());
            next
        })
    }

    fn terms(&self, dim: &TDim, into: &mut Vec<Term>, depth: usize) -> Because<()> {
        if depth > MAX_DEPTH {
            return Err("a dimension that is too deep an expression".to_owned());
        }
        let depth = depth + 1;
        let all = |parts: &[TDim], operator: Term, into: &mut Vec<Term>| {
            for (at, part) in parts.iter().enumerate() {
                self.terms(part, into, depth)?;
                if at > 0 {
                    into.push(operator);
                }
            }
            if parts.is_empty() { Err("an empty expression".to_owned()) } else { Ok(()) }
        };
        match dim {
            TDim::Val(number) => into.push(Term::Number(*number)),
            TDim::Sym(symbol) => {
                let symbol = self.symbols.get(symbol).copied();
                into.push(Term::Symbol(symbol.ok_or("a dimension that no input sets")?));
            }
            TDim::Add(parts) => all(parts, Term::Add, into)?,
            TDim::Mul(parts) => all(parts, Term::Mul, into)?,
            TDim::Min(parts) => all(parts, Term::Min, into)?,
            TDim::Max(parts) => all(parts, Term::Max, into)?,
            TDim::MulInt(factor, inner) => {
                into.push(Term::Number(*factor));
                self.terms(inner, into, depth)?;
                into.push(Term::Mul);
            }
            TDim::Div(inner, divisor) => {
                self.terms(inner, into, depth)?;
                let divisor = i64::try_from(*divisor).map_err(|error| error.to_string())?;
                into.push(Term::Number(divisor));
                into.push(Term::Div);
            }
            TDim::Broadcast(_) | TDim::Ge(..) | TDim::Eq(..) => {
                return Err(format!("a dimension of {dim}"));
            }
        }
        Ok(())
    }

    /// The one node that reads the only output of `node`, where that is no output of the graph.
    pub(super) fn only_reader(&self, node: &TypedNode) -> Option<&'m TypedNode> {
        let outlet = OutletId::new(node.id, 0);
        if self.model.output_outlets().ok()?.contains(&outlet) {
            return None;
        }
        let [output] = &*node.outputs else { return None };
        let [reader] = &*output.successors else { return None };
        Some(self.model.node(reader.node))
    }
}

pub(super) fn is_source(node: &TypedNode) -> bool {
    node.op_is::<TypedSource>() || node.op_is::<Const>()
}

pub(super) fn kind(datum: DatumType) -> Because<Kind> {
    Ok(match datum {
        DatumType::Bool => Kind::Bool,
        DatumType::I32 => Kind::I32,
        DatumType::I64 => Kind::I64,
        DatumType::F32 => Kind::F32,
        DatumType::F64 => Kind::F64,
        DatumType::String => Kind::Text,
        other => return Err(format!("elements of {other:?}")),
    })
}

/// A constant's only number.
pub(super) fn scalar<T: Datum + Copy>(tensor: &Tensor) -> Option<T> {
    match tensor.try_as_plain_ram().ok()?.as_slice::<T>().ok()? {
        [only] => Some(*only),
        _ => None,
    }
}
