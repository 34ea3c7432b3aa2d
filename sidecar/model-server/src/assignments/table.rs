//! Assignments as requests are decided by them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use passport::{Verifier, VerifyingKey};
use policy_model::{
    assignment::{NODE_ASSIGNMENT_TYPE, NodeAssignment, TENANT_ASSIGNMENT_TYPE, TenantAssignment},
    table::SidecarTable,
};
use prost::Message;
use tenancy::{DataPlaneId, Digest, ModelName, TenantId, Tier, Version};

use super::{
    assigned::{Assigned, assigned},
    given::{Memory, Serving, Share, memory, serving, share},
    resources::Resources,
    stand_in::StandIn,
};
use crate::passport_check::PassportCheck;

/// All that this node may serve. The empty one serves nobody.
#[derive(Default)]
pub(crate) struct Table {
    node: Option<Arc<Node>>,
    tenants: HashMap<TenantId, Arc<TenantModels>>,
    /// Whether it is known which tenants there are, be it none.
    knows_tenants: bool,
}

/// What holds for all tenants of the node.
pub(crate) struct Node {
    pub(crate) region: String,
    pub(crate) serving: Serving,
    pub(crate) passports: PassportCheck,
}

/// One tenant's models, by public name.
#[derive(Clone)]
pub(crate) struct TenantModels {
    pub(crate) tier: Tier,
    /// What it is given of the processors.
    pub(crate) share: Share,
    /// What it is given of the memory.
    pub(crate) memory: Memory,
    /// What declared checks decide by; nothing where none holds here.
    pub(crate) checks: Option<Arc<SidecarTable>>,
    models: BTreeMap<ModelName, Versions>,
}

#[derive(Clone)]
struct Versions {
    default: Version,
    versions: BTreeMap<Version, Arc<Assigned>>,
    /// What answers instead of the default until that is warm.
    stand_in: Option<StandIn>,
}

/// An assignment that is refused as a whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AssignmentError {
    #[error("expected resources of our own two types, found `{type_url}`")]
    UnknownType { type_url: String },
    #[error("resource `{resource}` cannot be decoded: {reason}")]
    Undecodable { resource: String, reason: String },
    #[error("resource `{resource}`: {reason}")]
    Malformed { resource: String, reason: String },
    #[error(
        "expected the node assignment of data plane `{expected}`, found that of `{found}`: this \
         node was started for the wrong one, or asked for the wrong one"
    )]
    OtherDataPlane { expected: DataPlaneId, found: String },
}

impl Table {
    /// The table of all `resources`.
    pub(crate) fn build(
        resources: &Resources,
        data_plane: &DataPlaneId,
    ) -> Result<Self, AssignmentError> {
        let mut table = Self::default();
        for (type_url, name, value) in resources.iter() {
            table.upsert(type_url, name, value, data_plane)?;
        }
        Ok(table)
    }

    /// A table to change; what does not change is shared.
    pub(crate) fn copy(&self) -> Self {
        let Self { node, tenants, knows_tenants } = self;
        Self { node: node.clone(), tenants: tenants.clone(), knows_tenants: *knows_tenants }
    }

    /// What holds for all tenants; nothing before it is known which those are, so that nobody is told
    /// that there is no such model, and no artifact is taken for one that nobody is assigned.
    pub(crate) fn node(&self) -> Option<&Arc<Node>> {
        self.node.as_ref().filter(|_| self.knows_tenants)
    }

    /// Whether anything holds for it.
    pub(crate) fn is_told(&self) -> bool {
        self.node.is_some()
    }

    /// The control plane has said what there is of this type.
    pub(crate) fn hear(&mut self, type_url: &str) {
        self.knows_tenants |= type_url == TENANT_ASSIGNMENT_TYPE;
    }

