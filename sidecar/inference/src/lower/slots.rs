//! Which values share memory.

use crate::plan::{Place, Plan, Step};

/// Gives values that are not needed at the same time one slot. A step writes no slot that it
/// reads.
pub(super) fn share(plan: &mut Plan) {
    // By step, the slots that nobody needs behind it.
    let mut ending: Vec<Vec<usize>> = vec![vec![]; plan.steps.len()];
    for (slot, last) in last_uses(plan).into_iter().enumerate() {
        if let Some(ending) = last.and_then(|at| ending.get_mut(at)) {
            ending.push(slot);
        }
    }
    let mut shared: Vec<Option<u32>> = vec![None; plan.slots as usize];
    let mut free: Vec<u32> = vec![];
    let mut slots = 0;
    for (step, ending) in plan.steps.iter().zip(ending) {
        let written = written(step);
        if let Some(slot) = slot_of(plan, written)
            && let Some(entry) = shared.get_mut(slot)
            && entry.is_none()
        {
            *entry = Some(free.pop().unwrap_or_else(|| {
                slots += 1;
                slots - 1
            }));
        }
        for slot in ending {
            if let Some(Some(place)) = shared.get(slot) {
                free.push(*place);
            }
        }
    }
    for value in &mut plan.values {
        if let Place::Slot(slot) = value.place {
            let place = shared.get(slot as usize).copied().flatten();
            value.place = Place::Slot(place.unwrap_or(0));
        }
    }
    plan.slots =
        slots.max(u32::from(plan.values.iter().any(|it| matches!(it.place, Place::Slot(_)))));
}

/// The last step at which each slot is read or written; none for those that are answered.
fn last_uses(plan: &Plan) -> Vec<Option<usize>> {
    let mut last = vec![None; plan.slots as usize];
    for (at, step) in plan.steps.iter().enumerate() {
        for value in read(step).into_iter().chain([written(step)]) {
            if let Some(entry) = slot_of(plan, value).and_then(|slot| last.get_mut(slot)) {
                *entry = Some(at);
            }
        }
    }
    // A window may be looked at again by the product that is behind it.
    for (at, pair) in plan.steps.windows(2).enumerate() {
        if let [Step::Window { input, output, .. }, Step::Product { input: shown, .. }] = pair
            && output == shown
            && let Some(entry) = slot_of(plan, *input).and_then(|slot| last.get_mut(slot))
        {
            *entry = (*entry).max(Some(at + 1));
        }
    }
    for output in &plan.outputs {
        if let Some(entry) = slot_of(plan, *output).and_then(|slot| last.get_mut(slot)) {
            *entry = None;
        }
    }
    last
}

pub(super) fn slot_of(plan: &Plan, value: u32) -> Option<usize> {
    match plan.values.get(value as usize)?.place {
        Place::Slot(slot) => Some(slot as usize),
        _ => None,
    }
}

pub(super) fn read(step: &Step) -> Vec<u32> {
    match step {
        Step::Product { input, .. }
        | Step::Unary { input, .. }
        | Step::Cast { input, .. }
        | Step::Move { input, .. }
        | Step::Category { input, .. }
        | Step::Softmax { input, .. }
        | Step::Reduce { input, .. }
        | Step::RmsNorm { input, .. } => vec![*input],
        Step::MatMul { left, right, .. } | Step::Binary { left, right, .. } => vec![*left, *right],
        Step::Gather { table, indices, .. } => vec![*table, *indices],
        Step::Select { condition, yes, no, .. } => vec![*condition, *yes, *no],
        Step::Concat { inputs, .. } => inputs.clone(),
        Step::Window { input, weights, .. } => std::iter::once(*input).chain(*weights).collect(),
    }
}

pub(super) fn written(step: &Step) -> u32 {
    match step {
        Step::Product { output, .. }
        | Step::MatMul { output, .. }
        | Step::Unary { output, .. }
        | Step::Binary { output, .. }
        | Step::Select { output, .. }
        | Step::Cast { output, .. }
        | Step::Move { output, .. }
        | Step::Concat { output, .. }
        | Step::Gather { output, .. }
        | Step::Category { output, .. }
        | Step::Softmax { output, .. }
        | Step::Reduce { output, .. }
        | Step::RmsNorm { output, .. }
        | Step::Window { output, .. } => *output,
    }
}
