//! Who may ask what over REST: health without a passport, everything else with one. Calls over gRPC
//! are told from others here, and go their own way.

use std::{sync::Arc, time::Instant};

use http::{HeaderMap, Method, Request, request::Parts};
use hyper::body::Incoming;
use serde::Serialize;
use tenancy::{ModelName, Version, problem::Problem};

use crate::{
    access::{self, Access},
    answer::{self, Answer, JSON_LENGTH, Refusal},
    assignments::{Assigned, Table, TenantModels},
    clock,
    denial::Denial,
    execute::{Call, admit},
    grpc,
    infer::{Wire, predict},
    protocol::{
        self, EXTENSIONS, Forms, ModelMetadata, ModelPath, ModelReady, Path, ServerLive,
        ServerMetadata, ServerReady, Verb,
    },
    repository,
    server::Sidecar,
    statistics::Counts,
    usage,
};

/// Answers one request, whatever it is.
pub(crate) async fn answer(sidecar: Arc<Sidecar>, request: Request<Incoming>) -> Answer {
    let calls = grpc::is_call(request.headers());
    let answered =
        if calls { grpc::answer(&sidecar, request).await } else { route(&sidecar, request).await };
    match answered {
        Ok(answer) => {
            sidecar.metrics.answered("ok");
            answer
        }
        Err(denial) => {
            sidecar.metrics.answered(denial.code());
            tracing::debug!(code = %denial.code(), detail = denial.detail(), "denied");
            if calls { grpc::denied(&denial) } else { denial.into_answer() }
        }
    }
}

async fn route(sidecar: &Sidecar, request: Request<Incoming>) -> Result<Answer, Denial> {
    let started = Instant::now();
    let table = sidecar.assignments.table();
    let uri = request.uri().clone();
    let path = Path::parse(uri.path());
    // The node's own probes carry no passport.
    if let Some(path @ (Path::Live | Path::Ready)) = path {
        check_method(&path, request.method())?;
        return Ok(if path == Path::Live { live()? } else { ready(sidecar, &table)? });
    }
    let access = Access::check(&table, request.headers(), clock::since_epoch())?;
    let path = path.ok_or_else(|| {
        let detail = "expected a path of the Open Inference Protocol, such as \
                      `/v2/models/{name}/infer`";
        Refusal::new(Problem::NotFound, detail)
    })?;
    check_method(&path, request.method())?;
    match path {
        Path::Live | Path::Ready | Path::Server => Ok(server_metadata()?),
        Path::Model(path) => model(sidecar, &access, path, request, started).await,
        Path::Statistics => Ok(statistics(sidecar, access.models()?.assigned())?),
        Path::Index => index(sidecar, &access, request).await,
        Path::Repository(_) => Err(repository::operators_only().into()),
    }
}

async fn model(
    sidecar: &Sidecar,
    access: &Access<'_>,
    ModelPath { name, version, verb }: ModelPath<'_>,
    request: Request<Incoming>,
    started: Instant,
) -> Result<Answer, Denial> {
    let (parts, body) = request.into_parts();
    let (tenant, assigned) = access.checked(sidecar, name, version.unwrap_or_default(), &parts)?;
    Ok(match verb {
        Verb::Metadata => metadata(sidecar, tenant, assigned).await?,
        Verb::Ready => {
            sidecar.models.get(tenant.tier, assigned).await?;
            answer::json(&ModelReady { name: &assigned.name, ready: true })?
        }
        Verb::Statistics => statistics(sidecar, [assigned])?,
        Verb::Infer => {
            let id = usage::event_id(&parts.headers);
            let node = access.node;
            let call = Call { id, node, tenant, assigned, started, deadline: None };
            infer(sidecar, call, parts, body).await?
        }
    })
}

