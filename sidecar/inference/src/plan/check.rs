//! Whether a plan fits together, before anything of it is run.
//!
//! A run checks every access too, so what passes here can fail there, by an error. It cannot read
//! or write what is not its own either way.

use artifact::{Package, SectionKind};
use kernels::{Element, PanelShape};

use super::{
    ArchivedKind, ArchivedMatrix, ArchivedPlace, ArchivedPlan, ArchivedStep, ArchivedValue,
    ArchivedWeightKind, MAX_RANK, window,
};

/// More slots, values or steps than any model needs.
const MAX_COUNT: usize = 1 << 20;

/// Why a plan was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The package holds none.
    #[error("expected a plan in the package, found none")]
    None,
    /// The section is no archive of a plan.
    #[error("the package's plan is malformed: {detail}")]
    Malformed {
        /// What is wrong.
        detail: String,
    },
    /// The plan was made for another release.
    #[error(
        "expected a plan of version {expected} at most, found {found}: pack the model again with \
         this release, or run a later one"
    )]
    Version {
        /// The latest that this release runs.
        expected: u32,
        /// What the plan says.
        found: u32,
    },
}

fn malformed(detail: impl Into<String>) -> PlanError {
    PlanError::Malformed { detail: detail.into() }
}

pub(super) fn check(package: &Package, plan: &ArchivedPlan) -> Result<(), PlanError> {
    for (what, count) in [
        ("slots", plan.slots.to_native() as usize),
        ("values", plan.values.len()),
        ("steps", plan.steps.len()),
        ("dimensions", plan.dimensions.len()),
    ] {
        if count > MAX_COUNT {
            return Err(malformed(format!("expected at most {MAX_COUNT} {what}, found {count}")));
        }
    }
    let inputs = package.header().inputs.len();
    for symbol in plan.symbols.iter() {
        let input = package.header().inputs.get(symbol.input.to_native() as usize);
        if input.is_none_or(|it| it.shape.len() <= symbol.axis.to_native() as usize) {
            return Err(malformed("a symbol stands for no dimension of an input"));
        }
    }
    let constants = package.section(SectionKind::Constants).map_or(0, <[u8]>::len);
    for value in plan.values.iter() {
        check_value(plan, value, inputs, constants)?;
    }
    for layout in plan.layouts.iter() {
        let bytes = package
            .sections(SectionKind::Panels)
            .find(|(key, _)| *key == layout.key.as_str())
            .map_or(0, |(_, bytes)| bytes.len());
        if layout.offsets.len() != plan.matrices.len() {
            return Err(malformed("a layout does not place every matrix"));
        }
        for (matrix, offset) in plan.matrices.iter().zip(layout.offsets.iter()) {
            let shape = matrix.shape(layout.lanes.to_native() as usize);
            let needed = shape.bytes().map_err(|error| malformed(error.to_string()))?;
            let end =
                usize::try_from(offset.to_native()).ok().and_then(|it| it.checked_add(needed));
            if end.is_none_or(|end| end > bytes) || !offset.to_native().is_multiple_of(64) {
                return Err(malformed("a matrix does not lie inside its section"));
            }
        }
    }
    if plan.layouts.is_empty() && !plan.matrices.is_empty() {
        return Err(malformed("there are matrices and no layout of them"));
    }
    for step in plan.steps.iter() {
        check_step(plan, step)?;
    }
    if plan.outputs.len() != package.header().outputs.len() {
        return Err(malformed("the answer has another number of tensors than the signature"));
    }
    for output in plan.outputs.iter() {
        if plan.value(output.to_native()).is_none_or(|it| it.kind == ArchivedKind::Text) {
            return Err(malformed("an output is no value of numbers"));
        }
    }
    Ok(())
}

fn check_value(
    plan: &ArchivedPlan,
    value: &ArchivedValue,
    inputs: usize,
    constants: usize,
) -> Result<(), PlanError> {
    if value.shape.len() > MAX_RANK {
        return Err(malformed(format!("a value has more than {MAX_RANK} dimensions")));
    }
    if value.shape.iter().any(|at| at.to_native() as usize >= plan.dimensions.len()) {
        return Err(malformed("a value has a dimension that there is not"));
    }
    let is_there = match &value.place {
        ArchivedPlace::Input(at) => (at.to_native() as usize) < inputs,
        ArchivedPlace::Slot(at) => {
            at.to_native() < plan.slots.to_native() && value.kind != ArchivedKind::Text
        }
        ArchivedPlace::Constant(at) => {
            at.to_native() <= constants as u64
                && at.to_native().is_multiple_of(64)
                && value.kind != ArchivedKind::Text
        }
    };
    if is_there { Ok(()) } else { Err(malformed("a value is where nothing can be")) }
}

