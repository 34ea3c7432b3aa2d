//! Every promise in `tests/scenarios/`, over real Envoys.

use anyhow::{Context as _, Result, ensure};
use tests::{
    e2e::scenario_runner::RealEnvoy,
    scenario::{Deployment, run_all},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn real_envoy_keeps_every_promise() -> Result<()> {
    let deployment = Deployment::load()?;
    let envoy = RealEnvoy::start(&deployment).await?;
    let (envoy, kept) = tokio::task::spawn_blocking(move || {
        let mut envoy = envoy;
        let kept = run_all(&deployment, &mut envoy);
        (envoy, kept)
    })
    .await
    .context("the scenarios panicked")?;
    kept?;
    let connections = envoy.connections_by_worker().await?;
    println!("connections taken by each worker of the ingress: {connections:?}");
    ensure!(connections.len() == 2, "expected two workers, found {connections:?}");
    ensure!(connections.iter().all(|count| *count > 0), "a worker was idle: {connections:?}");
    Ok(())
}
