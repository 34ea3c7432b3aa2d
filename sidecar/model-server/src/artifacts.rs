//! Brings assigned artifacts to this node, and lets go of those that are assigned no more.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use artifact::{ArtifactError, Mapped, Store, Writer};
use reqwest::{Client, Response, StatusCode};
use tenancy::Digest;
use tokio::{
    sync::{Semaphore, watch},
    task::{JoinSet, spawn_blocking},
};
use xds::client::with_causes;

use crate::assignments::Assignments;

/// The largest artifact that is fetched.
const MAX_ARTIFACT_BYTES: u64 = 2 << 30;
/// Bounds what fetching takes from serving.
const FETCHES_AT_ONCE: usize = 4;
/// A source that sends nothing for so long is given up.
const STALL: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often files that requests found damaged are fetched again. Not at once, so that a disk
/// that damages files does not turn each request into a fetch.
const HEALING_ROUND: Duration = Duration::from_secs(30);

/// Why an artifact is not here.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("the control plane sent other bytes than the registry names: {0}")]
    Mismatch(Arc<ArtifactError>),
    #[error("the artifact could not be stored: {0}")]
    Store(Arc<ArtifactError>),
    #[error("the artifact could not be fetched from the control plane: {0}")]
    Source(Arc<str>),
}

type Flight = watch::Receiver<Option<Result<(), FetchError>>>;

/// The artifacts of this node. Clones share them.
#[derive(Clone)]
pub(crate) struct Artifacts {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    client: Client,
    control: String,
    flights: Mutex<HashMap<Digest, Flight>>,
    damaged: Mutex<BTreeSet<Digest>>,
    permits: Semaphore,
}

impl Artifacts {
    pub(crate) fn new(store: Store, client: Client, control: &str) -> Self {
        let inner = Inner {
            store,
            client,
            control: control.trim_end_matches('/').to_owned(),
            flights: Mutex::default(),
            damaged: Mutex::default(),
            permits: Semaphore::new(FETCHES_AT_ONCE),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Returns once the artifact is here. All who wait for one artifact wait for one fetch, which
    /// goes on where they do not.
    pub(crate) async fn ensure(&self, digest: &Digest) -> Result<(), FetchError> {
        if self.inner.store.contains(digest) {
            return Ok(());
        }
        self.fetched(digest).await
    }

    /// Maps the artifact, its digest checked. Blocks on the disk.
    pub(crate) fn map(&self, digest: &Digest) -> Result<Mapped, ArtifactError> {
        self.inner.store.map(digest).inspect_err(|error| {
            if matches!(error, ArtifactError::DigestMismatch { .. } | ArtifactError::Empty { .. }) {
                tracing::error!(%error, "an artifact on this node was damaged after it was stored");
                lock(&self.inner.damaged).insert(*digest);
            }
        })
    }

    /// Fetches what `assignments` names and is missing, fetches again what was found damaged, and
    /// removes what is named no more; for ever.
    pub(crate) async fn keep(self, assignments: Arc<Assignments>) {
        let mut changes = assignments.watch();
        let mut pause = FIRST_PAUSE;
        loop {
            changes.borrow_and_update();
            self.sweep(&assignments).await;
            let next_round = if self.fetch_missing(&assignments).await {
                pause = FIRST_PAUSE;
                HEALING_ROUND
            } else {
                pause = (pause * 2).min(LONGEST_PAUSE);
                pause
            };
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() { return }
                    pause = FIRST_PAUSE;
                }
                () = tokio::time::sleep(next_round) => {}
            }
        }
    }

    /// Whether all came.
    async fn fetch_missing(&self, assignments: &Assignments) -> bool {
        let mut missing = assignments.table().digests();
        let damaged = std::mem::take(&mut *lock(&self.inner.damaged));
        missing.retain(|digest| damaged.contains(digest) || !self.inner.store.contains(digest));
        let mut fetches = JoinSet::new();
        for digest in missing {
            let artifacts = self.clone();
            fetches.spawn(async move {
                artifacts.fetched(&digest).await.inspect_err(|error| {
                    tracing::warn!(%digest, %error, "an assigned artifact is missing");
                })
            });
        }
        fetches.join_all().await.iter().all(Result::is_ok)
    }

