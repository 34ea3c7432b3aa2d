//! Requests to loaded models, run alone or as one.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use inference::{InferError, Inputs, Outputs, TensorData};

use crate::{Joins, Loaded};

/// How far an element of a joint answer may be from the same element of an answer alone, as a part
/// of it, or of 1 where it is smaller: kernels add up in another order for other numbers of rows.
const TOLERANCE: f64 = 1e-3;

/// What executions are told apart by: the loaded model, and the dimensions of its inputs beside the
/// batch. Requests of one kind may be joined.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kind {
    model: u64,
    dimensions: Box<[u64]>,
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
    /// Its kind.
    pub fn kind(&self) -> Kind {
        let signature = self.loaded.model().signature();
        let tensors = signature.inputs.iter().filter_map(|spec| {
            self.inputs.tensors().iter().find(|tensor| tensor.name() == spec.name)
        });
        let dimensions = tensors.flat_map(|tensor| tensor.shape().iter().skip(1).copied());
        Kind { model: self.loaded.id(), dimensions: dimensions.collect() }
    }

    fn run_alone(&self) -> Result<Outputs, InferError> {
        let mut outputs = Outputs::default();
        let ran = catch_unwind(AssertUnwindSafe(|| {
            self.loaded.model().infer_into(&self.inputs, &mut outputs)
        }));
        match ran {
            Ok(ran) => ran.map(|()| outputs),
            Err(_) => Err(InferError::Failed { detail: "the model's backend panicked".to_owned() }),
        }
    }
}

/// Answers executions of one kind, in their order.
///
/// More than one are run as one where that is known to give the answers that each would get alone. The
/// first time it is tried, both are done and compared; a model of which they differ is never joined
/// again, and its requests get the answers that they got alone. Where a joint execution fails, each
/// is run alone, so that one that makes the model fail fails nobody else.
pub fn execute(executions: Vec<Execution>) -> Vec<Result<Outputs, InferError>> {
    let alone = || executions.iter().map(Execution::run_alone).collect::<Vec<_>>();
    let [first, _, ..] = executions.as_slice() else { return alone() };
    let loaded = &first.loaded;
    match loaded.joins() {
        Joins::Never => alone(),
        Joins::Alike => run_joined(&executions)
            .map_or_else(alone, |answers| answers.into_iter().map(Ok).collect()),
        Joins::Unknown => {
            let (answers, joined) = (alone(), run_joined(&executions));
            if answers.iter().all(Result::is_ok) {
                let alike = joined.is_some_and(|joined| {
                    answers.iter().flatten().zip(&joined).all(|(one, other)| are_alike(one, other))
                });
                if !alike {
                    tracing::info!(
                        "a model answers rows together otherwise than alone: its requests are not joined"
                    );
                }
                loaded.saw(if alike { Joins::Alike } else { Joins::Never });
            }
            answers
        }
    }
}

fn run_joined(executions: &[Execution]) -> Option<Vec<Outputs>> {
    let first = executions.first()?;
    let rows: Vec<u64> = executions.iter().map(|it| it.inputs.batch()).collect();
    let inputs = Inputs::join(executions.iter().map(|it| &it.inputs))?;
    let joined = Execution { loaded: Arc::clone(&first.loaded), inputs };
    joined.run_alone().ok()?.split(&rows)
}

fn are_alike(one: &Outputs, other: &Outputs) -> bool {
    one.tensors().len() == other.tensors().len()
        && one.tensors().iter().zip(other.tensors()).all(|(one, other)| {
            one.shape() == other.shape()
                && match (one.data(), other.data()) {
                    (TensorData::Fp32(one), TensorData::Fp32(other)) => {
                        let pairs = one.iter().zip(other);
                        pairs.into_iter().all(|(a, b)| is_near(f64::from(*a), f64::from(*b)))
                    }
                    (TensorData::Fp64(one), TensorData::Fp64(other)) => {
                        one.iter().zip(other).all(|(a, b)| is_near(*a, *b))
                    }
                    (TensorData::Fp16(one), TensorData::Fp16(other)) => {
                        one.iter().zip(other).all(|(a, b)| is_near(a.to_f64(), b.to_f64()))
                    }
                    (one, other) => one == other,
                }
        })
}

fn is_near(one: f64, other: f64) -> bool {
    one == other
        || (one.is_nan() && other.is_nan())
        || (one - other).abs() <= TOLERANCE * one.abs().max(other.abs()).max(1.0)
}
