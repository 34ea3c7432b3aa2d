//! From resources as written to the resolved set, with every mistake at once.

mod check;
mod data_plane;
mod issuer;
mod limits;
mod model;
mod promotion;
mod report;
mod serving;
mod tenant;

use std::collections::BTreeMap;

use tenancy::{DataPlaneId, ModelName, TenantId, Tier};

use crate::{
    diagnostic::{Diagnostic, Diagnostics, Severity},
    resolved::{CheckName, Resolved, TierDefaults},
    spec::{
        CheckSpec, DataPlaneSpec, IssuerSpec, Kind, MemorySpec, ModelSpec, Object, Resource,
        TenantSpec, TierSpec,
    },
};

use report::{Report, Subject};

/// What compiling gives: the set, and what somebody should look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// The resolved set.
    pub resolved: Resolved,
    /// Warnings only.
    pub warnings: Vec<Diagnostic>,
}

/// Resolves `resources`, whatever their order. The same resources give an equal set and the same
/// diagnostics.
///
/// # Errors
/// Every mistake: names that are not well formed or given twice, references to what is not
/// there, a tenant on a data plane that does not serve its tier, a silo that is not exclusive, a
/// model that was trained on a neighbour's data, an expression that does not type-check or whose
/// cost has no bound, a model version that a promotion check refuses.
pub fn compile(resources: &[Resource]) -> Result<Compiled, Diagnostics> {
    let mut compiler = Compiler::default();
    compiler.index(resources);
    compiler.resolve();
    let diagnostics = compiler.report.finish();
    if diagnostics.iter().any(|d| d.severity == Severity::Error) {
        Err(Diagnostics(diagnostics))
    } else {
        Ok(Compiled { resolved: compiler.resolved, warnings: diagnostics })
    }
}

#[derive(Default)]
struct Compiler<'a> {
    data_planes: BTreeMap<DataPlaneId, &'a Object<DataPlaneSpec>>,
    issuers: Vec<&'a Object<IssuerSpec>>,
    models: BTreeMap<ModelName, &'a Object<ModelSpec>>,
    tenants: BTreeMap<TenantId, &'a Object<TenantSpec>>,
    checks: BTreeMap<CheckName, &'a Object<CheckSpec>>,
    resolved: Resolved,
    report: Report,
}

impl<'a> Compiler<'a> {
    fn index(&mut self, resources: &'a [Resource]) {
        // In the order of the files, so that of two by one name it is always the later that is
        // refused.
        let mut resources: Vec<&Resource> = resources.iter().collect();
        resources.sort_by_key(|resource| {
            let origin = resource.origin();
            (&origin.file, origin.line, origin.column)
        });
        let mut seen = BTreeMap::new();
        for resource in resources {
            if let Some(first) = seen.get(&(resource.kind(), resource.name())) {
                self.report.error(
                    &Subject::of(resource),
                    "metadata.name",
                    format!("expected one resource of this name, found another at {first}; rename or remove one"),
                );
                continue;
            }
            seen.insert((resource.kind(), resource.name()), resource.origin());
            limits::check_labels(&mut self.report, &Subject::of(resource), resource.metadata());
            match resource {
                Resource::Tier(object) => self.resolve_tier(object),
                Resource::DataPlane(object) => {
                    insert(&mut self.report, &mut self.data_planes, Kind::DataPlane, object);
                }
                Resource::Issuer(object) => self.issuers.push(object),
                Resource::Model(object) => {
                    insert(&mut self.report, &mut self.models, Kind::Model, object);
                }
                Resource::Tenant(object) => {
                    insert(&mut self.report, &mut self.tenants, Kind::Tenant, object);
                }
                Resource::Check(object) => {
                    insert(&mut self.report, &mut self.checks, Kind::Check, object);
                }
            }
        }
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
        self.resolve_checks();
        self.hold_promotions();
    }

    fn resolve_tier(&mut self, object: &Object<TierSpec>) {
        let subject = Subject::new(Kind::Tier, object);
        let rate_limit = limits::rate_limit(&mut self.report, &subject, object.spec.rate_limit);
        let share = object.spec.share.unwrap_or_default();
        let memory = object.spec.memory.unwrap_or_default();
        serving::check_share(&mut self.report, &subject, share);
        let alone = serving::memory(memory, MemorySpec::default());
        serving::check_memory(&mut self.report, &subject, alone);
        if let Some(tier) = name::<_, Tier>(&mut self.report, &subject, object) {
            let labels = object.metadata.labels.clone();
            let bases = object.spec.bases;
            let defaults = TierDefaults { rate_limit, share, memory, bases, labels };
            self.resolved.tiers.insert(tier, defaults);
        }
    }
}

/// Keeps `object` by its name, where that is one.
fn insert<'a, S, N>(
    report: &mut Report,
    objects: &mut BTreeMap<N, &'a Object<S>>,
    kind: Kind,
    object: &'a Object<S>,
) where
    N: Ord + std::str::FromStr,
    N::Err: std::fmt::Display,
{
    if let Some(name) = name(report, &Subject::new(kind, object), object) {
        objects.insert(name, object);
    }
}

fn name<S, N>(report: &mut Report, subject: &Subject<'_>, object: &Object<S>) -> Option<N>
where
    N: std::str::FromStr,
    N::Err: std::fmt::Display,
{
    match object.metadata.name.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            report.error(subject, "metadata.name", format!("metadata.name: {error}"));
            None
        }
    }
}
