//! Who may ask what: health without a passport, everything else with one.

use std::{sync::Arc, time::Instant};

use http::{Method, Request};
use hyper::body::Incoming;
use passport::Passport;
use tenancy::{TenantId, problem::Problem};

use crate::{
    answer::{self, Answer, Refusal},
    assignments::{Assigned, Table, TenantModels},
    checks::{self, Denied},
    clock,
    infer::infer,
    protocol::{
        ModelMetadata, ModelPath, ModelReady, Path, ServerLive, ServerMetadata, ServerReady, Verb,
    },
    server::Sidecar,
};

/// Answers one request, whatever it is.
pub(crate) async fn answer(sidecar: Arc<Sidecar>, request: Request<Incoming>) -> Answer {
    match route(&sidecar, request).await {
        Ok(answer) => {
            sidecar.metrics.answered("ok");
            answer
        }
        Err(Denial::Refused(refusal)) => {
            sidecar.metrics.answered(refusal.problem.code());
            tracing::debug!(code = refusal.problem.code(), detail = refusal.detail, "refused");
            refusal.into_answer()
        }
        Err(Denial::Checked(denied)) => {
            sidecar.metrics.answered(denied.code.clone());
            tracing::debug!(code = denied.code, check = denied.check, "denied by a check");
            denied.into_answer()
        }
    }
}

/// Why a request is not answered.
enum Denial {
    /// By what is built in.
    Refused(Refusal),
    /// By a declared check.
    Checked(Denied),
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Denied> for Denial {
    fn from(denied: Denied) -> Self {
        Self::Checked(denied)
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
        return Ok(if path == Path::Live { live()? } else { ready(&table)? });
    }
    let node = table.node.as_deref().ok_or_else(no_policy)?;
    let passport = node.passports.check(request.headers(), clock::unix_seconds())?;
    let path = path.ok_or_else(|| {
        let detail = "expected a path of the Open Inference Protocol, such as \
                      `/v2/models/{name}/infer`";
        Refusal::new(Problem::NotFound, detail)
    })?;
    check_method(&path, request.method())?;
    let Path::Model(ModelPath { name, version, verb }) = path else {
        return Ok(server_metadata()?);
    };
    let (tenant, assigned) = find(&table, &passport, name, version)?;
    let counted = |check: &str, tenant: &TenantId| sidecar.metrics.shadowed(check, tenant);
    checks::hold(tenant, node, assigned, &request, counted)?;
    Ok(match verb {
        Verb::Metadata => metadata(sidecar, tenant, assigned).await?,
        Verb::Ready => {
            sidecar.models.get(tenant.tier, assigned).await?;
            answer::json(&ModelReady { name: &assigned.name, ready: true })?
        }
        Verb::Infer => infer(sidecar, node, tenant, assigned, request, started).await?,
    })
}

/// What the passport's tenant is assigned under a name. One refusal says all: that there is no
/// such name, no such version, that it is another tenant's, or that the tenant is not served here.
fn find<'t>(
    table: &'t Table,
    passport: &Passport,
    name: &str,
    version: Option<&str>,
) -> Result<(&'t TenantModels, &'t Arc<Assigned>), Refusal> {
    table
        .tenant(&passport.tenant)
        .and_then(|tenant| Some((&**tenant, tenant.find(name, version)?)))
        .ok_or_else(|| {
            let detail = "expected a model and version that are assigned to this tenant, found \
                          none of this name";
            Refusal::new(Problem::UnknownModel, detail)
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

fn server_metadata() -> Result<Answer, Refusal> {
    let version = env!("CARGO_PKG_VERSION");
    answer::json(&ServerMetadata { name: "bulkhead", version, extensions: [] })
}

fn live() -> Result<Answer, Refusal> {
    answer::json(&ServerLive { live: true })
}

/// Ready once passports can be verified. A node without tenants is ready too: it has none to fail.
fn ready(table: &Table) -> Result<Answer, Refusal> {
    table.node.as_ref().ok_or_else(no_policy)?;
    answer::json(&ServerReady { ready: true })
}

fn no_policy() -> Refusal {
    let detail = "expected assignments from the control plane, found none yet: try again later";
    Refusal::new(Problem::PolicyUnavailable, detail)
}

fn check_method(path: &Path<'_>, method: &Method) -> Result<(), Refusal> {
    let allowed = path.method();
    let reads = *method == Method::GET || *method == Method::HEAD;
    if method.as_str() == allowed || (allowed == "GET" && reads) {
        return Ok(());
    }
    let detail = format!("expected method {allowed} at this path");
    Err(Refusal { allow: Some(allowed), ..Refusal::new(Problem::MethodNotAllowed, detail) })
}
