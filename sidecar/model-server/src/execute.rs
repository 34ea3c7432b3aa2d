//! The execution of one prediction, whatever protocol it came by: run, meter; in this order.
//!
//! Tensors come in decoded and go out to be encoded. What lies below, the queue, is told who asks and
//! by when, and nothing of how it was asked.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use inference::{InferError, Inputs, Outputs, Tensor, TensorSpec};
use scheduler::{ExecuteError, Loaded};
use tenancy::{TenantId, problem::Problem};
use uuid::Uuid;

use crate::{
    answer::Refusal,
    assignments::{Assigned, Node, TenantModels},
    server::Sidecar,
};

/// A prediction that was decided to run on `assigned`.
pub(crate) struct Call<'a> {
    /// The usage event's id.
    pub(crate) id: Uuid,
    pub(crate) node: &'a Node,
    pub(crate) tenant: &'a TenantModels,
    pub(crate) assigned: &'a Arc<Assigned>,
    /// When the request came.
    pub(crate) started: Instant,
    /// When an answer is of no use any more.
    pub(crate) deadline: Option<Instant>,
}

/// A call with what it says.
pub(crate) struct Execution<'a> {
    pub(crate) call: Call<'a>,
    /// The model that it was decided to run on.
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) inputs: Inputs,
    /// The names of the outputs that are asked for, in the order in which they are given; none
    /// means all.
    pub(crate) wanted: Vec<String>,
}

/// What was executed, and metered.
pub(crate) struct Executed {
    /// The outputs that were asked for, in that order.
    pub(crate) outputs: Vec<Tensor>,
    /// How many rows were answered and metered.
    pub(crate) rows: u64,
    pub(crate) timings: Timings,
}

/// What a prediction's time went into, but for reading and writing its bodies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Timings {
    /// Waiting for a thread.
    pub(crate) queued: Duration,
    /// The model: its part of the processor time of the execution that it was in.
    pub(crate) ran: Duration,
}

/// Runs a prediction and makes its usage durable; then its outputs may leave.
///
/// `carries` says whether the answer can be written in the form that is asked for. What cannot is
/// refused before it is metered.
///
/// # Errors
/// Each refusal that the queue, a model and the meter have.
pub(crate) async fn execute(
    sidecar: &Sidecar,
    execution: Execution<'_>,
    carries: impl FnOnce(&[Tensor]) -> Result<(), Refusal>,
) -> Result<Executed, Refusal> {
    let Execution { call, loaded, inputs, wanted } = execution;
    let Call { id, node, assigned, started, deadline, .. } = call;
    check_wanted(&wanted, &loaded.model().signature().outputs)?;
    // What does not fit the model waits for nothing, and is in no batch with what does.
    let model = loaded.model();
    let rows = model
        .signature()
        .check(&inputs, model.max_batch())
        .map_err(|error| failed(assigned, &error))?;
    let tenant = &assigned.tenant;
    let run = sidecar.compute.run(tenant, loaded, (inputs, rows), &node.serving, deadline);
    let executed = run.await.map_err(|error| refused(sidecar, tenant, error))?;
    sidecar.metrics.executed(tenant, &executed);
    let timings = Timings { queued: executed.waited, ran: executed.cost };
    let outputs = executed.answer.map_err(|error| failed(assigned, &error))?;
    let rows = outputs.batch();
    let outputs = chosen(&wanted, outputs);
    carries(&outputs)?;
    sidecar.meter.record(id, assigned, &node.region, rows, started.elapsed()).await?;
    sidecar.metrics.predicted(tenant, rows, started.elapsed());
    Ok(Executed { outputs, rows, timings })
}

/// Refuses what would not be let in, before its body is read.
///
/// # Errors
/// As many of the tenant's requests wait as may.
pub(crate) fn admit(sidecar: &Sidecar, assigned: &Assigned) -> Result<(), Refusal> {
    let tenant = &assigned.tenant;
    sidecar.compute.admit(tenant).map_err(|error| refused(sidecar, tenant, error))
}

fn failed(assigned: &Assigned, error: &InferError) -> Refusal {
    if error.problem() == Problem::InferenceFailed {
        tracing::warn!(
            tenant = %assigned.tenant, model = %assigned.name, version = %assigned.version,
            "a model failed on an input"
        );
    }
    Refusal::new(error.problem(), error.to_string())
}

fn refused(sidecar: &Sidecar, tenant: &TenantId, error: ExecuteError) -> Refusal {
    sidecar.metrics.refused(tenant, error.reason());
    Refusal::new(error.problem(), error.to_string())
}

/// Whether the model has the outputs that are asked for, which is known before it runs.
fn check_wanted(wanted: &[String], has: &[TensorSpec]) -> Result<(), Refusal> {
    for (at, name) in wanted.iter().enumerate() {
        if !has.iter().any(|output| output.name == *name) {
            let has: Vec<_> = has.iter().map(|output| &output.name).collect();
            let detail = format!("expected outputs named {has:?}, found `{name}`");
            return Err(Refusal::new(Problem::UnknownInput, detail));
        }
        // Those before are outputs of the model, each once, so this is short.
        if wanted.iter().take(at).any(|before| before == name) {
            let detail = format!("expected each output once, found `{name}` twice");
            return Err(Refusal::new(Problem::InvalidRequest, detail));
        }
    }
    Ok(())
}

fn chosen(wanted: &[String], outputs: Outputs) -> Vec<Tensor> {
    let mut tensors = outputs.into_tensors();
    if wanted.is_empty() {
        return tensors;
    }
    let mut take = |name: &String| {
        let at = tensors.iter().position(|tensor| tensor.name() == name)?;
        Some(tensors.swap_remove(at))
    };
    wanted.iter().filter_map(&mut take).collect()
}

#[cfg(test)]
mod tests {
    use inference::DataType;

    use super::*;

    #[test]
    fn outputs_that_the_model_does_not_have_are_refused_before_it_runs() {
        let has = ["y", "z"].map(|name| TensorSpec::new(name, DataType::Fp32, vec![-1]));
        let check = |wanted: &[&str]| {
            let wanted: Vec<_> = wanted.iter().map(|name| (*name).to_owned()).collect();
            check_wanted(&wanted, &has).map_err(|refusal| refusal.problem)
        };
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&["z", "y"]), Ok(()));
        assert_eq!(check(&["z", "x"]), Err(Problem::UnknownInput));
        assert_eq!(check(&["z", "z"]), Err(Problem::InvalidRequest));
    }
}
