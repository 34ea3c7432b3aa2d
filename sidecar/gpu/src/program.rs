//! Which steps of a plan a device does, and which the CPU does in between.

use inference::plan::{ArchivedPlace, ArchivedPlan, ArchivedStep, Rows, rows};
use shaders::{Group, fuse, supports};

/// Where a step is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On the device, by a kernel for this step and those with it: by how many in all.
    Device {
        /// Steps that run as one.
        together: usize,
    },
    /// By the CPU.
    Cpu {
        /// Why.
        because: String,
    },
}

/// Where each step of `plan` is done where its model is on a device, with the step's name. A run can
/// move further steps to the CPU, where they are too large for a device.
pub fn where_steps_run(plan: &ArchivedPlan) -> Vec<(&'static str, Place)> {
    let program = Program::of(plan);
    let mut places = vec![];
    for (group, on_device) in &program.groups {
        for at in group.indices() {
            let Some(step) = plan.steps.get(*at) else { continue };
            let place = if *on_device {
                Place::Device { together: group.indices().len() }
            } else {
                let because = supports(plan, step).err().map(|it| it.reason().to_owned());
                Place::Cpu { because: because.unwrap_or_default() }
            };
            places.push((shaders::name(step), place));
        }
    }
    places
}

/// A plan as it is run on a device.
pub(crate) struct Program {
    pub(crate) rows: Rows,
    /// The steps in the plan's order, each group with whether a device does it.
    pub(crate) groups: Vec<(Group, bool)>,
    /// Which inputs a device reads.
    pub(crate) inputs: Vec<bool>,
    /// Whether rows of several models may be run as one: rows keep to themselves, and no step of the
    /// CPU's reads weights, which it has of one model.
    pub(crate) joins: bool,
}

impl Program {
    pub(crate) fn of(plan: &ArchivedPlan) -> Self {
        let supported: Vec<bool> =
            plan.steps.iter().map(|step| supports(plan, step).is_ok()).collect();
        let can = |at: usize| supported.get(at).copied().unwrap_or(false);
        let groups = fuse(plan, can);
        let groups: Vec<(Group, bool)> = groups
            .into_iter()
            .map(|group| {
                let on_device = group.indices().iter().all(|at| can(*at));
                (group, on_device)
            })
            .collect();
        let mut inputs = vec![];
        for (group, _) in groups.iter().filter(|(_, on_device)| *on_device) {
            for step in group.indices().iter().filter_map(|at| plan.steps.get(*at)) {
                for value in step.operands().0.filter_map(|at| plan.value(at)) {
                    if let ArchivedPlace::Input(at) = &value.place {
                        let at = at.to_native() as usize;
                        inputs.resize(inputs.len().max(at + 1), false);
                        if let Some(is_read) = inputs.get_mut(at) {
                            *is_read = true;
                        }
                    }
                }
            }
        }
        let rows = rows(plan);
        let mut on_cpu = groups
            .iter()
            .filter(|(_, on_device)| !on_device)
            .flat_map(|(group, _)| group.indices().iter().filter_map(|at| plan.steps.get(*at)));
        let joins = rows.is_joinable() && !on_cpu.any(|step| reads_weights(plan, step));
        Self { rows, groups, inputs, joins }
    }

    /// Whether a device does any of it.
    pub(crate) fn is_on_device(&self) -> bool {
        self.groups.iter().any(|(_, on_device)| *on_device)
    }
}

fn reads_weights(plan: &ArchivedPlan, step: &ArchivedStep) -> bool {
    let is_constant = |value: u32| {
        matches!(plan.value(value).map(|it| &it.place), Some(ArchivedPlace::Constant(_)))
    };
    matches!(step, ArchivedStep::Product { .. }) || step.operands().0.any(is_constant)
}
