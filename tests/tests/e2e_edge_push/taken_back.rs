//! A push that is taken back while requests of the one before it are open.
//!
//! Envoy keeps a configuration for as long as a stream of it is open, and goes back to it without
//! configuring the filter again. So whoever holds a request open must not be able to keep in force
//! what an operator has taken back.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context as _, Result, ensure};
use devstack::until;
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use prost::Name as _;
use tests::e2e::{
    caller::Answer,
    edge::PATIENCE,
    resources::{head, rate_limit, tenant},
    scenario_runner::connections_by_worker,
};
use tokio::task::JoinSet;

use super::{LOADED, PATH, SHARED, Setting};

/// Whose data plane takes requests and answers none.
pub(super) const HELD: &str = "org_held";
const SILENT: &str = "silent";

/// How many requests are held open, each over a connection of its own, so that every worker has one.
const OPEN: usize = 16;

pub(super) async fn what_is_taken_back_is_in_force_no_more_though_requests_are_held_open(
    setting: &Setting,
) -> Result<()> {
    let silent = TcpListener::bind("127.0.0.1:0")?;
    setting.apply(&silent_plane(silent.local_addr()?)).await?;
    let before = setting.configuration()?;
    let connections = connections_by_worker(&setting.edge).await?;
    let held = setting.hold(OPEN).await?;
    let workers = connections_by_worker(&setting.edge).await?;
    ensure!(
        workers.iter().zip(&connections).all(|(now, then)| now > then),
        "expected a held request at each worker, found {connections:?}, then {workers:?}"
    );

    setting.apply(&loaded("suspended: true")).await?;
    setting.answers_everywhere(403).await?;
    setting.apply(&loaded("suspended: false")).await?;
    ensure!(setting.configuration()? == before, "expected what was in force before, found another");
    setting.answers_everywhere(200).await?;
    ensure!(held.len() == OPEN, "expected every held request to be open still");
    drop((held, silent));
    Ok(())
}

fn silent_plane(at: SocketAddr) -> String {
    let mut yaml = head("DataPlane", SILENT);
    yaml.push_str(&format!(
        "  region: here\n  tiers: [pool]\n  endpoints: [{{address: {}, port: {}}}]\n",
        at.ip(),
        at.port()
    ));
    yaml.push_str(&tenant(HELD, "pool", SILENT, &[&rate_limit(1000, 1, 1000)]));
    yaml
}

fn loaded(suspended: &str) -> String {
    tenant(LOADED, "pool", SHARED, &[&rate_limit(1_000_000, 1, 1_000_000), suspended])
}

impl Setting {
    /// The gate's code and table as the control plane sends them.
    fn configuration(&self) -> Result<Vec<u8>> {
        let sent = self.edge.control().store.get(&self.edge.ingress_group());
        let sent = sent.context("the ingress has not come")?;
        let extensions = sent.of_type(&TypedExtensionConfig::type_url());
        let (_, gate) = extensions.iter().next().context("no filter is sent")?;
        Ok(gate.value().to_vec())
    }

    /// Requests that are on their way until this is dropped.
    async fn hold(&self, count: usize) -> Result<JoinSet<Result<Answer>>> {
        let mut held = JoinSet::new();
        for _ in 0..count {
            let (caller, token) = (self.caller()?, self.token(HELD)?);
            held.spawn(async move { caller.get(PATH, Some(&token)).await });
        }
        until("the requests to be on their way", PATIENCE, async || {
            let stats = self.edge.ingress().stats("silent.upstream_rq_active").await?;
            Ok(stats.iter().any(|(_, active)| *active == count as u64).then_some(()))
        })
        .await?;
        Ok(held)
    }

    /// Waits until every worker answers so: one takes a table when its turn comes, which is later
    /// than Envoy acknowledges it.
    async fn answers_everywhere(&self, status: u16) -> Result<()> {
        until(&format!("every worker to answer {status}"), PATIENCE, async || {
            for _ in 0..OPEN {
                let (caller, token) = (self.caller()?, self.token(LOADED)?);
                if caller.get(PATH, Some(&token)).await?.status != status {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await
    }
}
