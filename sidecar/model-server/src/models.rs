//! Loaded models: provenance checked, bytes checked, kept in the cache.
//!
//! `ahead.rs` loads what nobody has asked for yet.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use artifact::{ArtifactError, Mapped};
use inference::{Backend, LoadError, Model};
use scheduler::{
    CacheError, CacheStats, DeviceCache, DeviceStats, Loaded, ModelCache, ModelKey, Owner,
    OwnerStats, Presence,
};
use tenancy::{Digest, TenantId, Tier, problem::Problem};
use tokio::task::spawn_blocking;

mod ahead;
mod terms;

use crate::{
    Capacity,
    answer::Refusal,
    artifacts::{Artifacts, FetchError},
    assignments::{Assigned, Assignments, Base, Table},
    provenance::{self, ProvenanceError},
};

/// How long a request waits for its model to be fetched and loaded.
const PATIENCE: Duration = Duration::from_secs(10);
/// For how long a load that failed is not tried again, whoever asks.
const FAILURES_LAST: Duration = Duration::from_secs(1);
/// For how long a model is not brought to a device that did not take it: it is answered without.
const DEVICE_FAILURES_LAST: Duration = Duration::from_secs(5);

/// The models of this node.
pub(crate) struct Models {
    cache: ModelCache<NotLoaded>,
    /// What of them is on the device, where there is one.
    device: Option<DeviceCache>,
    artifacts: Artifacts,
    backend: Arc<dyn Backend>,
}

/// For whom a model is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    /// A request, which warms it by being answered.
    Asked,
    /// Nobody yet: it is warmed before it counts as loaded.
    Ahead,
}

/// A model that is to be loaded.
struct Wanted {
    key: ModelKey,
    digest: Digest,
    /// Whose data it is registered as trained on.
    trained_on: BTreeSet<TenantId>,
    /// What it is over, where it is an adapter.
    base: Option<Digest>,
}

/// Why a file did not become a model.
#[derive(Debug, thiserror::Error)]
enum NotLoaded {
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Provenance(#[from] ProvenanceError),
}

impl Models {
    /// Models within `capacity`, on a device too where that has any.
    pub(crate) fn new(capacity: Capacity, artifacts: Artifacts, backend: Arc<dyn Backend>) -> Self {
        let budget = capacity.budget();
        let device = (budget.device_bytes > 0)
            .then(|| DeviceCache::new(budget.device_bytes, DEVICE_FAILURES_LAST));
        let cache = ModelCache::with_cold(budget, FAILURES_LAST, capacity.cold_models);
        Self { cache, device, artifacts, backend }
    }

    /// The loaded model of an assignment.
    ///
    /// Provenance is checked on every call and not only when the file is loaded: tenants that
    /// share a pooled model share the loaded file and not what they were assigned.
    pub(crate) async fn get(
        &self,
        tier: Tier,
        assigned: &Arc<Assigned>,
    ) -> Result<Arc<Loaded>, Refusal> {
        self.get_as(tier, assigned, Load::Asked).await
    }

    async fn get_as(
        &self,
        tier: Tier,
        assigned: &Arc<Assigned>,
        how: Load,
    ) -> Result<Arc<Loaded>, Refusal> {
        provenance::check_assigned(tier, assigned).map_err(|error| mismatch(assigned, &error))?;
        let loaded =
            tokio::time::timeout(PATIENCE, self.load(assigned, how)).await.map_err(|_| {
                unavailable(
                    "expected the model to be loaded by now: it still is on its way, try again",
                )
            })??;
        provenance::check_file(&loaded.model().signature().metadata, &assigned.trained_on)
            .map_err(|error| mismatch(assigned, &error))?;
        Ok(loaded)
    }

    async fn load(&self, assigned: &Arc<Assigned>, how: Load) -> Result<Arc<Loaded>, Refusal> {
        // Asked for each time, so that it is worth in the cache what all adapters over it are.
        let base = match &assigned.base {
            Some(base) => Some(self.base(assigned, base).await?),
            None => None,
        };
        let wanted = Wanted {
            key: provenance::key(assigned),
            digest: assigned.digest,
            trained_on: assigned.trained_on.clone(),
            base: assigned.base.as_ref().map(|base| base.digest),
        };
        let prepare = move |backend: &dyn Backend, mapped: &Mapped| match &base {
            Some(base) => backend.load_over(mapped, base.model()),
            None => backend.load(mapped),
        };
        self.load_from(assigned, wanted, how, prepare).await
    }

