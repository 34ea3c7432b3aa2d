//! What a sidecar is told: its tenants with their models, and the passport keys in force.
//!
//! These travel as xDS resources of our own types, in the Protocol Buffers encoding, so that
//! either side can be upgraded first.

use crate::{
    resolved::{self, Base, DataPlane, ModelVersion, Resolved, Tenant},
    spec::Bases,
    table::{SidecarRows, TableError},
};

/// The type URL of [`TenantAssignment`]; the resource's name is the tenant's id.
pub const TENANT_ASSIGNMENT_TYPE: &str = "type.googleapis.com/bulkhead.v1.TenantAssignment";

/// The type URL of [`NodeAssignment`]; the resource's name is the data plane's.
pub const NODE_ASSIGNMENT_TYPE: &str = "type.googleapis.com/bulkhead.v1.NodeAssignment";

/// A tenant that a data plane serves.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TenantAssignment {
    /// The tenant's id.
    #[prost(string, tag = "1")]
    pub tenant: String,
    /// The tier's name.
    #[prost(string, tag = "2")]
    pub tier: String,
    /// The models that may answer this tenant. Nothing else may.
    #[prost(message, repeated, tag = "3")]
    pub models: Vec<AssignedModel>,
    /// The checks that hold for it here, as [`crate::table::SidecarTable`] reads them; empty where
    /// there are none. A sidecar that cannot read them must refuse the assignment.
    #[prost(bytes = "vec", tag = "4")]
    pub checks: Vec<u8>,
    /// What it is given of the node's processors; the sidecar's defaults where it is not said.
    #[prost(message, optional, tag = "5")]
    pub share: Option<Share>,
    /// What it is given of the node's memory; the sidecar's defaults where it is not said.
    #[prost(message, optional, tag = "6")]
    pub memory: Option<Memory>,
    /// Whether the bases of its adapters may have been trained on others' data.
    #[prost(bool, tag = "7")]
    pub shares_bases: bool,
}

/// What a tenant is given of a node's processors.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Share {
    /// Its part of the execution time beside the weights of the others.
    #[prost(uint32, tag = "1")]
    pub weight: u32,
    /// How soon its requests are taken: `low`, `normal` or `high`.
    #[prost(string, tag = "2")]
    pub priority: String,
    /// How many of its executions run at once.
    #[prost(uint32, tag = "3")]
    pub concurrency: u32,
    /// How many of its requests wait.
    #[prost(uint32, tag = "4")]
    pub waiting: u32,
}

/// What a tenant is given of a node's memory.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Memory {
    /// So many bytes of its loaded models do not go for others.
    #[prost(uint64, tag = "1")]
    pub floor_bytes: u64,
    /// The most bytes that its loaded models take, where there is a bound of its own.
    #[prost(uint64, optional, tag = "2")]
    pub ceiling_bytes: Option<u64>,
    /// Whether its models are loaded when they are assigned, and stay.
    #[prost(bool, tag = "3")]
    pub pinned: bool,
    /// So many bytes of its models on a device do not go for others.
    #[prost(uint64, tag = "4")]
    pub device_floor_bytes: u64,
    /// The most bytes that its models take there, where there is a bound of its own.
    #[prost(uint64, optional, tag = "5")]
    pub device_ceiling_bytes: Option<u64>,
}

/// How the nodes of a data plane serve.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Serving {
    /// The most rows that requests are joined to.
    #[prost(uint32, tag = "1")]
    pub max_batch_rows: u32,
    /// For how long a request waits for others to be joined with.
    #[prost(uint64, tag = "2")]
    pub batch_wait_micros: u64,
    /// For how long a version stays loaded that another one has replaced.
    #[prost(uint64, tag = "3")]
    pub keep_old_version_seconds: u64,
}

/// A model version that may answer a tenant.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AssignedModel {
    /// The public name, as in `/v2/models/{name}`.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The version's name.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Whether it answers where the client names no version. One per public name.
    #[prost(bool, tag = "3")]
    pub default: bool,
    /// The registry's name for the model.
    #[prost(string, tag = "4")]
    pub model: String,
    /// The artifact's digest, as [`tenancy::Digest`] writes it.
    #[prost(string, tag = "5")]
    pub digest: String,
    /// Whose data it was trained on.
    #[prost(string, repeated, tag = "6")]
    pub trained_on: Vec<String>,
    /// What it changes, where it is an adapter.
    #[prost(message, optional, tag = "7")]
    pub base: Option<AssignedBase>,
}

