//! In what two plans differ.

use std::fmt::Debug;

use super::{ArchivedPlan, Matrix, Plan};

/// The most letters that are said of one part of a plan.
const MOST_LETTERS: usize = 160;

/// The first thing in which `plan` computes otherwise than `base`, whatever their weights are and
/// however these are packed. None where there is none.
pub(crate) fn difference(base: &ArchivedPlan, plan: &Plan) -> Option<String> {
    let Ok(base) = rkyv::deserialize::<Plan, rkyv::rancor::Error>(base) else {
        return Some("the base's plan cannot be read".to_owned());
    };
    let shape = |it: &Matrix| (it.inner, it.columns, it.has_bias);
    let shapes = |plan: &Plan| plan.matrices.iter().map(shape).collect::<Vec<_>>();
    parts("input dimension", &base.symbols, &plan.symbols)
        .or_else(|| parts("step", &base.steps, &plan.steps))
        .or_else(|| parts("matrix (rows, columns, bias)", &shapes(&base), &shapes(plan)))
        .or_else(|| parts("dimension", &base.dimensions, &plan.dimensions))
        .or_else(|| parts("value", &base.values, &plan.values))
        .or_else(|| parts("output", &base.outputs, &plan.outputs))
        .or_else(|| (base.slots != plan.slots).then(|| "they need other memory".to_owned()))
}

fn parts<T: Debug + PartialEq>(what: &str, base: &[T], plan: &[T]) -> Option<String> {
    let longest = base.len().max(plan.len());
    let at = (0..longest).find(|at| base.get(*at) != plan.get(*at))?;
    Some(format!("{what} {at} is {} and was {}", said(plan.get(at)), said(base.get(at))))
}

fn said<T: Debug>(part: Option<&T>) -> String {
    let Some(part) = part else { return "not there".to_owned() };
    let whole = format!("{part:?}");
    match whole.char_indices().nth(MOST_LETTERS) {
        Some((end, _)) => format!("{}…", whole.get(..end).unwrap_or_default()),
        None => whole,
    }
}
