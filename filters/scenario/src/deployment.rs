//! The deployment that scenarios are played in: resources as an operator writes them, compiled as
//! the control plane compiles them, with keys for its identity providers.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use passport::{SigningKey, Verifier, seal::SealKey, seal::Sealed};
use policy_model::{
    assignment::{NodeAssignment, TenantAssignment},
    compile::compile,
    diagnostic::{Diagnostic, Diagnostics, Origin, Severity},
    resolved::{Issuer, Resolved, Tenant},
    spec::{self, Algorithm, IssuerSpec, Kind, Resource, TenantModelSpec},
    table::SealedKeyRow,
};

use crate::{
    Error,
    format::{Change, Promotion},
    keys::{self, Key},
    tables,
};

/// The deployment that a folder of scenarios has where it brings none of its own.
const SHIPPED: &str = include_str!("../deployment.yaml");

/// Resources in force, with keys. Clones are cheap, and all that come from one share its keys.
#[derive(Debug, Clone)]
pub struct Deployment {
    resources: Arc<Vec<Resource>>,
    resolved: Arc<Resolved>,
    /// Checks that scenarios can name, by their names.
    checks: Arc<BTreeMap<String, Resource>>,
    /// Whose data a tenant's models were trained on, where its nodes are told something else than
    /// what is registered.
    told: Arc<BTreeMap<String, Vec<String>>>,
    keys: Arc<BTreeMap<String, Vec<Key>>>,
    secrets: Arc<Secrets>,
}

/// What mints passports, made anew in each process.
#[derive(Debug)]
struct Secrets {
    passport_key: SigningKey,
    sealed: Sealed,
    seal_key: String,
}

impl Deployment {
    /// The deployment that ships with this crate, which scenarios get that bring no other.
    ///
    /// # Errors
    /// Where it has mistakes, which a test shows it has not.
    pub fn shipped() -> Result<Self, Error> {
        Self::of(spec::parse("deployment.yaml", SHIPPED).map_err(Diagnostics)?)
    }

