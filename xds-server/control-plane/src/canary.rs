//! Canaries: a candidate is sent to some proxies before it is committed, and taken back from them
//! where one refuses it or says nothing.

use std::time::Duration;

use policy_model::{resolved::Resolved, table::TableError};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedMutexGuard;
use xds::{ProxyStatus, RefusedBy, SnapshotStore, Target};

use crate::{publisher::Publisher, topology::Role};

/// Which proxies are to try a candidate first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CanarySelection {
    /// So many of a hundred of the gateways, of the nodes and of the sidecars that are connected;
    /// at least one of each kind that there is. The same ones each time.
    Percent(u8),
    /// The proxy with this node id.
    Proxy(String),
}

/// How the canaries took a candidate.
#[derive(Debug)]
pub enum CanaryOutcome {
    /// All of them run it, and go on doing so for as long as [`HeldCanary`] lives.
    Accepted {
        /// Their node ids.
        proxies: Vec<String>,
        /// Keep it until the candidate is committed and published, or given up.
        held: HeldCanary,
    },
    /// One refused it. All were sent what was in force before.
    Refused {
        /// Who refused what, in the proxy's words.
        refusals: Vec<RefusedBy>,
        /// Canaries that had not confirmed their way back when patience ended.
        unsettled: Vec<String>,
    },
    /// One did not answer in time. All were sent what was in force before.
    NoAnswer {
        /// Who did not answer.
        proxies: Vec<String>,
        /// Canaries that had not confirmed their way back when patience ended.
        unsettled: Vec<String>,
    },
    /// The selection names nobody who is connected.
    Nobody {
        /// Who is.
        connected: Vec<String>,
    },
}

/// Canaries that run a candidate which the others do not have. Dropping it serves them what their
/// groups are served, which is no push where that is the candidate by then.
#[derive(Debug)]
#[must_use = "dropping it takes the candidate back from the canaries"]
pub struct HeldCanary {
    store: SnapshotStore,
    /// Group and node id.
    proxies: Vec<(String, String)>,
    /// There is one canary at a time.
    _turn: OwnedMutexGuard<()>,
}

impl HeldCanary {
    fn serve(store: &SnapshotStore, turn: OwnedMutexGuard<()>, targets: &[Target]) -> Self {
        let mut held = Self { store: store.clone(), proxies: Vec::new(), _turn: turn };
        for Target { group, node, snapshot } in targets {
            held.proxies.push((group.clone(), node.clone()));
            store.set_override(group, node, snapshot.clone());
        }
        held
    }
}

impl Drop for HeldCanary {
    fn drop(&mut self) {
        for (group, node) in &self.proxies {
            self.store.clear_override(group, node);
        }
    }
}

impl Publisher {
    /// Sends `candidate` to the proxies of `selection` alone and waits until each has taken it into
    /// use, one has refused it, or `patience` has ended. Unless all accept it, they are sent what
    /// was in force before, and that is awaited as long again. A candidate that is dropped while
    /// this waits is taken back too.
    ///
    /// # Errors
    /// [`TableError`] where the candidate does not fit into a table; nobody was sent anything.
    pub async fn canary(
        &self,
        candidate: &Resolved,
        selection: &CanarySelection,
        patience: Duration,
    ) -> Result<CanaryOutcome, TableError> {
        let turn = self.canary_turn().await;
        let (revision, targets) =
            self.candidate(candidate, |proxies| chosen(proxies, selection))?;
        if targets.is_empty() {
            return Ok(CanaryOutcome::Nobody { connected: self.connected() });
        }
        let nodes: Vec<String> = targets.iter().map(|target| target.node.clone()).collect();
        tracing::info!(revision, ?nodes, "canary");
        let held = HeldCanary::serve(self.store(), turn, &targets);
        let progress = self.proxies().accepted_by(&targets, patience).await;
        if progress.is_settled() && progress.refused.is_empty() {
            return Ok(CanaryOutcome::Accepted { proxies: nodes, held });
        }
        drop(held);
        let unsettled = self.restored(&targets, &progress.waiting, patience).await;
        tracing::warn!(revision, refused = ?progress.refused, ?unsettled, "canary taken back");
        Ok(match progress.refused.is_empty() {
            true => CanaryOutcome::NoAnswer { proxies: progress.waiting, unsettled },
            false => CanaryOutcome::Refused { refusals: progress.refused, unsettled },
        })
    }

