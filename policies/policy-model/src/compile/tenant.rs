//! Tenants: where they are served, and by which models.

use std::collections::BTreeMap;

use tenancy::{DataPlaneId, ModelName, TenantId, Tier};

use super::{Compiler, Subject, limits, serving};
use crate::{
    diagnostic::did_you_mean,
    resolved::{Memory, ModelVersion, RateLimit, Share, Tenant, TenantModel},
    spec::{Bases, Kind, ModelStatus, Object, TenantModelSpec, TenantSpec},
};

impl Compiler<'_> {
    pub(super) fn resolve_tenant(&mut self, id: TenantId, object: &Object<TenantSpec>) {
        let subject = Subject::new(Kind::Tenant, object);
        let spec = &object.spec;
        let Some(rate_limit) = self.rate_limit_of(&subject, spec) else { return };
        let Some(region) = self.check_placement(&subject, &id, spec) else { return };
        let bases = self.bases_of(spec);
        let mut models = BTreeMap::new();
        for (index, model) in spec.models.iter().enumerate() {
            let path = format!("spec.models[{index}]");
            let Some(resolved) =
                self.resolve_model(&subject, &path, (&id, spec.tier, bases), model)
            else {
                continue;
            };
            if models.insert(model.name.clone(), resolved).is_some() {
                let name = &model.name;
                let message = format!("expected each public model name once, found `{name}` again");
                self.report.error(&subject, &format!("{path}.name"), message);
            }
        }
        if spec.models.is_empty() {
            self.report.warning(
                &subject,
                "spec.models",
                "has no models: every prediction will be answered with unknown_model".to_owned(),
            );
        }
        let (share, memory) = self.given_to(&subject, spec);
        let tenant = Tenant {
            id: id.clone(),
            tier: spec.tier,
            data_plane: spec.data_plane.clone(),
            region,
            rate_limit,
            share,
            memory,
            bases,
            models,
            suspended: spec.suspended,
            labels: object.metadata.labels.clone(),
            checks: Vec::new(),
        };
        self.resolved.tenants.insert(id, tenant);
    }

    fn given_to(&mut self, subject: &Subject<'_>, spec: &TenantSpec) -> (Share, Memory) {
        let (share, memory) = (spec.share.unwrap_or_default(), spec.memory.unwrap_or_default());
        let tier = self.resolved.tiers.get(&spec.tier);
        let (of_tier, memory_of_tier) =
            tier.map(|tier| (tier.share, tier.memory)).unwrap_or_default();
        serving::check_share(&mut self.report, subject, share);
        let given = serving::memory(memory, memory_of_tier);
        // What is all the tier's is told there.
        if spec.memory.is_some() {
            serving::check_memory(&mut self.report, subject, given);
        }
        (serving::share(share, of_tier), given)
    }

    /// What the tenant says, or else its tier's resource, or else the tier itself.
    fn bases_of(&self, spec: &TenantSpec) -> Bases {
        let of_tier = || self.resolved.tiers.get(&spec.tier).and_then(|tier| tier.bases);
        let of_any = match spec.tier {
            Tier::Pool => Bases::Shared,
            Tier::Bridge | Tier::Silo => Bases::Own,
        };
        spec.bases.or_else(of_tier).unwrap_or(of_any)
    }

    fn rate_limit_of(&mut self, subject: &Subject<'_>, spec: &TenantSpec) -> Option<RateLimit> {
        match (spec.rate_limit, self.resolved.tiers.get(&spec.tier)) {
            (Some(own), _) => Some(limits::rate_limit(&mut self.report, subject, own)),
            (None, Some(tier)) => Some(tier.rate_limit),
            (None, None) => {
                let tier = spec.tier;
                let message =
                    format!("expected a rateLimit here or a resource Tier/{tier}, found neither");
                self.report.error(subject, "spec.tier", message);
                None
            }
        }
    }

    /// The region where the tenant is served, once it is clear that it may be served there.
    fn check_placement(
        &mut self,
        subject: &Subject<'_>,
        id: &TenantId,
        spec: &TenantSpec,
    ) -> Option<String> {
        let path = "spec.dataPlane";
        let (name, tier) = (&spec.data_plane, spec.tier);
        let Some(plane) = self.data_planes.get(name).copied() else {
            let mend =
                did_you_mean(name.as_str(), self.data_planes.keys().map(DataPlaneId::as_str));
            let message = format!("expected dataPlane to name a DataPlane, found `{name}`{mend}");
            self.report.error(subject, path, message);
            return None;
        };
        if !plane.spec.tiers.contains(&tier) {
            self.report.error(subject, path, format!("expected a data plane that serves tier `{tier}`, found `{name}`, which does not; move the tenant or add the tier"));
            return None;
        }
        if let Some(only) = plane.spec.exclusive_to.as_ref().filter(|only| *only != id) {
            self.report.error(subject, path, format!("expected a data plane open to this tenant, found `{name}`, which is exclusive to `{only}`"));
            return None;
        }
        Some(plane.spec.region.clone())
    }

    fn resolve_model(
        &mut self,
        subject: &Subject<'_>,
        path: &str,
        tenant: (&TenantId, Tier, Bases),
        spec: &TenantModelSpec,
    ) -> Option<TenantModel> {
        let Some(model) = self.models.get(&spec.model).copied() else {
            let mend = did_you_mean(spec.model.as_str(), self.models.keys().map(ModelName::as_str));
            let (public, found) = (&spec.name, &spec.model);
            let message =
                format!("expected models[{public}].model to name a Model, found `{found}`{mend}");
            self.report.error(subject, &format!("{path}.model"), message);
            return None;
        };
        let others = spec.other_versions.iter().enumerate();
        let others = others.map(|(at, version)| (format!("{path}.otherVersions[{at}]"), version));
        let default = (format!("{path}.version"), &spec.version);
        let mut versions = BTreeMap::new();
        for (path, wanted) in std::iter::once(default).chain(others) {
            let known = &model.spec.versions;
            let Some(version) = known.iter().find(|v| v.version == *wanted) else {
                let mend = did_you_mean(wanted.as_str(), known.iter().map(|v| v.version.as_str()));
                let model = &spec.model;
                let message =
                    format!("expected a version of Model/{model}, found `{wanted}`{mend}");
                self.report.error(subject, &path, message);
                continue;
            };
            let version = self.model_version(&spec.model, version);
            self.check_that_it_may_serve((subject, &path), tenant, &version);
            versions.insert(wanted.clone(), version);
        }
        let default = versions.get(&spec.version)?.clone();
        Some(TenantModel { default, versions })
    }

    /// A model version may answer a tenant that shares no model only where it was trained on
    /// that tenant's data alone, and what it changes only where that was, too, or may be shared.
    fn check_that_it_may_serve(
        &mut self,
        (subject, path): (&Subject<'_>, &str),
        (tenant, tier, bases): (&TenantId, Tier, Bases),
        version: &ModelVersion,
    ) {
        let ModelVersion { model, version, status, trained_on, base, .. } = version;
        if *status != ModelStatus::Ready {
            self.report.error(subject, path, format!("expected a version that is ready, found Model/{model} version `{version}`, which is {}; pin another", status.as_str()));
        }
        let foreign = trained_on.iter().find(|org| *org != tenant);
        if let (Tier::Bridge | Tier::Silo, Some(foreign)) = (tier, foreign) {
            self.report.error(subject, path, format!("expected a model trained on `{tenant}` alone, as tier `{tier}` demands, found Model/{model} version `{version}`, which was trained on `{foreign}` too"));
        }
        let foreign = base.as_ref().and_then(|base| {
            base.trained_on.iter().find(|org| *org != tenant).map(|foreign| (base, foreign))
        });
        if let (Bases::Own, Some((base, foreign))) = (bases, foreign) {
            let (of, at) = (&base.model, &base.version);
            self.report.error(subject, path, format!("expected an adapter over a base trained on `{tenant}` alone, found Model/{model} version `{version}` over Model/{of} version `{at}`, which was trained on `{foreign}` too; say `bases: shared` of the tenant or its tier where that is meant"));
        }
    }
}
