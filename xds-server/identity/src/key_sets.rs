//! The keys of every issuer, with one task for each that keeps them fresh.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use reqwest::Client;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::Instant,
};

use crate::{
    fetch::{Fetched, fetch},
    freshness::Freshness,
    jwk::IssuerKey,
};

/// The keys in force, sorted, by `iss`. An issuer whose keys are not known yet is not in it.
pub type KeyMap = BTreeMap<String, Vec<IssuerKey>>;

/// Tells the time for the status; a test sets it.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The machine's clock.
pub fn system_clock() -> Clock {
    Arc::new(SystemTime::now)
}

/// How an issuer's keys were come by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct IssuerStatus {
    /// How many keys are in force.
    pub keys: usize,
    /// When they were fetched last, in seconds since 1970-01-01T00:00:00Z; of imported keys, when
    /// the exporting process fetched them.
    pub fetched_at: Option<u64>,
    /// When they cease to be fresh, likewise. They stay in force until the issuer says otherwise.
    pub fresh_until: Option<u64>,
    /// How often the issuer was asked since it was set.
    pub attempts: u64,
    /// How many of the last attempts in a row failed.
    pub failures: u32,
    /// Why the last attempt failed, where it did.
    pub error: Option<String>,
    /// Keys that the issuer publishes and that are not used, each with the reason.
    pub skipped: Vec<String>,
}

