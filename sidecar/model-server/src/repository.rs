//! The protocol's model repository extension. A tenant sees what is assigned to it. To load and to
//! unload is the operator's, at the node's own address, where models are named `{tenant}/{name}`.
//!
//! What may be served is the assignment's to say and nobody's here: unloading gives memory back
//! until the next request, and loading saves that request the time.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tenancy::{Version, problem::Problem};

use crate::{
    answer::Refusal,
    assignments::{Assigned, TenantModels},
    server::Sidecar,
};

/// A model version of the index.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) version: Version,
    /// `READY` in memory, `UNAVAILABLE` else, as the extension has it.
    pub(crate) state: &'static str,
    pub(crate) reason: &'static str,
}

/// The index of what is `assigned`, each called as `name` says.
pub(crate) fn index<'a>(
    sidecar: &Sidecar,
    assigned: impl Iterator<Item = &'a Arc<Assigned>>,
    ready_only: bool,
    name: fn(&Assigned) -> String,
) -> Vec<Entry> {
    let entries = assigned.map(|assigned| {
        let (state, reason) = if sidecar.models.is_loaded(assigned) {
            ("READY", "")
        } else {
            ("UNAVAILABLE", "not in memory: the next request loads it")
        };
        Entry { name: name(assigned), version: assigned.version.clone(), state, reason }
    });
    entries.filter(|entry| !ready_only || entry.state == "READY").collect()
}

/// Whether the body of a request for the index asks for nothing but what is ready.
pub(crate) fn ready_only(body: &[u8]) -> Result<bool, Refusal> {
    #[derive(Deserialize)]
    struct Asked {
        #[serde(default)]
        ready: bool,
    }
    if body.is_empty() {
        return Ok(false);
    }
    serde_json::from_slice(body).map(|asked: Asked| asked.ready).map_err(|_| {
        let detail = "expected no body, or a JSON object with the field `ready`";
        Refusal::new(Problem::InvalidRequest, detail)
    })
}

/// Loads or unloads every version of `model`, which is `{tenant}/{name}`.
pub(crate) async fn change(sidecar: &Sidecar, model: &str, load: bool) -> Result<(), Refusal> {
    let table = sidecar.assignments.table();
    let (tenant, versions) = model
        .split_once('/')
        .and_then(|(tenant, name)| {
            let tenant = table.tenant(&tenant.parse().ok()?)?;
            let versions: Vec<_> =
                tenant.assigned().filter(|assigned| assigned.name.as_str() == name).collect();
            (!versions.is_empty()).then_some((tenant, versions))
        })
        .ok_or_else(|| {
            let detail = format!("expected a model of this node as `tenant/name`, found `{model}`");
            Refusal::new(Problem::UnknownModel, detail)
        })?;
    for assigned in versions {
        change_one(sidecar, tenant, assigned, load).await?;
    }
    Ok(())
}

async fn change_one(
    sidecar: &Sidecar,
    tenant: &TenantModels,
    assigned: &Arc<Assigned>,
    load: bool,
) -> Result<(), Refusal> {
    if load {
        sidecar.models.get(tenant.tier, assigned).await?;
    } else {
        sidecar.models.unload(assigned);
    }
    tracing::info!(
        tenant = %assigned.tenant, model = %assigned.name, version = %assigned.version,
        "{} by an operator", if load { "loaded" } else { "unloaded" }
    );
    Ok(())
}

/// What a tenant is told that asks to load or to unload.
pub(crate) fn operators_only() -> Refusal {
    let detail = "expected a path that tenants may ask for: to load and to unload models is the \
                  operator's, at the node's own address";
    Refusal::new(Problem::NotFound, detail)
}
