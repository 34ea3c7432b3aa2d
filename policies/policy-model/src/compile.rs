//! From resources as written to the resolved set, with every mistake at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use tenancy::{DataPlaneId, ModelName, TenantId, Tier};

use crate::{
    diagnostic::{Diagnostic, Diagnostics, Severity, did_you_mean},
    resolved::{
        DataPlane, Issuer, ModelVersion, RateLimit, Resolved, Serves, Tenant, TenantModel,
        TierDefaults,
    },
    spec::{
        DataPlaneSpec, IssuerSpec, Kind, ModelSpec, ModelStatus, ModelVersionSpec, Object,
        RateLimitSpec, Resource, TenantModelSpec, TenantSpec,
    },
};

/// The longest name of a region, in bytes: it is in every usage event.
const MAX_REGION_BYTES: usize = 64;

/// What compiling gives: the set, and what somebody should look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// The resolved set.
    pub resolved: Resolved,
    /// Warnings only.
    pub warnings: Vec<Diagnostic>,
}

/// Resolves `resources`, whatever their order. The same resources give an equal set.
///
/// # Errors
/// Every mistake: names that are not well formed or given twice, references to what is not
/// there, a tenant on a data plane that does not serve its tier, a silo that is not exclusive, a
/// model that was trained on a neighbour's data.
pub fn compile(resources: &[Resource]) -> Result<Compiled, Diagnostics> {
    let mut compiler = Compiler::default();
    compiler.index(resources);
    compiler.resolve();
    if compiler.diagnostics.iter().any(|d| d.severity == Severity::Error) {
        compiler.diagnostics.sort_by_key(|d| d.severity);
        Err(Diagnostics(compiler.diagnostics))
    } else {
        Ok(Compiled { resolved: compiler.resolved, warnings: compiler.diagnostics })
    }
}

#[derive(Default)]
struct Compiler<'a> {
    data_planes: BTreeMap<DataPlaneId, &'a Object<DataPlaneSpec>>,
    issuers: Vec<&'a Object<IssuerSpec>>,
    models: BTreeMap<ModelName, &'a Object<ModelSpec>>,
    tenants: BTreeMap<TenantId, &'a Object<TenantSpec>>,
    resolved: Resolved,
    diagnostics: Vec<Diagnostic>,
}

/// Who is at fault, for the diagnostic.
struct Subject<'a, S> {
    kind: Kind,
    object: &'a Object<S>,
}

impl<'a> Compiler<'a> {
    fn report<S>(&mut self, severity: Severity, subject: &Subject<'_, S>, message: String) {
        self.diagnostics.push(Diagnostic {
            severity,
            origin: subject.object.origin.clone(),
            resource: format!("{}/{}", subject.kind.as_str(), subject.object.metadata.name),
            message,
        });
    }

    fn error<S>(&mut self, subject: &Subject<'_, S>, message: String) {
        self.report(Severity::Error, subject, message);
    }

    fn index(&mut self, resources: &'a [Resource]) {
        let mut seen = BTreeMap::new();
        for resource in resources {
            if let Some(first) = seen.insert((resource.kind(), resource.name()), resource.origin())
            {
                self.diagnostics.push(Diagnostic {
                    severity: Severity::Error,
                    origin: resource.origin().clone(),
                    resource: resource.id(),
                    message: format!("expected one resource of this name, found another at {first}; rename or remove one"),
                });
                continue;
            }
            match resource {
                Resource::Tier(object) => {
                    let subject = Subject { kind: Kind::Tier, object };
                    let limit = self.rate_limit(&subject, object.spec.rate_limit);
                    if let Some(tier) = self.name::<_, Tier>(&subject) {
                        let labels = object.metadata.labels.clone();
                        let defaults = TierDefaults { rate_limit: limit, labels };
                        self.resolved.tiers.insert(tier, defaults);
                    }
                }
                Resource::DataPlane(object) => {
                    if let Some(id) = self.name(&Subject { kind: Kind::DataPlane, object }) {
                        self.data_planes.insert(id, object);
                    }
                }
                Resource::Issuer(object) => self.issuers.push(object),
                Resource::Model(object) => {
                    if let Some(name) = self.name(&Subject { kind: Kind::Model, object }) {
                        self.models.insert(name, object);
                    }
                }
                Resource::Tenant(object) => {
                    if let Some(id) = self.name(&Subject { kind: Kind::Tenant, object }) {
                        self.tenants.insert(id, object);
                    }
                }
                // Not in force until the language of checks is.
                Resource::Check(_) => {}
            }
        }
    }