async fn infer(
    sidecar: &Sidecar,
    call: Call<'_>,
    parts: Parts,
    body: Incoming,
) -> Result<Answer, Refusal> {
    let json_bytes = json_bytes(&parts.headers)?;
    admit(sidecar, call.assigned)?;
    let body = sidecar.bodies.whole(&call.assigned.tenant, &parts.headers, body).await?;
    let wire = Wire {
        body_bytes: body.bytes.len(),
        decode: move || protocol::read(&body.bytes, json_bytes),
        carries: protocol::carries,
        encode: |assigned, id, outputs, forms: Forms| {
            let Assigned { name, version, .. } = assigned;
            protocol::write(name, version, id.as_deref(), &outputs, &forms)
        },
    };
    Ok(answer::inference(predict(sidecar, call, wire).await?))
}

/// How much of the body is JSON, where the binary tensor extension says it.
fn json_bytes(headers: &HeaderMap) -> Result<Option<usize>, Refusal> {
    let Some(length) = headers.get(JSON_LENGTH) else { return Ok(None) };
    let length = length.to_str().ok().and_then(|text| text.parse().ok());
    length.map(Some).ok_or_else(|| {
        let detail = "expected `inference-header-content-length` to be a number of bytes";
        Refusal::new(Problem::InvalidRequest, detail)
    })
}

async fn metadata(
    sidecar: &Sidecar,
    tenant: &TenantModels,
    assigned: &Arc<Assigned>,
) -> Result<Answer, Refusal> {
    let loaded = sidecar.models.get(tenant.tier, assigned).await?;
    let signature = loaded.model().signature();
    answer::json(&ModelMetadata {
        name: &assigned.name,
        versions: tenant.versions(&assigned.name),
        platform: "onnx",
        inputs: &signature.inputs,
        outputs: &signature.outputs,
    })
}

#[derive(Serialize)]
struct Statistics<'a> {
    model_stats: Vec<ModelStatistics<'a>>,
}

#[derive(Serialize)]
struct ModelStatistics<'a> {
    name: &'a ModelName,
    version: &'a Version,
    #[serde(flatten)]
    counts: Counts,
    /// Requests are not told apart by the size of their batch.
    batch_stats: [(); 0],
}

fn statistics<'a>(
    sidecar: &Sidecar,
    assigned: impl IntoIterator<Item = &'a Arc<Assigned>>,
) -> Result<Answer, Refusal> {
    let each = assigned.into_iter().map(|assigned| ModelStatistics {
        name: &assigned.name,
        version: &assigned.version,
        counts: sidecar.statistics.of(assigned),
        batch_stats: [],
    });
    answer::json(&Statistics { model_stats: each.collect() })
}

async fn index(
    sidecar: &Sidecar,
    access: &Access<'_>,
    request: Request<Incoming>,
) -> Result<Answer, Denial> {
    let models = access.models()?;
    let (parts, body) = request.into_parts();
    let body = sidecar.bodies.whole(&access.tenant, &parts.headers, body).await?;
    let ready_only = repository::ready_only(&body.bytes)?;
    let listed = repository::index(sidecar, models.assigned(), ready_only, |assigned| {
        assigned.name.to_string()
    });
    Ok(answer::json(&listed)?)
}

fn server_metadata() -> Result<Answer, Refusal> {
    let version = env!("CARGO_PKG_VERSION");
    answer::json(&ServerMetadata { name: "bulkhead", version, extensions: EXTENSIONS })
}

fn live() -> Result<Answer, Refusal> {
    answer::json(&ServerLive { live: true })
}

fn ready(sidecar: &Sidecar, table: &Table) -> Result<Answer, Refusal> {
    access::ready(sidecar, table)?;
    answer::json(&ServerReady { ready: true })
}

pub(crate) fn check_method(path: &Path<'_>, method: &Method) -> Result<(), Refusal> {
    let allowed = path.method();
    let reads = *method == Method::GET || *method == Method::HEAD;
    if method.as_str() == allowed || (allowed == "GET" && reads) {
        return Ok(());
    }
    let detail = format!("expected method {allowed} at this path");
    Err(Refusal { allow: Some(allowed), ..Refusal::new(Problem::MethodNotAllowed, detail) })
}
