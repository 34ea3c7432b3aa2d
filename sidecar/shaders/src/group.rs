//! Steps that run as one.

mod flow;

use inference::plan::{ArchivedPlan, ArchivedStep};

use crate::{
    Unsupported,
    chain::{MOST_INPUTS, MOST_STEPS, is_elementwise, is_piece},
};
use flow::Flow;

/// Steps of a plan that run as one, at the place of the last of them. Nothing but what the last one
/// writes is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Group {
    steps: Vec<usize>,
}

impl Group {
    /// A step for itself.
    pub fn single(step: usize) -> Self {
        Self { steps: vec![step] }
    }

    /// The steps, by their places in the plan; rising.
    pub fn indices(&self) -> &[usize] {
        &self.steps
    }

    /// The last step.
    pub fn last(&self) -> usize {
        self.steps.last().copied().unwrap_or_default()
    }

    pub(crate) fn steps<'p>(
        &self,
        plan: &'p ArchivedPlan,
    ) -> Result<Vec<&'p ArchivedStep>, Unsupported> {
        let none = || Unsupported::new("a step that there is not");
        self.steps.iter().map(|at| plan.steps.get(*at).ok_or_else(none)).collect()
    }
}

/// The steps of a plan in groups, in the plan's order; every step is in one. Those for which `can` is
/// false are for themselves. Takes time by the number of steps.
pub fn fuse(plan: &ArchivedPlan, can: impl Fn(usize) -> bool) -> Vec<Group> {
    let flow = Flow::of(plan);
    let mut groups = vec![];
    let mut at = 0;
    while at < plan.steps.len() {
        let candidates = if can(at) { reach(plan, &flow, at, &can) } else { 1 };
        let length = (2..=candidates).rev().find(|length| fits(plan, &flow, at, *length));
        let end = at + length.unwrap_or(1);
        groups.push(Group { steps: (at..end).collect() });
        at = end;
    }
    groups
}

/// How many steps from `first` on could be one, each reading what an earlier one of them wrote or a piece
/// of something else.
fn reach(plan: &ArchivedPlan, flow: &Flow, first: usize, can: &impl Fn(usize) -> bool) -> usize {
    let starts = |step: &ArchivedStep| {
        is_elementwise(step)
            || is_piece(plan, step)
            || matches!(step, ArchivedStep::Product { .. } | ArchivedStep::MatMul { .. })
    };
    if plan.steps.get(first).is_none_or(|step| !starts(step)) {
        return 1;
    }
    let size = flow.size(first);
    let mut end = first + 1;
    while let Some(step) = plan.steps.get(end) {
        let (inputs, output) = step.operands();
        let target = plan.value(output);
        let is_unary = matches!(step, ArchivedStep::Unary { .. } | ArchivedStep::Cast { .. });
        let mut inner = 0;
        let all_whole = inputs.enumerate().all(|(argument, value)| {
            if flow.writer(end, argument).is_none_or(|writer| writer < first) {
                return true;
            }
            inner += 1;
            let shape = plan.value(value).map(|it| &it.shape);
            is_unary || shape == target.map(|it| &it.shape)
        });
        // A piece is read of what lies there before, beside what is computed.
        let follows = if is_piece(plan, step) { inner == 0 } else { inner > 0 && all_whole };
        let joins = (is_elementwise(step) || is_piece(plan, step))
            && can(end)
            && follows
            && size.is_some()
            && flow.size(end) == size
            && end - first < MOST_STEPS;
        if !joins {
            break;
        }
        end += 1;
    }
    end - first
}

/// Whether so many steps from `first` on can be one: nobody else reads what is not written then, and
/// no element is written before all that it stands in the place of are read.
fn fits(plan: &ArchivedPlan, flow: &Flow, first: usize, length: usize) -> bool {
    let steps = first..first + length;
    let last = first + length - 1;
    let is_inner = |step: usize| flow.readers(step).iter().all(|it| steps.contains(it));
    if !(first..last).all(|step| is_inner(step) && !flow.is_answered(step)) {
        return false;
    }
    let Some(end) = plan.steps.get(last).filter(|it| is_elementwise(it)) else { return false };
    let output = end.operands().1;
    let mut outer = 0;
    for at in steps.clone() {
        let Some(step) = plan.steps.get(at) else { return false };
        let (inputs, target) = step.operands();
        for (argument, value) in inputs.enumerate() {
            if flow.writer(at, argument).is_some_and(|writer| writer >= first) {
                continue;
            }
            outer += 1;
            let shares = flow::slot(plan, value).is_some()
                && flow::slot(plan, value) == flow::slot(plan, output);
            let is_whole = is_elementwise(step)
                && plan.value(value).map(|it| &it.shape) == plan.value(target).map(|it| &it.shape);
            let is_as_wide =
                plan.value(value).map(|it| it.kind) == plan.value(output).map(|it| it.kind);
            if shares && !(is_whole && is_as_wide) {
                return false;
            }
        }
    }
    outer <= MOST_INPUTS
}