/// An export that cannot be read back.
#[derive(Debug, thiserror::Error)]
#[error("expected exported keys, found: {0}; delete them, and they are fetched again")]
pub struct ImportError(#[from] serde_json::Error);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exported {
    issuers: BTreeMap<String, ExportedKeys>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportedKeys {
    keys: Vec<IssuerKey>,
    fetched_at: Option<u64>,
}

/// The keys of every issuer. Dropping it ends its tasks.
pub struct KeySets {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    freshness: Freshness,
    clock: Clock,
    tasks: Mutex<BTreeMap<String, Task>>,
    keys: watch::Sender<Arc<KeyMap>>,
    status: watch::Sender<Arc<BTreeMap<String, IssuerStatus>>>,
}

struct Task {
    handle: JoinHandle<()>,
    wake: Arc<Notify>,
    /// When [`KeySets::refresh_now`] last woke it.
    woken: Option<Instant>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Drop for KeySets {
    fn drop(&mut self) {
        self.shared.tasks().clear();
    }
}

impl KeySets {
    /// Starts with no issuer. The client is best that of [`crate::http_client`]. Call it within
    /// a tokio runtime.
    pub fn start(client: Client, freshness: Freshness, clock: Clock) -> Self {
        let (keys, _) = watch::channel(Arc::default());
        let (status, _) = watch::channel(Arc::default());
        let tasks = Mutex::default();
        Self { shared: Arc::new(Shared { client, freshness, clock, tasks, keys, status }) }
    }

    /// Says whose keys are wanted. New issuers are asked at once; those no longer wanted are
    /// forgotten with their keys. Imported keys of other issuers are forgotten too.
    pub fn set_issuers(&self, issuers: impl IntoIterator<Item = String>) {
        let wanted: BTreeSet<String> = issuers.into_iter().collect();
        let mut tasks = self.shared.tasks();
        tasks.retain(|issuer, _| wanted.contains(issuer));
        self.shared.forget_all_but(&wanted);
        for issuer in wanted {
            tasks.entry(issuer.clone()).or_insert_with(|| Task::start(&self.shared, issuer));
        }
    }

    /// The keys in force. Wakes only when a key comes or goes, not at each refresh.
    pub fn watch(&self) -> watch::Receiver<Arc<KeyMap>> {
        self.shared.keys.subscribe()
    }

    /// The keys in force now.
    pub fn keys(&self) -> Arc<KeyMap> {
        self.shared.keys.borrow().clone()
    }

    /// How each issuer's keys were come by.
    pub fn status(&self) -> Arc<BTreeMap<String, IssuerStatus>> {
        self.shared.status.borrow().clone()
    }

    /// Like [`KeySets::status`]; wakes at every attempt.
    pub fn watch_status(&self) -> watch::Receiver<Arc<BTreeMap<String, IssuerStatus>>> {
        self.shared.status.subscribe()
    }

    /// Waits until every issuer that is wanted now was asked once, whatever it answered, and at
    /// most for `longest`.
    pub async fn settled(&self, longest: Duration) {
        let wanted: Vec<String> = self.shared.tasks().keys().cloned().collect();
        let mut status = self.watch_status();
        let asked = status.wait_for(|status| {
            wanted.iter().all(|issuer| status.get(issuer).is_some_and(|one| one.attempts > 0))
        });
        let _ = tokio::time::timeout(longest, asked).await;
    }

    /// Asks the issuer again at once, as when a token names a key that is not known. Returns
    /// whether it will: not where the issuer is unknown or was asked on demand a moment ago
    /// ([`Freshness::on_demand`]).
    pub fn refresh_now(&self, issuer: &str) -> bool {
        let mut tasks = self.shared.tasks();
        let Some(task) = tasks.get_mut(issuer) else { return false };
        if task.woken.is_some_and(|at| at.elapsed() < self.shared.freshness.on_demand) {
            return false;
        }
        task.woken = Some(Instant::now());
        task.wake.notify_one();
        true
    }

    /// The keys in force as JSON, to be kept over a restart.
    pub fn export(&self) -> String {
        let (keys, status) = (self.keys(), self.status());
        let issuers = keys.iter().map(|(issuer, keys)| {
            let fetched_at = status.get(issuer).and_then(|one| one.fetched_at);
            (issuer.clone(), ExportedKeys { keys: keys.clone(), fetched_at })
        });
        // Text, numbers and lists only: it cannot fail.
        serde_json::to_string(&Exported { issuers: issuers.collect() }).unwrap_or_default()
    }

    /// Puts exported keys in force until their issuers answer. Call it before
    /// [`KeySets::set_issuers`]. Issuers whose keys are known already keep those.
    ///
    /// # Errors
    /// [`ImportError`]; nothing was imported.
    pub fn import(&self, json: &str) -> Result<(), ImportError> {
        let Exported { issuers } = serde_json::from_str(json)?;
        let _tasks = self.shared.tasks();
        for (issuer, ExportedKeys { mut keys, fetched_at }) in issuers {
            if self.shared.keys.borrow().contains_key(&issuer) {
                continue;
            }
            keys.sort();
            keys.dedup();
            let count = keys.len();
            self.shared.put_keys(&issuer, keys);
            self.shared.with_status(&issuer, |status| {
                status.keys = count;
                status.fetched_at = fetched_at;
            });
        }
        Ok(())
    }
}

impl std::fmt::Debug for KeySets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySets").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Task {
    fn start(shared: &Arc<Shared>, issuer: String) -> Self {
        let wake = Arc::new(Notify::new());
        let handle = tokio::spawn(keep_fresh(Arc::clone(shared), issuer, Arc::clone(&wake)));
        Self { handle, wake, woken: None }
    }
}

async fn keep_fresh(shared: Arc<Shared>, issuer: String, wake: Arc<Notify>) {
    let id = tokio::task::id();
    let mut failures = 0_u32;
    loop {
        let wait = match fetch(&shared.client, &issuer, &shared.freshness).await {
            Ok(fetched) => {
                failures = 0;
                let wait = fetched.fresh_for;
                shared.accept(id, &issuer, fetched);
                wait
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                let wait = shared.freshness.retry_after(failures);
                tracing::warn!(
                    issuer,
                    failures,
                    retry_after_seconds = wait.as_secs_f64(),
                    %error,
                    "an issuer's keys could not be fetched; the last good ones stay in force"
                );
                shared.fail(id, &issuer, failures, error.to_string());
                wait
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = wake.notified() => {}
        }
    }
}

impl Shared {
    fn tasks(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Task>> {
        // Each change under the lock is complete in itself, so a panic elsewhere spoils nothing.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A well-formed key set is the issuer's word, even an empty one: a key that is no longer in
    /// it is no longer in force.
    fn accept(&self, task: tokio::task::Id, issuer: &str, fetched: Fetched) {
        let tasks = self.tasks();
        if tasks.get(issuer).is_none_or(|current| current.handle.id() != task) {
            return;
        }
        let Fetched { set, fresh_for } = fetched;
        for skipped in &set.skipped {
            if skipped.secret {
                tracing::error!(
                    issuer,
                    reason = skipped.reason,
                    "an issuer publishes a secret key"
                );
            } else {
                tracing::info!(issuer, reason = skipped.reason, "an issuer's key is not used");
            }
        }
        if set.keys.is_empty() {
            tracing::error!(issuer, "an issuer publishes no usable key: nobody can sign in by it");
        }
        let now = (self.clock)();
        self.with_status(issuer, |status| {
            status.keys = set.keys.len();
            status.fetched_at = unix_seconds(now);
            status.fresh_until = unix_seconds(now + fresh_for);
            status.attempts += 1;
            status.failures = 0;
            status.error = None;
            status.skipped = set.skipped.into_iter().map(|skipped| skipped.reason).collect();
        });
        self.put_keys(issuer, set.keys);
    }

    fn fail(&self, task: tokio::task::Id, issuer: &str, failures: u32, error: String) {
        let tasks = self.tasks();
        if tasks.get(issuer).is_none_or(|current| current.handle.id() != task) {
            return;
        }
        self.with_status(issuer, |status| {
            status.attempts += 1;
            status.failures = failures;
            status.error = Some(error);
        });
    }

    fn put_keys(&self, issuer: &str, keys: Vec<IssuerKey>) {
        self.keys.send_if_modified(|map| {
            let differs = map.get(issuer) != Some(&keys);
            if differs {
                Arc::make_mut(map).insert(issuer.to_owned(), keys);
            }
            differs
        });
    }

    fn with_status(&self, issuer: &str, change: impl FnOnce(&mut IssuerStatus)) {
        self.status.send_modify(|map| {
            change(Arc::make_mut(map).entry(issuer.to_owned()).or_default());
        });
    }

    fn forget_all_but(&self, wanted: &BTreeSet<String>) {
        self.keys.send_if_modified(|map| {
            let differs = map.keys().any(|issuer| !wanted.contains(issuer));
            if differs {
                Arc::make_mut(map).retain(|issuer, _| wanted.contains(issuer));
            }
            differs
        });
        self.status.send_modify(|map| {
            Arc::make_mut(map).retain(|issuer, _| wanted.contains(issuer));
        });
    }
}

fn unix_seconds(at: SystemTime) -> Option<u64> {
    at.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs())
}
