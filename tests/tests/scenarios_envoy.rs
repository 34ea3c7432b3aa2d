//! Every promise in `tests/scenarios/`, over real Envoys.

use anyhow::{Context as _, Result, ensure};
use scenario::{Native, Verification};
use tests::{decide_alike, e2e::scenario_runner::RealEnvoy, keep_every_promise, scenarios};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn real_envoy_keeps_every_promise_and_decides_as_the_native_core_does() -> Result<()> {
    let suite = scenarios()?;
    let deployment = suite.deployment(0).context("there are scenarios")?.clone();
    let envoy = RealEnvoy::start(&suite.data_planes()?, deployment.seal_key()).await?;
    let (envoy, kept) = tokio::task::spawn_blocking(move || {
        let mut envoy = envoy;
        let kept = keep_every_promise(&suite, &mut envoy).and_then(|over_envoy| {
            let native = keep_every_promise(&suite, &mut Native::new(Verification::ByHost))?;
            decide_alike(&suite, &over_envoy, &native)
        });
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