fn check_step(plan: &ArchivedPlan, step: &ArchivedStep) -> Result<(), PlanError> {
    let (inputs, output) = step.operands();
    for input in inputs {
        if plan.value(input).is_none() {
            return Err(malformed("a step reads a value that there is not"));
        }
    }
    let written = plan.value(output).map(|it| &it.place);
    if !matches!(written, Some(ArchivedPlace::Slot(_))) {
        return Err(malformed("a step writes what is no slot"));
    }
    match step {
        ArchivedStep::Product { matrix, .. }
            if matrix.to_native() as usize >= plan.matrices.len() =>
        {
            Err(malformed("a product with a matrix that there is not"))
        }
        ArchivedStep::MatMul { dimensions, .. }
            if dimensions.iter().any(|at| at.to_native() as usize >= plan.dimensions.len()) =>
        {
            Err(malformed("a product over a dimension that there is not"))
        }
        ArchivedStep::Move { input, output, axes, starts } => {
            let rank = |at: u32| plan.value(at).map_or(0, |it| it.shape.len());
            let (from, to) = (rank(input.to_native()), rank(output.to_native()));
            let fits = axes.len() == to
                && axes.iter().all(|axis| axis.to_native() as usize <= from)
                && (starts.is_empty() || starts.len() == from)
                && starts.iter().all(|it| (it.to_native() as usize) < plan.dimensions.len());
            if fits { Ok(()) } else { Err(malformed("a move along dimensions that there are not")) }
        }
        ArchivedStep::Window { .. } => window::check(plan, step).map_err(malformed),
        ArchivedStep::Category { texts, codes, .. } if texts.len() != codes.len() => {
            Err(malformed("categories with more texts than codes, or fewer"))
        }
        _ => Ok(()),
    }
}

impl ArchivedPlan {
    /// A value.
    pub fn value(&self, at: u32) -> Option<&ArchivedValue> {
        self.values.get(at as usize)
    }

    /// How many bytes a value has, where that is the same for all requests.
    pub(crate) fn fixed_bytes(&self, value: &ArchivedValue) -> Option<u64> {
        let mut bytes = value.kind.bytes() as u64;
        for at in value.shape.iter() {
            let dimension = self.dimensions.get(at.to_native() as usize)?;
            bytes = bytes.checked_mul(dimension.evaluate(&[])? as u64)?;
        }
        Some(bytes)
    }
}

impl ArchivedMatrix {
    /// Its shape in panels of `lanes`.
    pub fn shape(&self, lanes: usize) -> PanelShape {
        PanelShape {
            inner: usize::try_from(self.inner.to_native()).unwrap_or(usize::MAX),
            columns: usize::try_from(self.columns.to_native()).unwrap_or(usize::MAX),
            has_bias: self.has_bias,
            element: match self.element {
                ArchivedWeightKind::F32 => Element::F32,
                ArchivedWeightKind::F16 => Element::F16,
                ArchivedWeightKind::I8 => Element::I8,
            },
            lanes: lanes.max(1),
        }
    }
}

impl ArchivedStep {
    /// The values that it reads, and the one that it writes.
    pub fn operands(&self) -> (impl Iterator<Item = u32>, u32) {
        let (few, many, output): ([Option<&_>; 3], &[_], _) = match self {
            Self::Product { input, output, .. }
            | Self::Unary { input, output, .. }
            | Self::Cast { input, output }
            | Self::Move { input, output, .. }
            | Self::Category { input, output, .. }
            | Self::Softmax { input, output, .. }
            | Self::Reduce { input, output, .. }
            | Self::RmsNorm { input, output, .. } => ([Some(input), None, None], &[], output),
            Self::MatMul { left, right, output, .. } | Self::Binary { left, right, output, .. } => {
                ([Some(left), Some(right), None], &[], output)
            }
            Self::Gather { table, indices, output, .. } => {
                ([Some(table), Some(indices), None], &[], output)
            }
            Self::Select { condition, yes, no, output } => {
                ([Some(condition), Some(yes), Some(no)], &[], output)
            }
            Self::Concat { inputs, output, .. } => ([None; 3], inputs.as_slice(), output),
            Self::Window { input, weights, output, .. } => {
                ([Some(input), weights.as_ref(), None], &[], output)
            }
        };
        let inputs = few.into_iter().flatten().chain(many).map(|at| at.to_native());
        (inputs, output.to_native())
    }
}