/// The model version that an adapter is made over.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AssignedBase {
    /// The registry's name for the model.
    #[prost(string, tag = "1")]
    pub model: String,
    /// The version's name.
    #[prost(string, tag = "2")]
    pub version: String,
    /// The artifact's digest, as [`tenancy::Digest`] writes it.
    #[prost(string, tag = "3")]
    pub digest: String,
    /// Whose data it was trained on.
    #[prost(string, repeated, tag = "4")]
    pub trained_on: Vec<String>,
}

/// What holds for every tenant of a node.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NodeAssignment {
    /// The data plane's name.
    #[prost(string, tag = "1")]
    pub data_plane: String,
    /// The data plane's region.
    #[prost(string, tag = "2")]
    pub region: String,
    /// The keys whose passports are accepted.
    #[prost(message, repeated, tag = "3")]
    pub passport_keys: Vec<PassportKey>,
    /// How it serves; the sidecar's defaults where it is not said.
    #[prost(message, optional, tag = "4")]
    pub serving: Option<Serving>,
}

/// A key whose passports are accepted.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PassportKey {
    /// The `kid`.
    #[prost(string, tag = "1")]
    pub id: String,
    /// 32 bytes, Ed25519.
    #[prost(bytes = "vec", tag = "2")]
    pub public_key: Vec<u8>,
}

impl TenantAssignment {
    /// What `tenant`'s data plane is told about it.
    ///
    /// # Errors
    /// [`TableError`] where its checks cannot be encoded.
    pub fn of(resolved: &Resolved, tenant: &Tenant) -> Result<Self, TableError> {
        let models = tenant.models.iter().flat_map(|(name, model)| {
            model.versions.values().map(|version| {
                assigned(name.as_str(), version, version.version == model.default.version)
            })
        });
        let checks = SidecarRows::of(resolved, tenant).map(SidecarRows::encode).transpose()?;
        Ok(Self {
            tenant: tenant.id.to_string(),
            tier: tenant.tier.to_string(),
            models: models.collect(),
            checks: checks.unwrap_or_default(),
            share: Some(share(tenant.share)),
            memory: Some(memory(tenant.memory)),
            shares_bases: tenant.bases == Bases::Shared,
        })
    }
}

impl NodeAssignment {
    /// What the nodes of `plane` are told, with the keys in force as (id, 32 bytes).
    pub fn of(plane: &DataPlane, keys: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let keys = keys.into_iter().map(|(id, public_key)| PassportKey { id, public_key });
        Self {
            data_plane: plane.id.to_string(),
            region: plane.region.clone(),
            passport_keys: keys.collect(),
            serving: Some(serving(plane.serving)),
        }
    }
}

fn share(share: resolved::Share) -> Share {
    let resolved::Share { weight, priority, concurrency, waiting } = share;
    Share { weight, priority: priority.as_str().to_owned(), concurrency, waiting }
}

const fn memory(memory: resolved::Memory) -> Memory {
    let resolved::Memory { floor_bytes, ceiling_bytes, pinned, device } = memory;
    Memory {
        floor_bytes,
        ceiling_bytes,
        pinned,
        device_floor_bytes: device.floor_bytes,
        device_ceiling_bytes: device.ceiling_bytes,
    }
}

fn serving(serving: resolved::Serving) -> Serving {
    Serving {
        max_batch_rows: serving.max_batch_rows,
        batch_wait_micros: u64::try_from(serving.batch_wait.as_micros()).unwrap_or(u64::MAX),
        keep_old_version_seconds: serving.keep_old_version.as_secs(),
    }
}

fn assigned(name: &str, version: &ModelVersion, default: bool) -> AssignedModel {
    AssignedModel {
        name: name.to_owned(),
        version: version.version.to_string(),
        default,
        model: version.model.to_string(),
        digest: version.digest.to_string(),
        trained_on: version.trained_on.iter().map(ToString::to_string).collect(),
        base: version.base.as_ref().map(base),
    }
}

fn base(base: &Base) -> AssignedBase {
    let Base { model, version, digest, trained_on } = base;
    AssignedBase {
        model: model.to_string(),
        version: version.to_string(),
        digest: digest.to_string(),
        trained_on: trained_on.iter().map(ToString::to_string).collect(),
    }
}