    /// Waits until those who answered have gone back. Who said nothing before is not waited for.
    async fn restored(
        &self,
        targets: &[Target],
        silent: &[String],
        patience: Duration,
    ) -> Vec<String> {
        let back: Vec<Target> = targets
            .iter()
            .filter(|target| !silent.contains(&target.node))
            .filter_map(|target| {
                let snapshot = self.store().served(&target.group, &target.node)?;
                Some(Target { snapshot, ..target.clone() })
            })
            .collect();
        let progress = self.proxies().settled_each(&back, patience).await;
        let refused = progress.refused.into_iter().map(|refused| refused.node);
        progress.waiting.into_iter().chain(refused).chain(silent.iter().cloned()).collect()
    }
}

/// The proxies that are to try it, of those that are connected.
fn chosen(proxies: &[(ProxyStatus, Role)], selection: &CanarySelection) -> Vec<ProxyStatus> {
    let percent = match selection {
        CanarySelection::Proxy(name) => {
            let named = proxies.iter().filter(|(proxy, _)| proxy.node == *name);
            return named.map(|(proxy, _)| proxy.clone()).collect();
        }
        CanarySelection::Percent(percent) => usize::from(*percent),
    };
    let kinds: [fn(&Role) -> bool; 3] = [
        |role| matches!(role, Role::Gateway { .. }),
        |role| matches!(role, Role::Node { .. }),
        |role| matches!(role, Role::Sidecar { .. }),
    ];
    let mut all = Vec::new();
    for is_kind in kinds {
        let mut of_kind: Vec<&ProxyStatus> =
            proxies.iter().filter(|(_, role)| is_kind(role)).map(|(proxy, _)| proxy).collect();
        // By a hash and not by name: names that begin alike are often of one place.
        of_kind.sort_by_key(|proxy| Sha256::digest(&proxy.node));
        let count = (of_kind.len() * percent).div_ceil(100).max(1);
        all.extend(of_kind.into_iter().take(count).cloned());
    }
    all
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use xds::Variant;

    use super::*;

    fn proxy(node: String, role: Role) -> (ProxyStatus, Role) {
        let status = ProxyStatus {
            node,
            group: role.to_string(),
            user_agent: String::new(),
            variant: Variant::Delta,
            connected_since: "2026-11-21T00:00:00Z".parse().unwrap(),
            gone_since: None,
            types: Default::default(),
            last_refusal: None,
        };
        (status, role)
    }

    fn fleet() -> Vec<(ProxyStatus, Role)> {
        let gateway = Role::Gateway { listen: ([127, 0, 0, 1], 80).into() };
        let sidecar = Role::Sidecar { data_plane: "shared".parse().unwrap() };
        let gateways = (0..20).map(|i| proxy(format!("gateway-{i}"), gateway.clone()));
        let sidecars = (0..3).map(|i| proxy(format!("sidecar-{i}"), sidecar.clone()));
        gateways.chain(sidecars).collect()
    }

    #[test]
    fn a_percentage_is_of_each_kind_and_at_least_one() {
        let count = |percent: u8| {
            let chosen = chosen(&fleet(), &CanarySelection::Percent(percent));
            let gateways = chosen.iter().filter(|it| it.node.starts_with("gateway")).count();
            (gateways, chosen.len() - gateways)
        };
        assert_eq!(count(1), (1, 1));
        assert_eq!(count(10), (2, 1));
        assert_eq!(count(50), (10, 2));
        assert_eq!(count(100), (20, 3));
    }

    #[test]
    fn the_same_proxies_are_canaries_each_time_and_more_of_them_with_more_percent() {
        let nodes = |percent: u8, fleet: &[(ProxyStatus, Role)]| -> Vec<String> {
            let chosen = chosen(fleet, &CanarySelection::Percent(percent));
            chosen.into_iter().map(|it| it.node).filter(|it| it.starts_with("gateway")).collect()
        };
        let mut backwards = fleet();
        backwards.reverse();
        assert_eq!(nodes(10, &fleet()), nodes(10, &backwards));
        let few = nodes(10, &fleet());
        assert_eq!(nodes(30, &fleet()).get(..few.len()), Some(few.as_slice()));
    }

    #[test]
    fn a_proxy_that_is_not_there_is_nobody() {
        let selection = CanarySelection::Proxy("gateway-99".to_owned());
        assert!(chosen(&fleet(), &selection).is_empty());
        let selection = CanarySelection::Proxy("gateway-7".to_owned());
        assert_eq!(chosen(&fleet(), &selection).len(), 1);
    }
}
