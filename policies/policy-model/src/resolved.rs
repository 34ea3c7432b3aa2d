//! The resolved set: every reference followed, every default filled in.

use std::{collections::BTreeMap, fmt, net::SocketAddr, str::FromStr, time::Duration};

use expression::{Program, Template};
use tenancy::{DataPlaneId, Digest, ModelName, TenantId, Tier, Version};

use crate::spec::{
    Algorithm, Bases, EvaluationSpec, MemorySpec, Mode, ModelStatus, Point, Priority, ShareSpec,
};

/// Labels, by name.
pub type Labels = BTreeMap<String, String>;

/// What a set of resources means. Made by [`crate::compile::compile`] only.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resolved {
    /// The tiers that a resource says something of.
    pub tiers: BTreeMap<Tier, TierDefaults>,
    /// The data planes.
    pub data_planes: BTreeMap<DataPlaneId, DataPlane>,
    /// The issuers, by `iss`.
    pub issuers: BTreeMap<String, Issuer>,
    /// The tenants.
    pub tenants: BTreeMap<TenantId, Tenant>,
    /// The checks, in the order of evaluation: by name.
    pub checks: BTreeMap<CheckName, Check>,
}

impl Resolved {
    /// The checks that hold for `tenant` at `point`, in the order of evaluation, each with its
    /// rule there.
    pub fn checks_of<'a>(
        &'a self,
        tenant: &'a Tenant,
        point: Point,
    ) -> impl Iterator<Item = (&'a Check, &'a Rule)> {
        tenant.checks.iter().filter_map(move |name| {
            let check = self.checks.get(name)?;
            Some((check, check.rules.get(&point)?))
        })
    }
}

/// What a tier gives a tenant that says nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierDefaults {
    /// The rate limit.
    pub rate_limit: RateLimit,
    /// Of a node's processors, as far as it is said.
    pub share: ShareSpec,
    /// Of a node's memory, as far as it is said.
    pub memory: MemorySpec,
    /// Whose data the bases of its adapters may have been trained on, where it is said.
    pub bases: Option<Bases>,
    /// The labels of its resource.
    pub labels: Labels,
}

/// A set of nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct DataPlane {
    /// The name.
    pub id: DataPlaneId,
    /// The region.
    pub region: String,
    /// Whom it serves.
    pub serves: Serves,
    /// Where its node proxies listen, sorted.
    pub endpoints: Vec<SocketAddr>,
    /// How its nodes serve.
    pub serving: Serving,
    /// The labels of its resource.
    pub labels: Labels,
}

impl DataPlane {
    /// The one tenant that it is for, where there is one.
    pub fn exclusive_to(&self) -> Option<&TenantId> {
        match &self.serves {
            Serves::Only(tenant) => Some(tenant),
            Serves::Shared => None,
        }
    }
}

/// Whom a data plane serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Serves {
    /// Tenants of tiers that share compute.
    Shared,
    /// One silo tenant and nobody else.
    Only(TenantId),
}

/// An identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// The resource's name.
    pub name: String,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// Accepted audiences, sorted.
    pub audiences: Vec<String>,
    /// Accepted algorithms, sorted.
    pub algorithms: Vec<Algorithm>,
    /// The orgs that it may speak for, sorted.
    pub orgs: Vec<TenantId>,
    /// The claim that names the org.
    pub org_claim: String,
}

/// A customer.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    /// The `org_id`.
    pub id: TenantId,
    /// The tier.
    pub tier: Tier,
    /// Where it is served.
    pub data_plane: DataPlaneId,
    /// The region of its data plane.
    pub region: String,
    /// The rate limit in force.
    pub rate_limit: RateLimit,
    /// What it is given of a node's processors.
    pub share: Share,
    /// What it is given of a node's memory.
    pub memory: Memory,
    /// Whose data the bases of its adapters may have been trained on.
    pub bases: Bases,
    /// Its models, by public name.
    pub models: BTreeMap<ModelName, TenantModel>,
    /// Whether it is shut out.
    pub suspended: bool,
    /// The labels of its resource.
    pub labels: Labels,
    /// The checks that hold for it, whatever their points, in the order of evaluation: by name.
    pub checks: Vec<CheckName>,
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// How long the bucket takes to regain one request, in nanoseconds. At least 1.
    pub interval_ns: u64,
    /// How many requests may pass at once. At least 1.
    pub burst: u32,
}