    fn name<S, N>(&mut self, subject: &Subject<'_, S>) -> Option<N>
    where
        N: std::str::FromStr,
        N::Err: std::fmt::Display,
    {
        match subject.object.metadata.name.parse() {
            Ok(name) => Some(name),
            Err(error) => {
                self.error(subject, format!("metadata.name: {error}"));
                None
            }
        }
    }

    fn rate_limit<S>(&mut self, subject: &Subject<'_, S>, spec: RateLimitSpec) -> RateLimit {
        if spec.requests == 0 || spec.per_seconds == 0 || spec.burst == 0 {
            self.error(
                subject,
                "expected requests, perSeconds and burst of at least 1 in rateLimit; to shut a tenant out, say `suspended: true`".to_owned(),
            );
        }
        let window_ns = u64::from(spec.per_seconds) * 1_000_000_000;
        let interval_ns = window_ns / u64::from(spec.requests.max(1));
        RateLimit { interval_ns: interval_ns.max(1), burst: spec.burst.max(1) }
    }

    fn resolve(&mut self) {
        for (id, object) in self.data_planes.clone() {
            self.resolve_data_plane(id, object);
        }
        for object in self.issuers.clone() {
            self.resolve_issuer(object);
        }
        for object in self.models.values().copied().collect::<Vec<_>>() {
            self.check_model(object);
        }
        for (id, object) in self.tenants.clone() {
            self.resolve_tenant(id, object);
        }
        self.check_that_every_tenant_can_sign_in();
    }

    fn resolve_data_plane(&mut self, id: DataPlaneId, object: &Object<DataPlaneSpec>) {
        let subject = Subject { kind: Kind::DataPlane, object };
        let spec = &object.spec;
        if spec.region.is_empty() || spec.region.len() > MAX_REGION_BYTES {
            self.error(
                &subject,
                format!(
                    "expected a region of 1 to {MAX_REGION_BYTES} bytes, found {}",
                    spec.region.len()
                ),
            );
        }
        let serves = match (&spec.exclusive_to, spec.tiers.as_slice()) {
            (Some(tenant), [Tier::Silo]) => Serves::Only(tenant.clone()),
            (None, tiers) if !tiers.is_empty() && !tiers.contains(&Tier::Silo) => Serves::Shared,
            _ => {
                self.error(&subject, "expected either `tiers: [silo]` with `exclusiveTo: <tenant>`, or tiers of `pool` and `bridge` without it: a silo's nodes are shared with nobody".to_owned());
                return;
            }
        };
        let mut endpoints: Vec<SocketAddr> =
            spec.endpoints.iter().map(|e| SocketAddr::new(e.address, e.port)).collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        let (region, labels) = (spec.region.clone(), object.metadata.labels.clone());
        let plane = DataPlane { id: id.clone(), region, serves, endpoints, labels };
        self.resolved.data_planes.insert(id, plane);
    }

    fn resolve_issuer(&mut self, object: &Object<IssuerSpec>) {
        let subject = Subject { kind: Kind::Issuer, object };
        let spec = &object.spec;
        if !spec.issuer.starts_with("https://") && !is_loopback(&spec.issuer) {
            self.error(&subject, format!("expected an issuer that starts with `https://` (plain `http://` is for loopback only), found `{}`", spec.issuer));
        }
        for (field, empty) in [
            ("audiences", spec.audiences.is_empty()),
            ("algorithms", spec.algorithms.is_empty()),
            ("orgs", spec.orgs.is_empty()),
            ("orgClaim", spec.org_claim.is_empty()),
        ] {
            if empty {
                self.error(&subject, format!("expected at least one entry in `{field}`, found none: nothing would be accepted"));
            }
        }
        let issuer = Issuer {
            name: object.metadata.name.clone(),
            issuer: spec.issuer.clone(),
            audiences: sorted(&spec.audiences),
            algorithms: sorted(&spec.algorithms),
            orgs: sorted(&spec.orgs),
            org_claim: spec.org_claim.clone(),
        };
        if let Some(other) = self.resolved.issuers.insert(spec.issuer.clone(), issuer) {
            self.error(
                &subject,
                format!(
                    "expected one resource for issuer `{}`, found also Issuer/{}; merge them",
                    spec.issuer, other.name
                ),
            );
        }
    }

    fn check_model(&mut self, object: &Object<ModelSpec>) {
        let subject = Subject { kind: Kind::Model, object };
        let mut seen = BTreeSet::new();
        for version in &object.spec.versions {
            if !seen.insert(&version.version) {
                self.error(
                    &subject,
                    format!("expected each version once, found `{}` again", version.version),
                );
            }
            if version.trained_on.is_empty() {
                self.error(&subject, format!("expected `trainedOn` of version `{}` to name the tenants whose data it was trained on, found none", version.version));
            }
        }
    }

    fn resolve_tenant(&mut self, id: TenantId, object: &Object<TenantSpec>) {
        let subject = Subject { kind: Kind::Tenant, object };
        let spec = &object.spec;
        let rate_limit = match (spec.rate_limit, self.resolved.tiers.get(&spec.tier)) {
            (Some(own), _) => self.rate_limit(&subject, own),
            (None, Some(tiers)) => tiers.rate_limit,
            (None, None) => {
                self.error(
                    &subject,
                    format!(
                        "expected a rateLimit here or a resource Tier/{0}, found neither",
                        spec.tier
                    ),
                );
                return;
            }
        };
        let Some(region) = self.check_placement(&subject, &id) else { return };
        let mut models = BTreeMap::new();
        for model in &spec.models {
            let Some(resolved) = self.resolve_tenant_model(&subject, &id, model) else { continue };
            if models.insert(model.name.clone(), resolved).is_some() {
                self.error(
                    &subject,
                    format!("expected each public model name once, found `{}` again", model.name),
                );
            }
        }
        if models.is_empty() && spec.models.is_empty() {
            self.report(
                Severity::Warning,
                &subject,
                "has no models: every prediction will be answered with unknown_model".to_owned(),
            );
        }
        let tenant = Tenant {
            id: id.clone(),
            tier: spec.tier,
            data_plane: spec.data_plane.clone(),
            region,
            rate_limit,
            models,
            suspended: spec.suspended,
            labels: object.metadata.labels.clone(),
            checks: Vec::new(),
        };
        self.resolved.tenants.insert(id, tenant);
    }

    /// The region where the tenant is served, once it is clear that it may be served there.
    fn check_placement(
        &mut self,
        subject: &Subject<'_, TenantSpec>,
        id: &TenantId,
    ) -> Option<String> {
        let spec = &subject.object.spec;
        let Some(plane) = self.data_planes.get(&spec.data_plane).copied() else {
            let mend = did_you_mean(
                spec.data_plane.as_str(),
                self.data_planes.keys().map(DataPlaneId::as_str),
            );
            self.error(
                subject,
                format!(
                    "expected dataPlane to name a DataPlane, found `{}`{mend}",
                    spec.data_plane
                ),
            );
            return None;
        };
        if !plane.spec.tiers.contains(&spec.tier) {
            self.error(subject, format!("expected a data plane that serves tier `{}`, found `{}`, which does not; move the tenant or add the tier", spec.tier, spec.data_plane));
            return None;
        }
        if let Some(only) = plane.spec.exclusive_to.as_ref().filter(|only| *only != id) {
            self.error(subject, format!("expected a data plane open to this tenant, found `{}`, which is exclusive to `{only}`", spec.data_plane));
            return None;
        }
        Some(plane.spec.region.clone())
    }

    fn resolve_tenant_model(
        &mut self,
        subject: &Subject<'_, TenantSpec>,
        tenant: &TenantId,
        spec: &TenantModelSpec,
    ) -> Option<TenantModel> {
        let Some(model) = self.models.get(&spec.model).copied() else {
            let mend = did_you_mean(spec.model.as_str(), self.models.keys().map(ModelName::as_str));
            self.error(
                subject,
                format!(
                    "expected models[{}].model to name a Model, found `{}`{mend}",
                    spec.name, spec.model
                ),
            );
            return None;
        };
        let mut versions = BTreeMap::new();
        for wanted in std::iter::once(&spec.version).chain(&spec.other_versions) {
            let Some(version) = model.spec.versions.iter().find(|v| v.version == *wanted) else {
                let mend = did_you_mean(
                    wanted.as_str(),
                    model.spec.versions.iter().map(|v| v.version.as_str()),
                );
                self.error(
                    subject,
                    format!("expected a version of Model/{}, found `{wanted}`{mend}", spec.model),
                );
                continue;
            };
            self.check_that_it_may_serve(subject, tenant, &spec.model, version);
            versions.insert(wanted.clone(), model_version(&spec.model, version));
        }
        let default = versions.get(&spec.version)?.clone();
        Some(TenantModel { default, versions })
    }

    /// A model version may answer a tenant that shares no model only where it was trained on
    /// that tenant's data alone.
    fn check_that_it_may_serve(
        &mut self,
        subject: &Subject<'_, TenantSpec>,
        tenant: &TenantId,
        model: &ModelName,
        version: &ModelVersionSpec,
    ) {
        if version.status != ModelStatus::Ready {
            self.error(subject, format!("expected a version that is ready, found Model/{model} version `{}`, which is {:?}; pin another", version.version, version.status));
        }
        let foreign = version.trained_on.iter().find(|org| *org != tenant);
        if let (Tier::Bridge | Tier::Silo, Some(foreign)) = (subject.object.spec.tier, foreign) {
            self.error(subject, format!("expected a model trained on `{tenant}` alone, as tier `{}` demands, found Model/{model} version `{}`, which was trained on `{foreign}` too", subject.object.spec.tier, version.version));
        }
    }

    fn check_that_every_tenant_can_sign_in(&mut self) {
        let bound: BTreeSet<TenantId> =
            self.resolved.issuers.values().flat_map(|issuer| issuer.orgs.iter().cloned()).collect();
        for (id, object) in self.tenants.clone() {
            if !bound.contains(&id) {
                self.report(
                    Severity::Warning,
                    &Subject { kind: Kind::Tenant, object },
                    "no issuer speaks for it, so nobody can sign in; name it in the `orgs` of an Issuer".to_owned(),
                );
            }
        }
    }
}

fn model_version(model: &ModelName, version: &ModelVersionSpec) -> ModelVersion {
    ModelVersion {
        model: model.clone(),
        version: version.version.clone(),
        digest: version.digest,
        trained_on: sorted(&version.trained_on),
        status: version.status,
        evaluation: version.evaluation,
    }
}

fn sorted<T: Clone + Ord>(items: &[T]) -> Vec<T> {
    items.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

/// An `@` could make what looks like a loopback host and port the name and password for another.
fn is_loopback(issuer: &str) -> bool {
    !issuer.contains('@')
        && ["http://127.0.0.1", "http://localhost", "http://[::1]"].iter().any(|host| {
            issuer
                .strip_prefix(host)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
        })
}
