//! What a device can do.

use std::borrow::Cow;

use inference::plan::{ArchivedKind, ArchivedPlan, ArchivedStep};

/// Why something is not run on a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unsupported {
    reason: Cow<'static, str>,
}

impl Unsupported {
    pub(crate) fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into() }
    }

    /// In words, for whoever asks where a step runs.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// Whether a device can do a step, as far as its plan tells.
///
/// # Errors
/// [`Unsupported`] with the reason. A run can be refused for its sizes where this is not.
pub fn supports(plan: &ArchivedPlan, step: &ArchivedStep) -> Result<(), Unsupported> {
    let (inputs, output) = step.operands();
    for value in inputs.chain([output]) {
        match plan.value(value).map(|it| it.kind) {
            None => return Err(Unsupported::new("it refers to a value that there is not")),
            Some(ArchivedKind::F64) => {
                return Err(Unsupported::new("devices have no 64-bit floats"));
            }
            Some(ArchivedKind::Text) => return Err(Unsupported::new("texts are not on devices")),
            Some(_) => {}
        }
    }
    match step {
        ArchivedStep::Product { matrix, .. } => crate::product::supports(plan, matrix.to_native()),
        ArchivedStep::MatMul { .. }
        | ArchivedStep::Move { .. }
        | ArchivedStep::Concat { .. }
        | ArchivedStep::Gather { .. }
        | ArchivedStep::Window { .. } => Ok(()),
        ArchivedStep::Softmax { .. }
        | ArchivedStep::Reduce { .. }
        | ArchivedStep::RmsNorm { .. } => crate::lines::supports(plan, step),
        step if crate::chain::is_elementwise(step) => crate::chain::supports(plan, step),
        step => Err(Unsupported::new(format!("{} has no kernel", name(step)))),
    }
}

/// What a step is called where people read it.
pub const fn name(step: &ArchivedStep) -> &'static str {
    match step {
        ArchivedStep::Product { .. } => "product",
        ArchivedStep::MatMul { .. } => "matmul",
        ArchivedStep::Unary { .. } => "unary",
        ArchivedStep::Binary { .. } => "binary",
        ArchivedStep::Select { .. } => "select",
        ArchivedStep::Cast { .. } => "cast",
        ArchivedStep::Move { .. } => "move",
        ArchivedStep::Concat { .. } => "concat",
        ArchivedStep::Gather { .. } => "gather",
        ArchivedStep::Category { .. } => "category",
        ArchivedStep::Softmax { .. } => "softmax",
        ArchivedStep::Reduce { .. } => "reduce",
        ArchivedStep::RmsNorm { .. } => "rms_norm",
        ArchivedStep::Window { .. } => "window",
    }
}