    pub(crate) fn upsert(
        &mut self,
        type_url: &str,
        name: &str,
        value: &[u8],
        data_plane: &DataPlaneId,
    ) -> Result<(), AssignmentError> {
        self.hear(type_url);
        match type_url {
            TENANT_ASSIGNMENT_TYPE => {
                let (tenant, models) = tenant(name, value)?;
                self.tenants.insert(tenant, Arc::new(models));
            }
            NODE_ASSIGNMENT_TYPE => self.node = Some(Arc::new(node(name, value, data_plane)?)),
            other => return Err(AssignmentError::UnknownType { type_url: other.to_owned() }),
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, type_url: &str, name: &str) {
        match type_url {
            TENANT_ASSIGNMENT_TYPE => {
                self.tenants.remove(name);
            }
            NODE_ASSIGNMENT_TYPE => self.node = None,
            _ => {}
        }
    }

    pub(crate) fn tenant(&self, tenant: &TenantId) -> Option<&Arc<TenantModels>> {
        self.tenants.get(tenant)
    }

    pub(crate) fn tenants(&self) -> usize {
        self.tenants.len()
    }

    /// Every model version of every tenant, and what stands in for one.
    pub(crate) fn assigned(&self) -> impl Iterator<Item = &Arc<Assigned>> {
        let standing_in = self.tenants.values().flat_map(|tenant| tenant.standing_in());
        self.tenants.values().flat_map(|tenant| tenant.assigned()).chain(standing_in)
    }

    /// Every tenant with what it is assigned.
    pub(crate) fn by_tenant(&self) -> impl Iterator<Item = (&TenantId, &TenantModels)> {
        self.tenants.iter().map(|(tenant, models)| (tenant, &**models))
    }

    /// Lets what answered in `before` answer on where another default version came, for as long as
    /// that is not warm; but only what `is_warm` itself.
    pub(crate) fn stand_in(&mut self, before: &Self, is_warm: impl Fn(&Assigned) -> bool) {
        for (tenant, models) in &mut self.tenants {
            let Some(old) = before.tenants.get(tenant).filter(|old| !Arc::ptr_eq(old, models))
            else {
                continue;
            };
            let swapped: Vec<_> = swapped(old, models)
                .filter(|(_, old, new)| is_warm(old) && !is_warm(new))
                .map(|(name, old, _)| (name.clone(), StandIn::new(old)))
                .collect();
            if swapped.is_empty() || old.tier != models.tier {
                continue;
            }
            let mut changed = TenantModels::clone(models);
            for (name, stand_in) in swapped {
                if let Some(model) = changed.models.get_mut(&name) {
                    model.stand_in = Some(stand_in);
                }
            }
            *models = Arc::new(changed);
        }
    }

    /// The versions that are not warm and have something that stands in for them.
    pub(crate) fn awaited(&self) -> Vec<(Tier, Arc<Assigned>, StandIn)> {
        let mut awaited = vec![];
        for tenant in self.tenants.values() {
            for model in tenant.models.values() {
                let (stand_in, new) = (&model.stand_in, model.versions.get(&model.default));
                if let (Some(stand_in), Some(new)) = (stand_in, new)
                    && !stand_in.is_over()
                {
                    awaited.push((tenant.tier, Arc::clone(new), stand_in.clone()));
                }
            }
        }
        awaited
    }

    /// The default versions that `before` had and that are no longer it, of names that still are.
    pub(crate) fn replaced<'t>(
        &'t self,
        before: &'t Self,
    ) -> impl Iterator<Item = &'t Arc<Assigned>> {
        self.tenants.iter().flat_map(|(tenant, models)| {
            let old = before.tenants.get(tenant).filter(|old| !Arc::ptr_eq(old, models));
            old.into_iter().flat_map(|old| swapped(old, models)).map(|(_, old, _)| old)
        })
    }

    /// The artifacts that are needed here.
    pub(crate) fn digests(&self) -> BTreeSet<Digest> {
        self.assigned().flat_map(|assigned| assigned.digests()).collect()
    }
}

impl TenantModels {
    /// What answers to `name`, and to `version` where one is named.
    pub(crate) fn find(&self, name: &str, version: Option<&str>) -> Option<&Arc<Assigned>> {
        let model = self.models.get(name)?;
        match (version, &model.stand_in) {
            (Some(version), _) => model.versions.get(version),
            (None, Some(stand_in)) if !stand_in.is_over() => Some(&stand_in.assigned),
            (None, _) => model.versions.get(&model.default),
        }
    }

    /// Every model version of the tenant, by name.
    pub(crate) fn assigned(&self) -> impl Iterator<Item = &Arc<Assigned>> {
        self.models.values().flat_map(|model| model.versions.values())
    }

    /// What answers instead of a default version that is not warm.
    fn standing_in(&self) -> impl Iterator<Item = &Arc<Assigned>> {
        let stand_ins = self.models.values().filter_map(|model| model.stand_in.as_ref());
        stand_ins.filter(|stand_in| !stand_in.is_over()).map(|stand_in| &stand_in.assigned)
    }

