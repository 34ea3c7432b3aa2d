//! A filter that traps denies until Envoy has made it anew, and serves from then on.
//!
//! The gate is the one that ships, with a trap planted into its built code: each of its VMs traps
//! at its [`NTH`] request. How long Envoy may wait before it makes a VM anew is a number that the
//! control plane sends, and is tested there.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use devstack::{
    dev_issuer::{AUDIENCE, DevIssuer, Org, TokenOptions},
    environment,
    envoy::Envoy,
    until,
};
use tests::e2e::{
    caller::{Answer, Caller},
    edge::{Edge, PATIENCE},
    planted::filters_with_a_trapping_gate,
    resources::{apply, head, rate_limit, tenant},
};

const SHARED: &str = "shared";
const SEAL_KEY: &str = "5ea1000000000000000000000000000000000000000000000000000000005ea1";
const PATH: &str = "/v2/models/air-time/infer";
const SERVED: &str = "org_served";

/// Which request of a VM traps.
const NTH: u16 = 20;
/// How many traps are waited for.
const TRAPS: usize = 3;
/// How often a denied caller asks again, at most; each time after [`PAUSE`].
const ATTEMPTS: usize = 600;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_gate_that_traps_denies_until_it_is_made_anew_and_then_serves() -> Result<()> {
    let folder = tempfile::TempDir::with_prefix("bulkhead-trap-")?;
    filters_with_a_trapping_gate(&environment::wasm_dir()?, folder.path(), NTH)?;
    let filters = folder.path().to_owned();
    let edge = Edge::start_with(&[SHARED], SEAL_KEY, filters, Default::default()).await?;
    // Of one worker, so that there is one VM and its requests can be counted.
    let ingress = edge.another_ingress("ingress-of-one-worker").await?;
    let issuer = DevIssuer::start([Org::new(SERVED.parse()?)]).await?;
    apply(edge.folder(), &edge.admin_url(), &resources(&edge, &issuer)?).await?;
    let asking = Asking {
        caller: Caller::new(&format!("http://{}", ingress.options().listen))?,
        token: issuer.token(SERVED, &TokenOptions::default())?,
    };
    until("the tenant to be served", PATIENCE, async || {
        Ok((asking.ask().await?.status == 200).then_some(()))
    })
    .await?;

    let before = reloads(&ingress).await?;
    let mut reached = edge.reached();
    let trap = asking.until_it_traps().await?;
    println!("{} more served, then {}", trap.served, trap.answer.shown());
    ensure!(edge.reached() == reached + trap.served, "the request that trapped went on");
    reached += trap.served;
    for round in 1..=TRAPS {
        let denied = asking.until_it_serves().await?;
        println!("trap {round}: {denied:?} before it was served again");
        ensure!(edge.reached() == reached + 1, "a denied request went on");
        let trap = asking.until_it_traps().await?;
        ensure!(edge.reached() == reached + 1 + trap.served, "what trapped went on");
        let expected = u64::from(NTH) - 2;
        ensure!(trap.served == expected, "expected {expected} served between, found {trap:?}");
        reached += 1 + trap.served;
    }
    let after = reloads(&ingress).await?;
    println!("VMs made anew: {before}, then {after}");
    ensure!(after - before >= TRAPS as u64, "expected {TRAPS} VMs made anew, found {after}");
    Ok(())
}

fn resources(edge: &Edge, issuer: &DevIssuer) -> Result<String> {
    let node = edge.node(SHARED)?;
    let mut yaml = head("DataPlane", SHARED);
    yaml.push_str(&format!(
        "  region: here\n  tiers: [pool]\n  endpoints: [{{address: {}, port: {}}}]\n",
        node.ip(),
        node.port()
    ));
    yaml.push_str(&tenant(SERVED, "pool", SHARED, &[&rate_limit(1_000_000, 1, 1_000_000)]));
    yaml.push_str(&head("Issuer", "its-own"));
    yaml.push_str(&format!(
        "  issuer: {}\n  audiences: [{AUDIENCE}]\n  orgs: [{SERVED}]\n",
        issuer.issuer_url(SERVED)
    ));
    Ok(yaml)
}

/// A caller that is to be served.
struct Asking {
    caller: Caller,
    token: String,
}

/// How it came to a trap.
#[derive(Debug)]
struct Trap {
    /// How many requests were served before.
    served: u64,
    /// What the request that trapped was answered.
    answer: Answer,
}

/// What was denied before a request was served.
#[derive(Debug)]
#[expect(dead_code, reason = "printed")]
struct Denied {
    requests: usize,
    milliseconds: u128,
}

impl Asking {
    async fn ask(&self) -> Result<Answer> {
        self.caller.get(PATH, Some(&self.token)).await
    }

    async fn until_it_traps(&self) -> Result<Trap> {
        for served in 0..u64::from(NTH) {
            let answer = self.ask().await?;
            if answer.status != 200 {
                denied(&answer)?;
                return Ok(Trap { served, answer });
            }
        }
        anyhow::bail!("expected a trap within {NTH} requests, found each served")
    }

    async fn until_it_serves(&self) -> Result<Denied> {
        let start = Instant::now();
        for requests in 0..ATTEMPTS {
            let answer = self.ask().await?;
            if answer.status == 200 {
                return Ok(Denied { requests, milliseconds: start.elapsed().as_millis() });
            }
            denied(&answer)?;
            tokio::time::sleep(PAUSE).await;
        }
        anyhow::bail!("expected the gate to serve again, found {ATTEMPTS} requests denied")
    }
}

/// Envoy denies by itself, without a reason: the filter that would give one is not there.
fn denied(answer: &Answer) -> Result<()> {
    ensure!(answer.status == 503, "expected 503, found {}", answer.shown());
    Ok(())
}

/// How often Envoy has made a VM of the gate anew.
async fn reloads(ingress: &Envoy) -> Result<u64> {
    let stats = ingress.stats("vm_reload").await?;
    println!("{stats:?}");
    let of_the_gate = |name: &str| name.contains("gate") && name.ends_with("vm_reload_success");
    let found = stats.iter().find(|(name, _)| of_the_gate(name));
    Ok(found.context("expected the counter vm_reload_success of the gate")?.1)
}
