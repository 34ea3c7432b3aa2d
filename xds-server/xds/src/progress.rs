//! How far a push has come: who has taken it into use, who refused it, and whose answer is awaited.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Proxies, ProxyStatus, Refusal, Snapshot};

/// How far a group's connected proxies have come with a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Node ids of the proxies at which every subscribed type is in force.
    pub accepted: Vec<String>,
    /// What was refused, by whom and why.
    pub refused: Vec<RefusedBy>,
    /// Node ids of the proxies that have not answered yet.
    pub waiting: Vec<String>,
}

/// A refusal and the proxy whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedBy {
    /// The node id.
    pub node: String,
    /// The type of which a version was refused.
    pub type_url: String,
    /// What was refused and why.
    pub refusal: Refusal,
}

/// One proxy and the snapshot that it is to take into use.
#[derive(Clone, Debug)]
pub struct Target {
    /// The proxy's group.
    pub group: String,
    /// Its node id.
    pub node: String,
    /// What it is served.
    pub snapshot: Snapshot,
}

impl Progress {
    /// True once every connected proxy has accepted or refused all there is.
    pub fn is_settled(&self) -> bool {
        self.waiting.is_empty()
    }

    fn add(&mut self, proxy: &ProxyStatus, snapshot: &Snapshot) {
        let mut waiting = false;
        let refused_before = self.refused.len();
        for (type_url, status) in &proxy.types {
            let version = snapshot.type_version(type_url);
            let refusal = status.refusal.as_ref().filter(|refusal| refusal.version == version);
            match refusal {
                Some(refusal) => self.refused.push(RefusedBy {
                    node: proxy.node.clone(),
                    type_url: type_url.clone(),
                    refusal: refusal.clone(),
                }),
                None => waiting |= status.in_force.as_deref() != Some(version),
            }
        }
        if waiting {
            self.waiting.push(proxy.node.clone());
        } else if self.refused.len() == refused_before {
            self.accepted.push(proxy.node.clone());
        }
    }
}

impl Proxies {
    /// How far the group's connected proxies have come with this snapshot.
    pub fn progress(&self, group: &str, snapshot: &Snapshot) -> Progress {
        let mut progress = Progress::default();
        for proxy in self.list() {
            if proxy.group == group && proxy.is_connected() {
                progress.add(&proxy, snapshot);
            }
        }
        progress
    }

    /// How far each of these proxies has come with its own snapshot. One that is not connected is
    /// waited for.
    pub fn progress_of(&self, targets: &[Target]) -> Progress {
        let (mut progress, list) = (Progress::default(), self.list());
        for target in targets {
            let found = list.iter().find(|proxy| {
                proxy.group == target.group && proxy.node == target.node && proxy.is_connected()
            });
            match found {
                Some(proxy) => progress.add(proxy, &target.snapshot),
                None => progress.waiting.push(target.node.clone()),
            }
        }
        progress
    }

    /// Waits until each of these proxies has taken its snapshot into use or one has refused it, but
    /// no longer than `patience`, and returns how far they came.
    pub async fn accepted_by(&self, targets: &[Target], patience: Duration) -> Progress {
        let decided = |progress: &Progress| progress.is_settled() || !progress.refused.is_empty();
        self.until(|| self.progress_of(targets), decided, patience).await
    }

    /// Waits until each of these proxies has taken its snapshot into use or refused it, but no
    /// longer than `patience`, and returns how far they came.
    pub async fn settled_each(&self, targets: &[Target], patience: Duration) -> Progress {
        self.until(|| self.progress_of(targets), Progress::is_settled, patience).await
    }

    /// Waits until [`Progress::is_settled`], but no longer than `patience`, and returns how far it
    /// came.
    pub async fn settled(&self, group: &str, snapshot: &Snapshot, patience: Duration) -> Progress {
        self.until(|| self.progress(group, snapshot), Progress::is_settled, patience).await
    }

    async fn until(
        &self,
        progress: impl Fn() -> Progress,
        enough: impl Fn(&Progress) -> bool,
        patience: Duration,
    ) -> Progress {
        let mut changes = self.watch();
        let waited = async {
            while !enough(&progress()) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        // Where time runs out, the progress itself says who has not answered.
        let _in_time = tokio::time::timeout(patience, waited).await.is_ok();
        progress()
    }
}
