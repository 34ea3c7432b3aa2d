//! The node's own address: metrics, health, and the repository of all tenants' models for
//! operators. No tenant's request comes here.

use std::sync::Arc;

use http::Request;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tenancy::problem::Problem;

use crate::{
    OperatorDigest, access,
    answer::{self, Answer, Refusal},
    assignments::Assigned,
    denial::Denial,
    grpc::{self, Method},
    metrics::Stats,
    operators,
    protocol::{
        Path, RepositoryPath, ServerLive, ServerReady,
        grpc::messages::{Empty, RepositoryIndexRequest, RepositoryModelRequest},
    },
    repository,
    routes::check_method,
    server::Sidecar,
};

/// The largest body here: a name, or a switch.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Answers one request.
pub(crate) async fn answer(
    sidecar: Arc<Sidecar>,
    operators: Arc<[OperatorDigest]>,
    request: Request<Incoming>,
) -> Answer {
    if grpc::is_call(request.headers()) {
        return match call(&sidecar, &operators, request).await {
            Ok(answer) => answer,
            Err(refusal) => grpc::denied(&Denial::Refused(refusal)),
        };
    }
    route(&sidecar, &operators, request).await.unwrap_or_else(Refusal::into_answer)
}

async fn route(
    sidecar: &Sidecar,
    operators: &[OperatorDigest],
    request: Request<Incoming>,
) -> Result<Answer, Refusal> {
    let uri = request.uri().clone();
    if uri.path() == "/metrics" {
        return Ok(metrics(sidecar));
    }
    let path = Path::parse(uri.path()).ok_or_else(nothing_here)?;
    check_method(&path, request.method())?;
    match path {
        Path::Live => answer::json(&ServerLive { live: true }),
        Path::Ready => {
            access::ready(sidecar, &sidecar.assignments.table())?;
            answer::json(&ServerReady { ready: true })
        }
        Path::Index => {
            operators::check(operators, request.headers())?;
            let body = body(request).await?;
            answer::json(&index(sidecar, repository::ready_only(&body)?))
        }
        Path::Repository(RepositoryPath { model, load }) => {
            operators::check(operators, request.headers())?;
            repository::change(sidecar, model, load).await?;
            Ok(answer::typed(bytes::Bytes::new(), "application/json"))
        }
        Path::Server | Path::Model(_) | Path::Statistics => Err(nothing_here()),
    }
}

async fn call(
    sidecar: &Sidecar,
    operators: &[OperatorDigest],
    request: Request<Incoming>,
) -> Result<Answer, Refusal> {
    let method = Method::parse(request.uri().path()).ok_or_else(nothing_here)?;
    operators::check(operators, request.headers())?;
    let body = body(request).await?;
    match method {
        Method::RepositoryIndex => {
            let RepositoryIndexRequest { ready } = grpc::message(body)?;
            grpc::index(index(sidecar, ready))
        }
        Method::RepositoryModelLoad | Method::RepositoryModelUnload => {
            let RepositoryModelRequest { model_name } = grpc::message(body)?;
            let load = method == Method::RepositoryModelLoad;
            repository::change(sidecar, &model_name, load).await?;
            grpc::reply(&Empty {})
        }
        _ => Err(nothing_here()),
    }
}

fn index(sidecar: &Sidecar, ready_only: bool) -> Vec<repository::Entry> {
    let table = sidecar.assignments.table();
    let name = |assigned: &Assigned| format!("{}/{}", assigned.tenant, assigned.name);
    repository::index(sidecar, table.assigned(), ready_only, name)
}

async fn body(request: Request<Incoming>) -> Result<bytes::Bytes, Refusal> {
    let body = Limited::new(request.into_body(), MAX_BODY_BYTES).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| {
        let detail = format!("expected a body of at most {MAX_BODY_BYTES} bytes: {error}");
        Refusal::new(Problem::InvalidRequest, detail)
    })
}

fn metrics(sidecar: &Sidecar) -> Answer {
    let stats = Stats {
        cache: sidecar.models.stats(),
        device: sidecar.models.device_stats(),
        meter: sidecar.meter.log.stats(),
        by_owner: sidecar.models.stats_by_owner(),
        waiting: sidecar.compute.waiting(),
        waiting_bytes: sidecar.compute.waiting_bytes(),
        running: sidecar.compute.running(),
        tenants: sidecar.assignments.table().tenants(),
    };
    answer::typed(sidecar.metrics.render(&stats), "text/plain; version=0.0.4")
}

fn nothing_here() -> Refusal {
    let detail = "expected `/metrics`, `/v2/health/..` or `/v2/repository/..`; tenants' requests \
                  are answered elsewhere";
    Refusal::new(Problem::NotFound, detail)
}
