//! Requests to loaded models, run alone or as one.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use inference::{InferError, Inputs, Outputs, Part};
use tenancy::Digest;

use crate::{Joins, Loaded, alike::are_alike};

/// What executions are told apart by: the loaded model, or the family of models that are run as one,
/// and the dimensions of the inputs beside the batch. Requests of one kind may be joined.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kind {
    by: By,
    dimensions: Box<[u64]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum By {
    Model(u64),
    Family(Digest),
}

/// A request to a loaded model. The model stays in memory while it waits and runs, whatever the cache
/// does.
#[derive(Debug)]
pub struct Execution {
    /// The model.
    pub loaded: Arc<Loaded>,
    /// What goes into it, which fits its signature.
    pub inputs: Inputs,
}

impl Execution {
    /// Its kind. A model that is never joined is of no family.
    pub fn kind(&self) -> Kind {
        let model = self.loaded.model();
        let tensors = model.signature().inputs.iter().filter_map(|spec| {
            self.inputs.tensors().iter().find(|tensor| tensor.name() == spec.name)
        });
        let dimensions = tensors.flat_map(|tensor| tensor.shape().iter().skip(1).copied());
        let joins = self.loaded.joins() != Joins::Never;
        let by = match model.family() {
            Some(family) if joins => By::Family(family),
            _ => By::Model(self.loaded.id()),
        };
        Kind { by, dimensions: dimensions.collect() }
    }

    fn run_alone(&self) -> Result<Outputs, InferError> {
        caught(|outputs| self.loaded.model().infer_into(&self.inputs, outputs))
    }
}

/// Answers executions of one kind, in their order.
///
/// More than one are run as one where that is known to give the answers that each would get alone. The
/// first time that it is tried with a model, both are done and compared; a model of which they differ
/// is never joined again, and its requests get the answers that they got alone. Where a joint execution
/// fails, each is run alone, so that one that makes its model fail fails nobody else.
pub fn execute(executions: Vec<Execution>) -> Vec<Result<Outputs, InferError>> {
    let alone = || executions.iter().map(Execution::run_alone).collect::<Vec<_>>();
    let joins: Vec<Joins> = executions.iter().map(|it| it.loaded.joins()).collect();
    let mut order: Vec<usize> = (0..executions.len()).collect();
    order.retain(|at| joins.get(*at).is_some_and(|joins| *joins != Joins::Never));
    if order.len() < 2 {
        return alone();
    }
    // Rows of one model lie one behind the other.
    order.sort_by_key(|at| executions.get(*at).map(|it| it.loaded.id()));
    let together: Vec<&Execution> = order.iter().filter_map(|at| executions.get(*at)).collect();
    let Some(joint) = run_joined(&together) else {
        let answers = alone();
        if answers.iter().all(Result::is_ok) {
            together.iter().for_each(|it| compared(&it.loaded, false));
        }
        return answers;
    };
    let mut answers: Vec<Option<Outputs>> = executions.iter().map(|_| None).collect();
    for (at, answer) in order.iter().zip(joint) {
        if let Some(slot) = answers.get_mut(*at) {
            *slot = Some(answer);
        }
    }
    let answers = executions.iter().zip(joins).zip(answers);
    answers
        .map(|((execution, joins), joint)| match (joins, joint) {
            (Joins::Alike, Some(joint)) => Ok(joint),
            (Joins::Unknown, Some(joint)) => {
                let answer = execution.run_alone()?;
                compared(&execution.loaded, are_alike(&answer, &joint));
                Ok(answer)
            }
            _ => execution.run_alone(),
        })
        .collect()
}

/// Takes note of how the answers of a model, of which that was not known, were together and alone.
fn compared(loaded: &Loaded, alike: bool) {
    if loaded.joins() == Joins::Alike {
        return;
    }
    if !alike {
        tracing::info!(
            "a model answers rows together otherwise than alone: its requests are not joined"
        );
    }
    loaded.saw(if alike { Joins::Alike } else { Joins::Never });
}

/// Runs executions as one, of which those of each model are one behind the other.
fn run_joined(executions: &[&Execution]) -> Option<Vec<Outputs>> {
    let rows: Vec<u64> = executions.iter().map(|it| it.inputs.batch()).collect();
    let inputs = Inputs::join(executions.iter().map(|it| &it.inputs))?;
    let (first, model) = executions.first().map(|it| (&it.loaded, it.loaded.model()))?;
    let mut parts: Vec<(u64, Part<'_>)> = vec![];
    for (execution, rows) in executions.iter().zip(&rows) {
        let (id, model) = (execution.loaded.id(), &**execution.loaded.model());
        match parts.last_mut() {
            Some((last, part)) if *last == id => part.rows = part.rows.checked_add(*rows)?,
            _ => parts.push((id, Part { model, rows: *rows })),
        }
    }
    let answer = match parts.as_slice() {
        [(id, _)] if *id == first.id() => caught(|outputs| model.infer_into(&inputs, outputs)),
        _ => {
            let parts: Vec<Part<'_>> = parts.into_iter().map(|(_, part)| part).collect();
            caught(|outputs| model.infer_together(&inputs, &parts, outputs))
        }
    };
    answer.ok()?.split(&rows)
}

/// What a model answers, or that it panicked.
fn caught(run: impl FnOnce(&mut Outputs) -> Result<(), InferError>) -> Result<Outputs, InferError> {
    let mut outputs = Outputs::default();
    match catch_unwind(AssertUnwindSafe(|| run(&mut outputs))) {
        Ok(ran) => ran.map(|()| outputs),
        Err(_) => Err(InferError::Failed { detail: "the model's backend panicked".to_owned() }),
    }
}