    async fn sweep(&self, assignments: &Arc<Assignments>) {
        // Nothing is known to be unreferenced before the control plane has said what is.
        if assignments.table().node().is_none() {
            return;
        }
        let (store, assignments) = (self.inner.store.clone(), Arc::clone(assignments));
        let swept = spawn_blocking(move || {
            let referenced = assignments.wanted();
            // Asked again for those that go: an assignment may have come meanwhile.
            store.remove_unreferenced(|digest| {
                referenced.contains(digest) || assignments.wanted().contains(digest)
            })
        });
        match swept.await {
            Ok(Ok(removed)) if removed == artifact::Removed::default() => {}
            Ok(Ok(removed)) => tracing::info!(?removed, "unreferenced artifacts removed"),
            Ok(Err(error)) => tracing::warn!(%error, "unreferenced artifacts stay"),
            Err(error) => tracing::warn!(%error, "unreferenced artifacts stay"),
        }
    }

    async fn fetched(&self, digest: &Digest) -> Result<(), FetchError> {
        let mut flight = self.flight(digest);
        let landed = flight.wait_for(Option::is_some).await.ok().and_then(|it| it.clone());
        landed.unwrap_or_else(|| Err(FetchError::Source("the fetch was abandoned".into())))
    }

    fn flight(&self, digest: &Digest) -> Flight {
        let mut flights = lock(&self.inner.flights);
        if let Some(flight) = flights.get(digest) {
            return flight.clone();
        }
        let (told, flight) = watch::channel(None);
        flights.insert(*digest, flight.clone());
        let (artifacts, digest) = (self.clone(), *digest);
        tokio::spawn(async move {
            let outcome = artifacts.inner.fetch(digest).await;
            lock(&artifacts.inner.flights).remove(&digest);
            told.send_replace(Some(outcome));
        });
        flight
    }
}

impl Inner {
    async fn fetch(&self, digest: Digest) -> Result<(), FetchError> {
        let _permit = self.permits.acquire().await;
        let url = format!("{}/v1/artifacts/{digest}", self.control);
        let mut response = match tokio::time::timeout(STALL, self.client.get(url).send()).await {
            Ok(response) => response.map_err(source)?,
            Err(_) => return Err(FetchError::Source("the control plane did not answer".into())),
        };
        if response.status() != StatusCode::OK {
            let said = format!("expected status 200, found {}", response.status());
            return Err(FetchError::Source(said.into()));
        }
        let store = self.store.clone();
        let mut writer = blocking(move || store.writer(&digest, MAX_ARTIFACT_BYTES)).await?;
        while let Some(chunk) = next_chunk(&mut response).await? {
            writer = blocking(move || -> Result<Writer, ArtifactError> {
                writer.write(&chunk)?;
                Ok(writer)
            })
            .await?;
        }
        let bytes = blocking(move || writer.finish()).await?;
        tracing::info!(%digest, bytes, "artifact fetched");
        Ok(())
    }
}

async fn next_chunk(response: &mut Response) -> Result<Option<bytes::Bytes>, FetchError> {
    match tokio::time::timeout(STALL, response.chunk()).await {
        Ok(chunk) => chunk.map_err(source),
        Err(_) => Err(FetchError::Source("the control plane stopped sending".into())),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ArtifactError> + Send + 'static,
) -> Result<T, FetchError> {
    match spawn_blocking(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(refused(error)),
        Err(error) => Err(FetchError::Source(error.to_string().into())),
    }
}

fn refused(error: ArtifactError) -> FetchError {
    match error {
        ArtifactError::DigestMismatch { .. } | ArtifactError::Empty { .. } => {
            FetchError::Mismatch(Arc::new(error))
        }
        _ => FetchError::Store(Arc::new(error)),
    }
}

fn source(error: reqwest::Error) -> FetchError {
    FetchError::Source(with_causes(&error).into())
}

/// Nothing under these locks panics, so a poisoned one guards whole state.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
