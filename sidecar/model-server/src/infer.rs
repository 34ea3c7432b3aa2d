//! The way of one prediction: model, body, run, meter, answer; in this order.

use std::{sync::Arc, time::Instant};

use http::Request;
use hyper::body::Incoming;
use inference::Model;
use tenancy::problem::Problem;

use crate::{
    answer::{self, Answer, Refusal},
    assignments::{Assigned, Node, TenantModels},
    body,
    protocol::{self, InferRequest, ProtocolError},
    server::Sidecar,
    usage,
};

struct Predicted {
    rows: u64,
    body: Vec<u8>,
}

/// Answers a request that was decided to run on `assigned`.
pub(crate) async fn infer(
    sidecar: &Sidecar,
    node: &Node,
    tenant: &TenantModels,
    assigned: &Arc<Assigned>,
    request: Request<Incoming>,
    started: Instant,
) -> Result<Answer, Refusal> {
    let (parts, mut incoming) = request.into_parts();
    let id = usage::event_id(&parts.headers);
    sidecar.bodies.admit(&parts.headers, &incoming)?;
    let loaded = sidecar.models.get(tenant.tier, assigned).await?;
    let body = match sidecar.bodies.read(&assigned.tenant, &mut incoming).await {
        Ok(body) => body,
        Err(refusal) => {
            if refusal.problem == Problem::BodyTooLarge {
                body::linger(incoming);
            }
            return Err(refusal);
        }
    };
    let job = {
        let assigned = Arc::clone(assigned);
        // The model stays in memory while it runs, whatever the cache does.
        move || predict(&assigned, &**loaded.model(), &body.bytes)
    };
    let predicted = sidecar
        .pool
        .run(job)
        .await
        .map_err(|error| Refusal::new(error.problem(), error.to_string()))??;
    let latency = started.elapsed();
    sidecar.meter.record(id, assigned, &node.region, predicted.rows, latency).await?;
    sidecar.metrics.predicted(&assigned.tenant, predicted.rows, started.elapsed());
    Ok(answer::json_bytes(predicted.body))
}

/// All that computes. Reading and writing JSON too can take long, so they run where inference
/// runs, and not where connections are served.
fn predict(assigned: &Assigned, model: &dyn Model, body: &[u8]) -> Result<Predicted, Refusal> {
    let InferRequest { id, inputs, outputs } = InferRequest::parse(body).map_err(refused)?;
    protocol::check_wanted(&outputs, &model.signature().outputs).map_err(refused)?;
    let answer = model.infer(inputs).map_err(|error| {
        if error.problem() == Problem::InferenceFailed {
            tracing::warn!(
                tenant = %assigned.tenant, model = %assigned.name, version = %assigned.version,
                "a model failed on an input"
            );
        }
        Refusal::new(error.problem(), error.to_string())
    })?;
    let Assigned { name, version, .. } = assigned;
    let body = protocol::write(name, version, id.as_deref(), &outputs, &answer).map_err(refused)?;
    Ok(Predicted { rows: answer.batch(), body })
}

fn refused(error: ProtocolError) -> Refusal {
    Refusal::new(error.problem, error.detail)
}
