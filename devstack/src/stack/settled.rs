//! Whether every proxy has taken what it was sent, as the xds-server's status says.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{http, until};

#[derive(Debug, Deserialize)]
struct Status {
    proxies: Vec<Proxy>,
}

#[derive(Debug, Deserialize)]
struct Proxy {
    node: String,
    gone_since: Option<String>,
    types: BTreeMap<String, Type>,
}

#[derive(Debug, Deserialize)]
struct Type {
    sent: Option<String>,
    in_force: Option<String>,
    refusal: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    message: String,
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
        refusal_of(&status)?;
        waiting.clone_from(node);
        Ok(None)
    })
    .await;
    waited.with_context(|| format!("waiting for {waiting}"))
}

fn has_all(status: &Status, node: &str) -> bool {
    status.proxies.iter().any(|proxy| {
        let is_current =
            |it: &Type| it.in_force.is_some() && it.in_force == it.sent && it.refusal.is_none();
        proxy.node == node
            && proxy.gone_since.is_none()
            && !proxy.types.is_empty()
            && proxy.types.values().all(is_current)
    })
}

fn refusal_of(status: &Status) -> Result<()> {
    for proxy in &status.proxies {
        for (type_url, it) in &proxy.types {
            if let Some(refusal) = &it.refusal {
                bail!("{} refused its {type_url}: {}", proxy.node, refusal.message);
            }
        }
    }
    Ok(())
}