    /// The deployment of the resources in `file`.
    ///
    /// # Errors
    /// Where it cannot be read, or every mistake in it.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let shown = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| {
            let origin = Origin { file: shown.clone(), ..Origin::default() };
            Error::Mistakes(mistake(origin, format!("could not be read: {error}")))
        })?;
        Self::of(spec::parse(&shown, &text).map_err(Diagnostics)?)
    }

    /// The deployment of these resources. The tiers' shipped defaults hold where they bring none.
    ///
    /// # Errors
    /// Every mistake in them.
    pub fn of(resources: Vec<Resource>) -> Result<Self, Error> {
        let own: BTreeSet<String> = resources.iter().map(Resource::id).collect();
        let mut all = catalog::tiers()?;
        all.retain(|tier| !own.contains(&tier.id()));
        all.extend(resources);
        let resolved = compile(&all)?.resolved;
        let keys = keys::of(&resolved)?.into_iter().collect();
        Ok(Self {
            resources: Arc::new(all),
            resolved: Arc::new(resolved),
            checks: Arc::new(shipped_checks()?),
            told: Arc::default(),
            keys: Arc::new(keys),
            secrets: Arc::new(Secrets::new()?),
        })
    }

    /// The same deployment, in which scenarios can name these checks beside those that ship.
    #[must_use]
    pub fn knowing(mut self, checks: Vec<Resource>) -> Self {
        let known = Arc::make_mut(&mut self.checks);
        known.extend(checks.into_iter().map(|check| (check.name().to_owned(), check)));
        self
    }

    /// This deployment after `changes`, one after the other.
    ///
    /// # Errors
    /// Every mistake in what comes of them.
    pub fn with(&self, changes: &[Change]) -> Result<Self, Error> {
        if changes.is_empty() {
            return Ok(self.clone());
        }
        let (mut resources, mut told) = (Vec::clone(&self.resources), BTreeMap::clone(&self.told));
        for change in changes {
            self.apply(&mut resources, &mut told, change)?;
        }
        Self { told: Arc::new(told), ..self.clone() }.of_these(resources)
    }

    /// This deployment with these resources in the place of its own.
    pub(crate) fn of_these(&self, resources: Vec<Resource>) -> Result<Self, Error> {
        let resolved = compile(&resources)?.resolved;
        let keys = if resolved.issuers == self.resolved.issuers {
            Arc::clone(&self.keys)
        } else {
            Arc::new(keys::of(&resolved)?.into_iter().collect())
        };
        Ok(Self {
            resources: Arc::new(resources),
            resolved: Arc::new(resolved),
            keys,
            ..self.clone()
        })
    }

    /// The resources that an operator applies who promotes this.
    pub(crate) fn promoting(&self, promotion: &Promotion) -> Result<Vec<Resource>, Error> {
        self.tenant(&promotion.tenant)?;
        let mut resources = Vec::clone(&self.resources);
        for resource in &mut resources {
            let Resource::Tenant(tenant) = resource else { continue };
            if tenant.metadata.name != promotion.tenant {
                continue;
            }
            let Promotion { name, model, version, .. } = promotion.clone();
            tenant.spec.models.retain(|it| it.name != name);
            let promoted = TenantModelSpec { name, model, version, other_versions: Vec::new() };
            tenant.spec.models.push(promoted);
        }
        Ok(resources)
    }

    /// What the sidecars of `data_plane` are sent.
    ///
    /// # Errors
    /// Where there is no such data plane, or a tenant's checks cannot be encoded.
    pub fn assignments(
        &self,
        data_plane: &str,
    ) -> Result<(NodeAssignment, Vec<TenantAssignment>), Error> {
        let planes = &self.resolved.data_planes;
        let plane = planes.values().find(|plane| plane.id.as_str() == data_plane);
        let plane = plane.ok_or_else(|| {
            Error::unknown("a DataPlane", data_plane, planes.keys().map(|id| id.as_str()))
        })?;
        let key = self.secrets.passport_key.verifying_key();
        let node = NodeAssignment::of(plane, [(key.id, key.bytes)]);
        let tenants = self.resolved.tenants.values().filter(|it| it.data_plane == plane.id);
        let tenants = tenants.map(|tenant| {
            let mut assignment = TenantAssignment::of(&self.resolved, tenant)?;
            if let Some(told) = self.told.get(tenant.id.as_str()) {
                assignment.models.iter_mut().for_each(|it| it.trained_on.clone_from(told));
            }
            Ok::<_, Error>(assignment)
        });
        Ok((node, tenants.collect::<Result<_, _>>()?))
    }

    /// The resources in force.
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// What they mean.
    pub fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    /// The gate's configuration. Clusters are called as the control plane calls them.
    ///
    /// # Errors
    /// Where a key cannot be encoded or the table is too large.
    pub fn gate_table(&self) -> Result<Vec<u8>, Error> {
        let Sealed { key_id, nonce, ciphertext } = &self.secrets.sealed;
        let passport_key = SealedKeyRow {
            key_id: key_id.clone(),
            nonce: nonce.clone(),
            ciphertext: ciphertext.clone(),
        };
        let mut keys = BTreeMap::new();
        for (name, own) in self.keys.iter() {
            keys.insert(name.as_str(), own.iter().map(Key::row).collect::<Result<_, _>>()?);
        }
        Ok(tables::gate(&self.resolved, passport_key, &keys).encode()?)
    }

    /// The recheck's configuration at the nodes of `data_plane`.
    ///
    /// # Errors
    /// Where it cannot be encoded.
    pub fn node_table(&self, data_plane: &str) -> Result<Vec<u8>, Error> {
        let key = self.secrets.passport_key.verifying_key();
        Ok(tables::node(&self.resolved, data_plane, key)?.encode()?)
    }

    /// What [`passport::seal::ENVIRONMENT_VARIABLE`] must hold for the gate.
    pub fn seal_key(&self) -> &str {
        &self.secrets.seal_key
    }

    /// Every data plane, and so every node and every cluster of the ingress.
    pub fn data_planes(&self) -> impl Iterator<Item = &str> {
        self.resolved.data_planes.keys().map(|id| id.as_str())
    }

    /// Every check of the deployment with every tenant, by their names.
    pub fn checked(&self) -> impl Iterator<Item = (&str, &str)> {
        let checks = self.resources.iter().filter(|resource| resource.kind() == Kind::Check);
        checks.flat_map(|check| {
            let tenants = self.resolved.tenants.keys();
            tenants.map(|tenant| (check.name(), tenant.as_str()))
        })
    }

    /// What reads the passports of this deployment.
    ///
    /// # Errors
    /// Where the key is none, which it is not.
    pub fn verifier(&self) -> Result<Verifier, Error> {
        Ok(Verifier::new([self.secrets.passport_key.verifying_key()])?)
    }

    pub(crate) fn passport_key(&self) -> &SigningKey {
        &self.secrets.passport_key
    }

    /// The Issuer called `name`.
    pub(crate) fn issuer(&self, name: &str) -> Result<&Issuer, Error> {
        let mut issuers = self.resolved.issuers.values();
        issuers.find(|issuer| issuer.name == name).ok_or_else(|| {
            let known = self.resolved.issuers.values().map(|issuer| issuer.name.as_str());
            Error::unknown("the name of an Issuer", name, known)
        })
    }

    /// The Issuer called `name` as it is written, where lists are in their author's order.
    pub(crate) fn issuer_spec(&self, name: &str) -> Option<&IssuerSpec> {
        self.resources.iter().find_map(|resource| match resource {
            Resource::Issuer(issuer) if issuer.metadata.name == name => Some(&issuer.spec),
            _ => None,
        })
    }

    /// The key of the Issuer called `name` for `algorithm`.
    pub(crate) fn key(&self, name: &str, algorithm: Algorithm) -> Result<&Key, Error> {
        self.issuer(name)?;
        let keys = self.keys.get(name).map(Vec::as_slice).unwrap_or_default();
        keys.iter().find(|key| key.algorithm == algorithm).ok_or_else(|| {
            Error::request(format!("expected Issuer/{name} to have a key for {algorithm}"))
        })
    }

    /// The tenant `id`.
    pub(crate) fn tenant(&self, id: &str) -> Result<&Tenant, Error> {
        let mut tenants = self.resolved.tenants.values();
        tenants.find(|tenant| tenant.id.as_str() == id).ok_or_else(|| {
            let known = self.resolved.tenants.keys().map(|id| id.as_str());
            Error::unknown("a Tenant", id, known)
        })
    }

    fn apply(
        &self,
        resources: &mut Vec<Resource>,
        told: &mut BTreeMap<String, Vec<String>>,
        change: &Change,
    ) -> Result<(), Error> {
        match change {
            Change::Told { tenant, trained_on, origin } => {
                let id = format!("{}/{tenant}", Kind::Tenant.as_str());
                if !resources.iter().any(|resource| resource.id() == id) {
                    let message = format!("expected a Tenant after `told`, found `{tenant}`");
                    return Err(mistake(origin.clone(), message).into());
                }
                told.insert(tenant.clone(), trained_on.clone());
            }
            Change::Resource(resource) => put(resources, Resource::clone(resource)),
            Change::Named { check, mode, origin } => {
                let Some(Resource::Check(named)) = self.checks.get(check) else {
                    let known: Vec<&str> = self.checks.keys().map(String::as_str).collect();
                    let known = known.join(", ");
                    let message = format!(
                        "expected a check of the catalog or of this folder, found `{check}`; there is: {known}"
                    );
                    return Err(mistake(origin.clone(), message).into());
                };
                let mut named = named.clone();
                named.spec.mode = mode.unwrap_or(named.spec.mode);
                put(resources, Resource::Check(named));
            }
            Change::Remove { id, origin } => {
                let before = resources.len();
                resources.retain(|resource| resource.id() != *id);
                if resources.len() == before {
                    let message = format!("expected a resource to remove, found no `{id}`");
                    return Err(mistake(origin.clone(), message).into());
                }
            }
        }
        Ok(())
    }
}

impl Secrets {
    fn new() -> Result<Self, Error> {
        // Both die with the process.
        let (passport_key, seal_key) = (SigningKey::generate(), SealKey::from_bytes([7; 32]));
        let sealed = seal_key.seal(&passport_key)?;
        Ok(Self { passport_key, sealed, seal_key: seal_key.to_hex() })
    }
}

/// Puts `resource` in the place of its namesake, or at the end.
fn put(resources: &mut Vec<Resource>, resource: Resource) {
    match resources.iter_mut().find(|it| it.id() == resource.id()) {
        Some(namesake) => *namesake = resource,
        None => resources.push(resource),
    }
}

/// The checks that ship, by their names.
fn shipped_checks() -> Result<BTreeMap<String, Resource>, Diagnostics> {
    let checks = catalog::shipped().iter();
    checks.map(|check| Ok((check.name.to_owned(), check.resource()?))).collect()
}

pub(crate) fn mistake(origin: Origin, message: String) -> Diagnostics {
    Diagnostics(vec![Diagnostic {
        severity: Severity::Error,
        origin,
        resource: String::new(),
        message,
        check: None,
    }])
}
