//! The way of one prediction over REST: body, decode, execute, encode; in this order.

use std::{sync::Arc, time::Instant};

use http::Request;
use hyper::body::Incoming;
use inference::Tensor;
use tenancy::problem::Problem;

use crate::{
    answer::{self, Answer, Refusal},
    assignments::{Assigned, Node, TenantModels},
    body::{self, HeldBody},
    execute::{Executed, Execution, execute},
    protocol::{self, InferRequest, ProtocolError},
    server::Sidecar,
    usage,
};

/// Answers a request that was decided to run on `assigned`.
pub(crate) async fn infer(
    sidecar: &Sidecar,
    node: &Node,
    tenant: &TenantModels,
    assigned: &Arc<Assigned>,
    request: Request<Incoming>,
    started: Instant,
) -> Result<Answer, Refusal> {
    let id = usage::event_id(request.headers());
    let body = whole_body(sidecar, assigned, request).await?;
    let body_bytes = body.bytes.len();
    let decode = move || InferRequest::parse(&body.bytes).map_err(refused);
    let InferRequest { id: request_id, inputs, outputs: wanted } =
        sidecar.codec.run(body_bytes, decode).await??;
    let execution =
        Execution { id, node, tenant, assigned, inputs, wanted, started, deadline: None };
    let Executed { outputs, rows, timings } = execute(sidecar, execution, carries).await?;
    tracing::trace!(rows, tenant = %assigned.tenant, queued = ?timings.queued, ran = ?timings.ran, "executed");
    let encode = {
        let assigned = Arc::clone(assigned);
        let elements = outputs.iter().map(|tensor| tensor.data().len()).sum();
        sidecar.codec.run(elements, move || {
            let Assigned { name, version, .. } = &*assigned;
            protocol::write(name, version, request_id.as_deref(), &outputs).map_err(refused)
        })
    };
    Ok(answer::json_bytes(encode.await??))
}

async fn whole_body(
    sidecar: &Sidecar,
    assigned: &Assigned,
    request: Request<Incoming>,
) -> Result<HeldBody, Refusal> {
    let (parts, mut incoming) = request.into_parts();
    sidecar.bodies.admit(&parts.headers, &incoming)?;
    match sidecar.bodies.read(&assigned.tenant, &mut incoming).await {
        Ok(body) => Ok(body),
        Err(refusal) => {
            if refusal.problem == Problem::BodyTooLarge {
                body::linger(incoming);
            }
            Err(refusal)
        }
    }
}

fn carries(outputs: &[Tensor]) -> Result<(), Refusal> {
    outputs.iter().try_for_each(protocol::refuse_unwritable).map_err(refused)
}

fn refused(error: ProtocolError) -> Refusal {
    Refusal::new(error.problem, error.detail)
}
