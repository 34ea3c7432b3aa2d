//! Whether every proxy has taken what it was sent, as the xds-server's status says.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{http, until};

#[derive(Debug, Deserialize)]
struct Status {
    groups: Vec<Group>,
    proxies: Vec<Proxy>,
}

/// How far the proxies of one group have come with what they are to have.
#[derive(Debug, Deserialize)]
struct Group {
    accepted: Vec<String>,
    refused: Vec<Refused>,
}

#[derive(Debug, Deserialize)]
struct Refused {
    node: String,
    type_url: String,
    refusal: Refusal,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    message: String,
}

#[derive(Debug, Deserialize)]
struct Proxy {
    node: String,
    gone_since: Option<String>,
    types: BTreeMap<String, serde::de::IgnoredAny>,
}

/// Waits until the proxies called `nodes` are connected and have everything in force.
pub(super) async fn settled(server: &str, nodes: &[String], patience: Duration) -> Result<()> {
    let url = format!("{server}/v1/status");
    let mut waiting = String::new();
    let waited = until("every proxy to take what it was sent", patience, async || {
        let answer = http::get(&url).await?;
        let status: Status = serde_json::from_slice(&answer.body)
            .with_context(|| format!("expected a status of {url}, found `{}`", answer.text()))?;
        let Some(node) = nodes.iter().find(|node| !has_all(&status, node)) else {
            return Ok(Some(()));
        };
        if let Some(Refused { node, type_url, refusal }) =
            status.groups.iter().flat_map(|group| &group.refused).next()
        {
            bail!("{node} refused its {type_url}: {}", refusal.message);
        }
        waiting.clone_from(node);
        Ok(None)
    })
    .await;
    waited.with_context(|| format!("waiting for {waiting}"))
}

/// A proxy that has asked for nothing yet lacks nothing, so it must have asked.
fn has_all(status: &Status, node: &String) -> bool {
    let is_there = |proxy: &Proxy| {
        proxy.node == *node && proxy.gone_since.is_none() && !proxy.types.is_empty()
    };
    status.proxies.iter().any(is_there)
        && status.groups.iter().any(|group| group.accepted.contains(node))
}
