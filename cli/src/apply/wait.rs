//! Whether the connected proxies took a change.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::server::{Server, Status};

const PAUSE: Duration = Duration::from_millis(50);

/// Waits until every connected proxy has taken or refused what it was sent.
pub(super) async fn until_taken(server: &Server, patience: Duration) -> Result<()> {
    if patience.is_zero() {
        return Ok(());
    }
    let deadline = Instant::now() + patience;
    loop {
        let status = server.status().await?;
        refusals(&status)?;
        let waiting = waiting(&status);
        if waiting.is_empty() {
            let connected = status.proxies.iter().filter(|proxy| proxy.is_connected()).count();
            println!("in force at {connected} connected proxies");
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!(
                "applied, but not answered within {} s by {}; `bulkhead status` shows how it goes on",
                patience.as_secs_f64(),
                waiting.into_iter().collect::<Vec<_>>().join(", ")
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn waiting(status: &Status) -> BTreeSet<String> {
    status.groups.iter().flat_map(|group| group.waiting.clone()).collect()
}

fn refusals(status: &Status) -> Result<()> {
    let refused: Vec<String> = status
        .groups
        .iter()
        .flat_map(|group| &group.refused)
        .map(|it| format!("{} refused it: {}", it.node, it.refusal.message))
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    bail!("applied, but not taken; what was in force before still is\n{}", refused.join("\n"))
}
