//! Steps one at a time, for a backend that does the others elsewhere.

use kernels::Scratch;

use super::{
    Fault, Own, Parts, Shared,
    memory::{Memory, Operands},
    parts::Window,
};
use crate::{
    InferError, Inputs,
    cpu::confined::confined,
    plan::{ArchivedStep, Frame, PackedPlan},
};

/// Does single steps of a run, whose values in slots its caller keeps.
pub struct Steps<'a> {
    pub(in crate::cpu) plan: &'a PackedPlan,
    pub(in crate::cpu) shared: Shared<'a>,
    pub(in crate::cpu) scratch: Scratch,
}

impl Steps<'_> {
    /// Does step `at` of the plan of a run that `frame` is of. `slots` gives the elements of a value
    /// that lies in a slot, as many bytes as [`Frame::bytes`] says and at a multiple of 8; what the
    /// step writes goes to `output`, of which the same holds. A product whose matrix an adapter changes
    /// is not done.
    ///
    /// # Errors
    /// [`InferError::Failed`], [`InferError::Panicked`]: as of a run of all steps.
    pub fn run<'v>(
        &mut self,
        at: usize,
        inputs: &'v Inputs,
        frame: &'v Frame,
        slots: &'v dyn Fn(u32) -> Option<&'v [u8]>,
        output: &mut [u8],
    ) -> Result<(), InferError>
    where
        Self: 'v,
    {
        let Self { plan, shared, scratch } = self;
        let done = confined(|| {
            let none = Fault::Plan { what: "a step that there is not" };
            let step = plan.plan().steps.get(at).ok_or(none)?;
            let own = if let Parts::All(own) = shared.parts { own } else { Own::default() };
            if matches!(step, ArchivedStep::Product { .. }) && own.changes(at) {
                return Err(Fault::Plan { what: "a changed product for itself" });
            }
            let window = Window { sizes: frame.sizes(), cut: None, own };
            let memory = Memory::Elsewhere(slots);
            let from = Operands { plan, inputs, frame, window, memory };
            super::dispatch(step, &from, output, scratch, *shared)
        });
        done.map_err(|detail| InferError::Panicked { detail })?
            .map_err(|fault| super::failed(Fault::Step { at, cause: fault.to_string() }))
    }
}