/// What a tenant is given of a node's processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Its part of the execution time beside the weights of the others. At least 1.
    pub weight: u32,
    /// How soon its requests are taken.
    pub priority: Priority,
    /// How many of its executions run at once on a node. At least 1.
    pub concurrency: u32,
    /// How many of its requests wait on a node. At least 1.
    pub waiting: u32,
}

impl Default for Share {
    fn default() -> Self {
        Self { weight: 1, priority: Priority::Normal, concurrency: 8, waiting: 64 }
    }
}

/// What a tenant is given of a node's memory for models of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// So much of its loaded models does not go for others.
    pub floor_bytes: u64,
    /// The most that its loaded models take, where that is less than the whole budget.
    pub ceiling_bytes: Option<u64>,
    /// Whether its models are loaded when they are assigned, and stay.
    pub pinned: bool,
    /// The same of a device's memory.
    pub device: DeviceMemory,
}

/// What a tenant is given of a device's memory for models of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeviceMemory {
    /// So much of its models there does not go for others.
    pub floor_bytes: u64,
    /// The most that its models take there, where that is less than the whole budget.
    pub ceiling_bytes: Option<u64>,
}

/// How the nodes of a data plane serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Serving {
    /// The most rows that requests are joined to. At least 1.
    pub max_batch_rows: u32,
    /// For how long a request waits for others to be joined with.
    pub batch_wait: Duration,
    /// For how long a version stays loaded that another one has replaced.
    pub keep_old_version: Duration,
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            max_batch_rows: 32,
            batch_wait: Duration::ZERO,
            keep_old_version: Duration::from_secs(300),
        }
    }
}

/// A public model name of a tenant, with what answers to it.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantModel {
    /// What answers where the client names no version.
    pub default: ModelVersion,
    /// What answers to a named version, the default among them.
    pub versions: BTreeMap<Version, ModelVersion>,
}

/// One version of a registry model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelVersion {
    /// The registry's name for the model.
    pub model: ModelName,
    /// The version.
    pub version: Version,
    /// The artifact's digest.
    pub digest: Digest,
    /// Whose data it was trained on, sorted.
    pub trained_on: Vec<TenantId>,
    /// What it changes, where it is an adapter.
    pub base: Option<Base>,
    /// Whether it may be served.
    pub status: ModelStatus,
    /// How it did on held-out data, where that is known.
    pub evaluation: Option<EvaluationSpec>,
}

/// A model version that an adapter is made over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The registry's name for the model.
    pub model: ModelName,
    /// The version.
    pub version: Version,
    /// The artifact's digest.
    pub digest: Digest,
    /// Whose data it was trained on, sorted.
    pub trained_on: Vec<TenantId>,
}

/// A check's name: it is in metrics and headers, so it holds no dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckName(String);

/// Why a check's name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a check name of 1 to 63 small letters, digits, '-' and '_', starting with a letter \
     or digit, found `{0}`"
)]
pub struct CheckNameError(pub String);

impl CheckName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CheckName {
    type Err = CheckNameError;

    fn from_str(name: &str) -> Result<Self, CheckNameError> {
        let small = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let good = name.len() <= 63
            && name.bytes().next().is_some_and(small)
            && name.bytes().all(|b| small(b) || matches!(b, b'-' | b'_'));
        if good {
            Ok(Self(name.to_owned()))
        } else {
            Err(CheckNameError(name.chars().take(64).collect()))
        }
    }
}

impl fmt::Display for CheckName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for CheckName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A declared rule, type-checked at each of its points.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// The name.
    pub name: CheckName,
    /// What it is for.
    pub description: String,
    /// Whether it denies.
    pub mode: Mode,
    /// The expression as written.
    pub expression: String,
    /// What a denial says.
    pub denial: Denial,
    /// What is evaluated, at each point where it holds; at least one.
    pub rules: BTreeMap<Point, Rule>,
}

impl Check {
    /// Whether a failure is counted and not denied.
    pub fn is_shadow(&self) -> bool {
        self.mode == Mode::Shadow
    }
}

/// What a denial says, but for its message, which is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The HTTP status.
    pub status: u16,
    /// The code.
    pub code: String,
}

/// What is evaluated at one point.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// True is a pass; false or an error is the denial.
    pub program: Program,
    /// What the caller is told.
    pub message: Template,
}
