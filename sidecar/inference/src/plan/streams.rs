//! Which values need not be there as a whole.
//!
//! What a convolution multiplies is its input many times over. Where a product alone reads it, right
//! behind the window that shows it, it can be made a few rows at a time.

use super::{
    ArchivedKind, ArchivedMatrix, ArchivedPlace, ArchivedPlan, ArchivedStep, ArchivedWindowed,
};

/// The steps whose output is read by the product behind them and by nothing else, while what they
/// read is still there. Takes time by the number of steps.
pub(super) fn streams(plan: &ArchivedPlan) -> Box<[u32]> {
    let windows = |step: &ArchivedStep| matches!(step, ArchivedStep::Window { .. });
    if !plan.steps.iter().any(windows) {
        return Box::default();
    }
    let slot = |value: u32| slot(plan, value);
    // How often each value occurs, so that one that does elsewhere is none.
    let mut uses = vec![0_u32; plan.values.len()];
    let mut used = |value: u32| {
        if let Some(uses) = uses.get_mut(value as usize) {
            *uses = uses.saturating_add(1);
        }
    };
    for step in plan.steps.iter() {
        let (inputs, output) = step.operands();
        inputs.chain([output]).for_each(&mut used);
    }
    plan.outputs.iter().for_each(|it| used(it.to_native()));
    // Whether what is in a slot is read behind the step that is looked at, from the last one on.
    let mut live = vec![false; plan.slots.to_native() as usize];
    let mark = |live: &mut Vec<bool>, value: u32, is_live: bool| {
        if let Some(live) = slot(value).and_then(|it| live.get_mut(it)) {
            *live = is_live;
        }
    };
    plan.outputs.iter().for_each(|it| mark(&mut live, it.to_native(), true));
    let mut found = vec![];
    for (at, step) in plan.steps.iter().enumerate().rev() {
        let (inputs, output) = step.operands();
        if let ArchivedStep::Product { input, matrix, .. } = step
            && let Some(window) = at.checked_sub(1).and_then(|at| plan.steps.get(at))
            && let ArchivedStep::Window {
                op: ArchivedWindowed::Copy,
                input: read,
                output: shown,
                ..
            } = window
            && shown == input
            && uses.get(shown.to_native() as usize) == Some(&2)
            && plan.matrices.get(matrix.to_native() as usize).is_some_and(is_multiplied)
            && plan.value(shown.to_native()).is_some_and(|it| it.kind == ArchivedKind::F32)
            && let (Some(between), Some(to)) = (slot(shown.to_native()), slot(output))
            && live.get(between) == Some(&false)
            && between != to
            && is_kept(plan, read.to_native(), &[between, to])
        {
            found.push((at - 1) as u32);
        }
        mark(&mut live, output, false);
        for input in inputs {
            mark(&mut live, input, true);
        }
    }
    found.reverse();
    found.into()
}

fn slot(plan: &ArchivedPlan, value: u32) -> Option<usize> {
    match plan.value(value)?.place {
        ArchivedPlace::Slot(ref slot) => Some(slot.to_native() as usize),
        _ => None,
    }
}

/// Whether a value is in no slot that is written, and no constant, of which an adapter may have another.
fn is_kept(plan: &ArchivedPlan, value: u32, written: &[usize]) -> bool {
    match plan.value(value).map(|it| &it.place) {
        Some(ArchivedPlace::Input(_)) => true,
        Some(ArchivedPlace::Slot(slot)) => !written.contains(&(slot.to_native() as usize)),
        _ => false,
    }
}

/// Whether rows of a matrix tell how many rows there are.
fn is_multiplied(matrix: &ArchivedMatrix) -> bool {
    matrix.inner.to_native() > 0 && matrix.columns.to_native() > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{
        Along, Dimension, Kind, Matrix, PLAN_VERSION, Place, Plan, Step, Unary, Value, WeightKind,
        Windowed,
    };

    fn window(input: u32, output: u32) -> Step {
        let along = (0..2).map(|axis| Along { axis, stride: 1, start: 0 }).collect();
        let (op, weights, taps, fill) = (Windowed::Copy, None, vec![], 0.0);
        Step::Window { op, input, weights, output, along, taps, fill }
    }

    fn product(input: u32, output: u32) -> Step {
        Step::Product { input, matrix: 0, output, relu: false }
    }

    fn other(input: u32, output: u32) -> Step {
        Step::Unary { op: Unary::Abs, input, output }
    }

    /// Values 0 to 5: an input, slots 0 to 3, and slot 1 once more.
    fn found(steps: Vec<Step>, answered: u32) -> Vec<u32> {
        let places = [Place::Input(0), Place::Slot(0), Place::Slot(1), Place::Slot(2)];
        let places = places.into_iter().chain([Place::Slot(3), Place::Slot(1), Place::Constant(0)]);
        let value = |place| Value { kind: Kind::F32, shape: vec![0, 0], place };
        let plan = Plan {
            version: PLAN_VERSION,
            dimensions: vec![Dimension::fixed(4)],
            values: places.map(value).collect(),
            slots: 4,
            matrices: vec![Matrix {
                inner: 4,
                columns: 4,
                has_bias: false,
                element: WeightKind::F32,
            }],
            steps,
            outputs: vec![answered],
            ..Plan::default()
        };
        let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&plan).unwrap();
        streams(rkyv::access::<ArchivedPlan, rkyv::rancor::Error>(&bytes).unwrap()).into_vec()
    }

    #[test]
    fn what_a_product_alone_reads_behind_a_window_need_not_be_there() {
        assert_eq!(found(vec![window(0, 2), product(2, 3)], 3), [0]);
        let both = vec![window(0, 2), product(2, 1), window(1, 5), product(5, 3)];
        assert_eq!(found(both, 3), [0, 2]);
        // What is in its slot afterwards is something else.
        assert_eq!(found(vec![window(0, 2), product(2, 1), other(1, 5), other(5, 3)], 3), [0]);
    }

    #[test]
    fn what_anything_else_reads_has_to_be_there() {
        const NONE: [u32; 0] = [];
        // Read again, answered, and under another name.
        assert_eq!(found(vec![window(0, 2), product(2, 3), other(2, 4)], 4), NONE);
        assert_eq!(found(vec![window(0, 2), product(2, 3)], 2), NONE);
        assert_eq!(found(vec![window(0, 2), product(2, 3), other(5, 4)], 4), NONE);
        assert_eq!(found(vec![window(0, 2), product(5, 3)], 3), NONE);
        assert_eq!(found(vec![window(0, 2), product(2, 3)], 5), NONE);
        // Not behind it.
        assert_eq!(found(vec![window(0, 2), other(0, 1), product(2, 3)], 3), NONE);
        // Over what the window reads, or of what an adapter may have another.
        assert_eq!(found(vec![other(0, 1), window(1, 2), product(2, 1)], 1), NONE);
        assert_eq!(found(vec![window(6, 2), product(2, 3)], 3), NONE);
        assert_eq!(found(vec![other(0, 1), product(1, 3)], 3), NONE);
    }
}