    /// What answers where no version is named, of each name.
    pub(crate) fn defaults(&self) -> impl Iterator<Item = &Arc<Assigned>> {
        self.models.values().filter_map(|model| model.versions.get(&model.default))
    }

    /// The versions that answer to `name`.
    pub(crate) fn versions(&self, name: &ModelName) -> Vec<Version> {
        self.models
            .get(name)
            .map(|model| model.versions.keys().cloned().collect())
            .unwrap_or_default()
    }
}

fn tenant(name: &str, value: &[u8]) -> Result<(TenantId, TenantModels), AssignmentError> {
    let malformed =
        |reason: String| AssignmentError::Malformed { resource: name.to_owned(), reason };
    let assignment = TenantAssignment::decode(value).map_err(undecodable(name))?;
    if assignment.tenant != name {
        let reason =
            format!("expected it to be of the tenant of its name, found `{}`", assignment.tenant);
        return Err(malformed(reason));
    }
    let tenant: TenantId =
        name.parse().map_err(|e: tenancy::NameError| malformed(e.to_string()))?;
    let tier: Tier =
        assignment.tier.parse().map_err(|e: tenancy::UnknownTier| malformed(e.to_string()))?;
    // Checks that cannot be read must not be checks that are skipped.
    let checks = match assignment.checks.as_slice() {
        [] => None,
        bytes => {
            let table = SidecarTable::decode(bytes).map_err(|e| malformed(e.to_string()))?;
            Some(Arc::new(table))
        }
    };
    let mut found: BTreeMap<ModelName, Vec<(bool, Arc<Assigned>)>> = BTreeMap::new();
    for model in assignment.models {
        let default = model.default;
        let assigned = assigned(&tenant, model, assignment.shares_bases).map_err(malformed)?;
        found.entry(assigned.name.clone()).or_default().push((default, Arc::new(assigned)));
    }
    let models = found
        .into_iter()
        .map(|(name, found)| Ok((name.clone(), versions(&name, found).map_err(malformed)?)))
        .collect::<Result<_, AssignmentError>>()?;
    let share = assignment.share.map(share).transpose().map_err(malformed)?.unwrap_or_default();
    let memory = assignment.memory.map(memory).unwrap_or_default();
    Ok((tenant, TenantModels { tier, share, memory, checks, models }))
}

/// The names whose default version is another one than in `old`, with both.
fn swapped<'t>(
    old: &'t TenantModels,
    new: &'t TenantModels,
) -> impl Iterator<Item = (&'t ModelName, &'t Arc<Assigned>, &'t Arc<Assigned>)> {
    new.models.iter().filter_map(|(name, model)| {
        let (before, now) = (old.find(name.as_str(), None)?, model.versions.get(&model.default)?);
        let is_same = before.model == now.model
            && before.version == now.version
            && before.digest == now.digest;
        (!is_same).then_some((name, before, now))
    })
}

fn versions(name: &ModelName, found: Vec<(bool, Arc<Assigned>)>) -> Result<Versions, String> {
    let mut defaults = found.iter().filter(|(default, _)| *default);
    let (Some((_, default)), None) = (defaults.next(), defaults.next()) else {
        return Err(format!("expected exactly one default version of model `{name}`"));
    };
    let default = default.version.clone();
    let mut versions = BTreeMap::new();
    for (_, assigned) in found {
        let version = assigned.version.clone();
        if versions.insert(version.clone(), assigned).is_some() {
            return Err(format!(
                "expected version `{version}` of model `{name}` once, found it twice"
            ));
        }
    }
    Ok(Versions { default, versions, stand_in: None })
}

fn node(name: &str, value: &[u8], expected: &DataPlaneId) -> Result<Node, AssignmentError> {
    let assignment = NodeAssignment::decode(value).map_err(undecodable(name))?;
    if assignment.data_plane != expected.as_str() || name != expected.as_str() {
        let found = assignment.data_plane;
        return Err(AssignmentError::OtherDataPlane { expected: expected.clone(), found });
    }
    let keys = assignment
        .passport_keys
        .into_iter()
        .map(|key| VerifyingKey { id: key.id, bytes: key.public_key });
    let verifier = Verifier::new(keys).map_err(|error| AssignmentError::Malformed {
        resource: name.to_owned(),
        reason: error.to_string(),
    })?;
    let passports = PassportCheck::new(verifier, expected.clone());
    let serving = assignment.serving.map(serving).unwrap_or_default();
    Ok(Node { region: assignment.region, serving, passports })
}

