//! Loaded models: provenance checked, bytes checked, kept in the cache.

use std::{sync::Arc, time::Duration};

use artifact::ArtifactError;
use inference::{Backend, LoadError};
use scheduler::{CacheError, CacheStats, Loaded, ModelCache};
use tenancy::{Tier, problem::Problem};

use crate::{
    answer::Refusal,
    artifacts::{Artifacts, FetchError},
    assignments::{Assigned, Assignments},
    provenance::{self, ProvenanceError},
};

/// How long a request waits for its model to be fetched and loaded.
const PATIENCE: Duration = Duration::from_secs(10);

/// The models of this node.
pub(crate) struct Models {
    cache: ModelCache<NotLoaded>,
    artifacts: Artifacts,
    backend: Arc<dyn Backend>,
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
    pub(crate) fn new(cache_bytes: u64, artifacts: Artifacts, backend: Arc<dyn Backend>) -> Self {
        Self { cache: ModelCache::new(cache_bytes), artifacts, backend }
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
        provenance::check_assigned(tier, assigned).map_err(|error| mismatch(assigned, &error))?;
        let loaded =
            tokio::time::timeout(PATIENCE, self.load(assigned)).await.map_err(|_| {
                unavailable(
                    "expected the model to be loaded by now: it still is on its way, try again",
                )
            })??;
        provenance::check_file(&loaded.model().signature().metadata, assigned)
            .map_err(|error| mismatch(assigned, &error))?;
        Ok(loaded)
    }

    async fn load(&self, assigned: &Arc<Assigned>) -> Result<Arc<Loaded>, Refusal> {
        let key = provenance::key(assigned);
        let load = {
            let (artifacts, backend) = (self.artifacts.clone(), Arc::clone(&self.backend));
            let assigned = Arc::clone(assigned);
            move || -> Result<Loaded, NotLoaded> {
                let mapped = artifacts.map(&assigned.digest)?;
                let model = backend.load(&mapped)?;
                provenance::check_file(&model.signature().metadata, &assigned)?;
                Ok(Loaded::new(model, mapped))
            }
        };
        self.artifacts
            .ensure(&assigned.digest)
            .await
            .map_err(|error| not_fetched(assigned, &error))?;
        self.cache.get_or_load(&key, load).await.map_err(|error| not_loaded(assigned, &error))
    }

    /// Lets go of models that nobody is assigned any more, for ever.
    pub(crate) async fn keep(&self, assignments: Arc<Assignments>) {
        let mut changes = assignments.watch();
        while changes.changed().await.is_ok() {
            let table = assignments.table();
            let wanted: std::collections::HashSet<_> =
                table.assigned().map(|assigned| provenance::key(assigned)).collect();
            let dropped = self.cache.retain(|key| wanted.contains(key));
            if dropped > 0 {
                tracing::info!(dropped, "models that nobody is assigned any more are unloaded");
            }
        }
    }

    /// Whether an assignment's model is in memory now.
    pub(crate) fn is_loaded(&self, assigned: &Assigned) -> bool {
        self.cache.contains(&provenance::key(assigned))
    }

    /// Lets go of an assignment's model until it is asked for again.
    pub(crate) fn unload(&self, assigned: &Assigned) {
        let unwanted = provenance::key(assigned);
        self.cache.retain(|key| *key != unwanted);
    }

    pub(crate) fn stats(&self) -> CacheStats {
        self.cache.stats()
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
    tracing::error!(
        tenant = %assigned.tenant, model = %assigned.name, version = %assigned.version, %error,
        "a model could not be loaded"
    );
    unavailable("expected the model to load on this node, found that it does not: ask its operator")
}