    /// What an adapter is made over, loaded.
    async fn base(&self, assigned: &Arc<Assigned>, base: &Base) -> Result<Arc<Loaded>, Refusal> {
        let wanted = Wanted {
            key: provenance::base_key(&assigned.tenant, base),
            digest: base.digest,
            trained_on: base.trained_on.clone(),
            base: None,
        };
        let prepare = |backend: &dyn Backend, mapped: &Mapped| backend.load(mapped);
        let loaded = self.load_from(assigned, wanted, Load::Asked, prepare).await?;
        provenance::check_file(&loaded.model().signature().metadata, &base.trained_on)
            .map_err(|error| mismatch(assigned, &error))?;
        Ok(loaded)
    }

    /// The model that is wanted for `assigned`, which `prepare` makes of its file where it is not there.
    async fn load_from<F>(
        &self,
        assigned: &Arc<Assigned>,
        Wanted { key, digest, trained_on, base }: Wanted,
        how: Load,
        prepare: F,
    ) -> Result<Arc<Loaded>, Refusal>
    where
        F: FnOnce(&dyn Backend, &Mapped) -> Result<Arc<dyn Model>, LoadError> + Send + 'static,
    {
        let is_dedicated = matches!(key.owner(), Owner::Tenant(_));
        let load = {
            let (artifacts, backend) = (self.artifacts.clone(), Arc::clone(&self.backend));
            move || -> Result<Loaded, NotLoaded> {
                let mapped = artifacts.map(&digest)?;
                let model = prepare(&*backend, &mapped)?;
                // What a file says of itself is held against each tenant's own assignment when it is
                // used. Where several share it, one that is assigned it wrongly must not fail the others.
                if is_dedicated {
                    provenance::check_file(&model.signature().metadata, &trained_on)?;
                }
                let loaded = Loaded::new(model, mapped).over(base);
                if how == Load::Ahead {
                    loaded.warm_up();
                }
                Ok(loaded)
            }
        };
        self.artifacts.ensure(&digest).await.map_err(|error| not_fetched(assigned, &error))?;
        let loaded = self.cache.get_or_load(&key, load).await;
        let loaded = loaded.map_err(|error| not_loaded(assigned, &error))?;
        // What a package is over does not change, and what it is assigned over might.
        if loaded.base() != base.as_ref() {
            return Err(mismatch(assigned, &ProvenanceError::OtherBase));
        }
        self.bring_to_device(&key, &loaded, how).await;
        Ok(loaded)
    }

    /// Has a model brought to the device, where it should be there; nobody who asked waits for that.
    async fn bring_to_device(&self, key: &ModelKey, loaded: &Arc<Loaded>, how: Load) {
        let Some(device) = &self.device else { return };
        if how == Load::Asked {
            return device.used(key, loaded);
        }
        let (device, key, loaded) = (device.clone(), key.clone(), Arc::clone(loaded));
        if let Err(error) = spawn_blocking(move || device.bring(&key, &loaded)).await {
            tracing::warn!(%error, "a model was not brought to the device");
        }
    }

    /// Whether a request would find it loaded.
    pub(crate) fn is_loaded(&self, assigned: &Assigned) -> bool {
        matches!(self.cache.presence(&provenance::key(assigned)), Presence::Loaded(_))
    }

    /// Holds models to what `assignments` says, and loads ahead what it may, whenever it changes;
    /// for ever.
    pub(crate) async fn keep(&self, assignments: Arc<Assignments>) {
        let mut changes = assignments.watch();
        loop {
            changes.borrow_and_update();
            let table = assignments.table();
            let (terms, device_terms) = terms::of(&table);
            self.cache.set_terms(terms);
            if let Some(device) = &self.device {
                device.set_terms(device_terms);
            }
            self.let_go(&assignments, &table);
            let end_of_keeping = async {
                match assignments.kept_until() {
                    Some(end) => tokio::time::sleep_until(end).await,
                    None => std::future::pending().await,
                }
            };
            let ahead = async {
                self.load_ahead(&table).await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = end_of_keeping => {}
                () = ahead => {}
            }
        }
    }