fn undecodable(name: &str) -> impl FnOnce(prost::DecodeError) -> AssignmentError {
    let resource = name.to_owned();
    move |error| AssignmentError::Undecodable { resource, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use policy_model::assignment::AssignedModel;
    use proptest::prelude::*;

    use super::*;

    fn model(name: &str, version: &str, default: bool) -> AssignedModel {
        AssignedModel {
            name: name.to_owned(),
            version: version.to_owned(),
            default,
            model: "pooled".to_owned(),
            digest: Digest::of(version.as_bytes()).to_string(),
            trained_on: vec!["ua".to_owned(), "dl".to_owned()],
            base: None,
        }
    }

    fn ua(models: Vec<AssignedModel>) -> TenantAssignment {
        TenantAssignment {
            tenant: "ua".to_owned(),
            tier: "pool".to_owned(),
            models,
            checks: vec![],
            ..TenantAssignment::default()
        }
    }

    fn put(assignment: &TenantAssignment) -> Result<Table, AssignmentError> {
        let mut table = Table::default();
        let plane = "shared".parse().unwrap();
        table.upsert(TENANT_ASSIGNMENT_TYPE, "ua", &assignment.encode_to_vec(), &plane)?;
        Ok(table)
    }

    #[test]
    fn the_default_version_answers_where_none_is_named() {
        let table = put(&ua(vec![model("m", "1", false), model("m", "2", true)])).unwrap();
        let models = table.tenant(&"ua".parse().unwrap()).unwrap();
        let version = |named| models.find("m", named).map(|assigned| assigned.version.to_string());
        assert_eq!(version(None).as_deref(), Some("2"));
        assert_eq!(version(Some("1")).as_deref(), Some("1"));
        assert_eq!(version(Some("3")), None);
        assert!(models.find("other", None).is_none());
    }

    #[test]
    fn an_assignment_that_cannot_be_meant_is_refused() {
        let changed = |change: fn(&mut AssignedModel)| {
            let mut changed = model("m", "1", true);
            change(&mut changed);
            ua(vec![changed])
        };
        let mut refused = vec![
            ua(vec![model("m", "1", false)]),
            ua(vec![model("m", "1", true), model("m", "2", true)]),
            ua(vec![model("m", "1", true), model("m", "1", false)]),
            changed(|model| model.name = "../m".to_owned()),
            changed(|model| model.digest = "sha256:00".to_owned()),
            changed(|model| model.trained_on.clear()),
            TenantAssignment { checks: b"no table".to_vec(), ..ua(vec![]) },
        ];
        refused.push(TenantAssignment { tier: "gold".to_owned(), ..ua(vec![]) });
        refused.push(TenantAssignment { tenant: "dl".to_owned(), ..ua(vec![]) });
        for assignment in refused {
            assert!(put(&assignment).is_err(), "{assignment:?}");
        }
    }

    #[test]
    fn the_node_assignment_of_another_data_plane_is_refused() {
        let assignment = NodeAssignment { data_plane: "silo".to_owned(), ..Default::default() };
        let refused = Table::default().upsert(
            NODE_ASSIGNMENT_TYPE,
            "silo",
            &assignment.encode_to_vec(),
            &"shared".parse().unwrap(),
        );
        assert!(matches!(refused, Err(AssignmentError::OtherDataPlane { .. })));
    }

    #[test]
    fn a_node_serves_nobody_before_it_is_known_which_tenants_there_are() {
        let plane = "shared".parse().unwrap();
        let assignment = NodeAssignment { data_plane: "shared".to_owned(), ..Default::default() };
        let mut table = Table::default();
        table.hear(NODE_ASSIGNMENT_TYPE);
        let bytes = assignment.encode_to_vec();
        table.upsert(NODE_ASSIGNMENT_TYPE, "shared", &bytes, &plane).unwrap();
        assert!(table.is_told() && table.node().is_none() && table.copy().node().is_none());
        // That there is none is known, too.
        table.hear(TENANT_ASSIGNMENT_TYPE);
        assert!(table.node().is_some() && table.copy().node().is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_taken_without_a_panic(bytes: Vec<u8>, node: bool) {
            let type_url = if node { NODE_ASSIGNMENT_TYPE } else { TENANT_ASSIGNMENT_TYPE };
            let plane = "shared".parse().unwrap();
            let _ = Table::default().upsert(type_url, "shared", &bytes, &plane);
        }
    }
}