    /// Lets go of an assignment's model until it is asked for again.
    pub(crate) fn unload(&self, assigned: &Assigned) {
        let unwanted = provenance::key(assigned);
        self.cache.retain(|key| *key != unwanted);
    }

    /// Unloads what nobody is assigned any more and what is not kept for going back to.
    fn let_go(&self, assignments: &Assignments, table: &Table) {
        let assigned: HashSet<_> =
            table.assigned().flat_map(|assigned| provenance::keys(assigned)).collect();
        let wanted = assignments.wanted();
        let is_known = |key: &ModelKey| match key.owner() {
            Owner::Pool => true,
            Owner::Tenant(tenant) => table.tenant(tenant).is_some(),
        };
        let is_wanted = |key: &ModelKey| {
            assigned.contains(key) || (wanted.contains(key.digest()) && is_known(key))
        };
        if let Some(device) = &self.device {
            device.retain(is_wanted);
        }
        let dropped = self.cache.retain(is_wanted);
        self.cache.retain_owners(|tenant| table.tenant(tenant).is_some());
        if dropped > 0 {
            tracing::info!(dropped, "models that nobody is assigned any more are unloaded");
        }
    }

    pub(crate) fn device_stats(&self) -> Option<DeviceStats> {
        self.device.as_ref().map(DeviceCache::stats)
    }

    pub(crate) fn stats(&self) -> CacheStats {
        self.cache.stats()
    }

    pub(crate) fn stats_by_owner(&self) -> HashMap<Owner, OwnerStats> {
        self.cache.stats_by_owner()
    }
}

fn unavailable(detail: &str) -> Refusal {
    Refusal::new(Problem::ModelUnavailable, detail)
}

fn mismatch(assigned: &Assigned, error: &ProvenanceError) -> Refusal {
    tracing::error!(
        tenant = %assigned.tenant, model = %assigned.name, version = %assigned.version, %error,
        "a model's provenance is refused"
    );
    Refusal::new(Problem::ProvenanceMismatch, error.to_string())
}

fn digest_mismatch(assigned: &Assigned, error: &ArtifactError) -> Refusal {
    tracing::error!(
        tenant = %assigned.tenant, model = %assigned.name, version = %assigned.version, %error,
        "a model's artifact is refused"
    );
    Refusal::new(
        Problem::DigestMismatch,
        format!(
            "expected the artifact of model `{}` version `{}` to have the digest that the \
             registry names, found other bytes: it is not loaded",
            assigned.name, assigned.version
        ),
    )
}

fn not_fetched(assigned: &Assigned, error: &FetchError) -> Refusal {
    tracing::warn!(tenant = %assigned.tenant, model = %assigned.name, %error, "no artifact");
    match error {
        FetchError::Mismatch(error) => digest_mismatch(assigned, error),
        FetchError::Store(_) | FetchError::Source(_) => unavailable(
            "expected the model's artifact on this node, found that it could not be brought \
             here: try again later",
        ),
    }
}

fn not_loaded(assigned: &Assigned, error: &CacheError<NotLoaded>) -> Refusal {
    if let CacheError::Load(cause) = error {
        match &**cause {
            NotLoaded::Artifact(
                error @ (ArtifactError::DigestMismatch { .. } | ArtifactError::Empty { .. }),
            ) => return digest_mismatch(assigned, error),
            NotLoaded::Provenance(error) => return mismatch(assigned, error),
            NotLoaded::Artifact(_) | NotLoaded::Load(_) => {}
        }
    }
    if let CacheError::NoRoom(no_room) = error {
        tracing::warn!(
            tenant = %assigned.tenant, model = %assigned.name, version = %assigned.version,
            %no_room, "a model finds no room"
        );
        return unavailable(
            "expected room for the model on this node, found none: ask its operator",
        );
    }
    tracing::error!(
        tenant = %assigned.tenant, model = %assigned.name, version = %assigned.version, %error,
        "a model could not be loaded"
    );
    unavailable("expected the model to load on this node, found that it does not: ask its operator")
}
