//! New filter code reaches Envoys that run, with an upgrade of the control plane under load, and
//! Envoys that start without any.
//!
//! What stands for new code is the filters' own with some words of one denial changed, so that
//! every answer to a request without a token tells which code decided.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context as _, Result, ensure};
use devstack::{
    dev_issuer::{AUDIENCE, DevIssuer, Org, TokenOptions},
    environment, until,
};
use tests::e2e::{
    caller::Caller,
    edge::{Edge, PATIENCE},
    load::Load,
    resources::{apply, head, rate_limit, tenant},
    scenario_runner::connections_by_worker,
};

const SHARED: &str = "shared";
const SEAL_KEY: &str = "5ea1000000000000000000000000000000000000000000000000000000005ea1";
const PATH: &str = "/v2/models/air-time/infer";

/// Whose every request passes, and whose identity provider speaks for both.
const LOADED: &str = "org_loaded";
/// Whose burst is spent in two halves, with the new code between.
const COUNTED: &str = "org_counted";
const BURST: u32 = 25;
const FIRST: usize = 10;

/// What the old code says to a request without a token, and what the new code says instead.
const OLD: &str = "expected the header `authorization: Bearer";
const NEW: &str = "Expected the Header `authorization: Bearer";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn new_filter_code_is_taken_by_running_envoys_without_a_failed_request() -> Result<()> {
    let built = environment::wasm_dir()?;
    let edge = Edge::start_with(&[SHARED], SEAL_KEY, built.clone(), Default::default()).await?;
    let issuer = DevIssuer::start([Org::new(LOADED.parse()?)]).await?;
    apply(edge.folder(), &edge.admin_url(), &resources(&edge, &issuer)?).await?;
    served(&edge, &issuer).await?;
    let said = said_by_fresh_connections(&edge.url()).await?;
    ensure!(said.new == 0 && said.old > 0, "expected the old code, found {said:?}");
    let passed = flood(&edge.url(), &issuer, FIRST).await?;
    ensure!(passed == FIRST, "expected {FIRST} of {COUNTED} served, found {passed}");

    let load = load(&edge.url(), &issuer)?;
    let prober = Prober::start(&edge.url())?;
    load.answers(100).await?;
    let pids = pids(&edge);
    let folder = edge.folder().join("new-code");
    changed_code(&built, &folder)?;
    let edge = edge.upgrade_control(folder).await?;
    until("the new code to decide everywhere", PATIENCE, async || {
        Ok((said_by_fresh_connections(&edge.url()).await?.old == 0).then_some(()))
    })
    .await?;
    load.answers(200).await?;
    let outcomes = load.stop().await?;
    let probed = prober.stop().await?;
    println!("under the upgrade {} served, others {:?}", outcomes.served, outcomes.others);
    println!("without a token: {probed:?}");
    outcomes.all_served()?;
    ensure!(probed.old > 0 && probed.new > 0, "expected both codes to answer, found {probed:?}");
    ensure!(probed.back == 0, "once new, a connection stays with new code, found {probed:?}");
    ensure!(pids == self::pids(&edge), "an Envoy was started again");
    nobody_refuses_anything(&edge).await?;

    let workers = connections_by_worker(&edge).await?;
    ensure!(workers.len() == 2 && workers.iter().all(|taken| *taken > 0), "found {workers:?}");
    let rest = BURST as usize - FIRST;
    let passed = flood(&edge.url(), &issuer, 60).await?;
    ensure!(passed == rest, "expected the {rest} that were left to pass, found {passed}");
    an_envoy_that_starts_without_code_refuses_everybody_until_it_has_it(&edge, &issuer).await
}

/// To fetch code is no refusal, and ends. A node may come back to the new control plane only now.
async fn nobody_refuses_anything(edge: &Edge) -> Result<()> {
    until("every proxy to have its code", PATIENCE, async || {
        let proxies = edge.control().proxies.list();
        for proxy in &proxies {
            ensure!(proxy.last_refusal.is_none(), "found a refusal: {proxy:?}");
        }
        let mut types = proxies.iter().flat_map(|proxy| proxy.types.values());
        Ok(types.all(|status| status.fetching.is_none()).then_some(()))
    })
    .await
}

async fn an_envoy_that_starts_without_code_refuses_everybody_until_it_has_it(
    edge: &Edge,
    issuer: &DevIssuer,
) -> Result<()> {
    let (url, token) = (edge.url(), token(issuer, LOADED)?);
    let (ingress, reached) = (edge.ingress().service(), edge.reached());
    ingress.stop();
    ingress.start_again()?;
    let mut seen = BTreeMap::new();
    until("the ingress that was started again to serve", PATIENCE, async || {
        let Ok(answer) = Caller::new(&url)?.get(PATH, None).await else { return Ok(None) };
        // Envoy's own answer while it has no filter, or the gate's.
        ensure!([500, 401].contains(&answer.status), "without a token: {}", answer.shown());
        *seen.entry(answer.status).or_insert(0) += 1;
        let served = Caller::new(&url)?.get(PATH, Some(&token)).await?.status == 200;
        Ok(served.then_some(()))
    })
    .await?;
    println!("without a token, after the start: {seen:?}");
    ensure!(edge.reached() == reached + 1, "a request went past the gate that was not there");
    edge.ingress().ready(PATIENCE).await?;
    nobody_refuses_anything(edge).await
}

/// The filters from `built` in `folder`, with the words changed.
fn changed_code(built: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for filter in ["gate.wasm", "recheck.wasm"] {
        let mut code = fs::read(built.join(filter))?;
        let places: Vec<usize> = code
            .windows(OLD.len())
            .enumerate()
            .filter(|(_, window)| *window == OLD.as_bytes())
            .map(|(place, _)| place)
            .collect();
        ensure!(filter != "gate.wasm" || !places.is_empty(), "the gate does not say `{OLD}`");
        for place in places {
            let words = code.get_mut(place..place + OLD.len()).context("a place in the code")?;
            words.copy_from_slice(NEW.as_bytes());
        }
        // A custom section, which means nothing: the recheck is other code too.
        code.extend(b"\x00\x05\x04test");
        fs::write(folder.join(filter), code)?;
    }
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
    yaml.push_str(&tenant(LOADED, "pool", SHARED, &[&rate_limit(1_000_000, 1, 1_000_000)]));
    yaml.push_str(&tenant(COUNTED, "pool", SHARED, &[&rate_limit(1, 3600, BURST)]));
    yaml.push_str(&head("Issuer", "everybodys"));
    yaml.push_str(&format!(
        "  issuer: {}\n  audiences: [{AUDIENCE}]\n  orgs: [{LOADED}, {COUNTED}]\n",
        issuer.issuer_url(LOADED)
    ));
    Ok(yaml)
}

fn token(issuer: &DevIssuer, org: &str) -> Result<String> {
    let options = TokenOptions { claimed_org: Some(org.to_owned()), ..TokenOptions::default() };
    issuer.token(LOADED, &options)
}

async fn served(edge: &Edge, issuer: &DevIssuer) -> Result<()> {
    let (caller, token) = (Caller::new(&edge.url())?, token(issuer, LOADED)?);
    until("the load's tenant to be served", PATIENCE, async || {
        Ok((caller.get(PATH, Some(&token)).await?.status == 200).then_some(()))
    })
    .await
}

/// A load over eight connections.
fn load(url: &str, issuer: &DevIssuer) -> Result<Load> {
    let asks = (0..8).map(|_| {
        let (caller, token) = (Caller::new(url)?, token(issuer, LOADED)?);
        Ok(move || {
            let (caller, token) = (caller.clone(), token.clone());
            async move { caller.get(PATH, Some(&token)).await }
        })
    });
    Ok(Load::start(asks.collect::<Result<Vec<_>>>()?))
}

/// How many of so many requests were served.
async fn flood(url: &str, issuer: &DevIssuer, count: usize) -> Result<usize> {
    let (caller, token) = (Caller::new(url)?, token(issuer, COUNTED)?);
    let mut served = 0;
    for _ in 0..count {
        served += usize::from(caller.get(PATH, Some(&token)).await?.status == 200);
    }
    Ok(served)
}

/// Which code answered how often.
#[derive(Debug, Default)]
struct Said {
    old: usize,
    new: usize,
    /// How often the old one answered after the new one had, on one connection.
    back: usize,
}

impl Said {
    async fn ask(&mut self, caller: &Caller) -> Result<()> {
        let answer = caller.get(PATH, None).await?;
        answer.denied(401, "missing_credentials")?;
        let text = String::from_utf8_lossy(&answer.body);
        if text.contains(NEW) {
            self.new += 1;
        } else {
            ensure!(text.contains(OLD), "neither code says this: {text}");
            self.back += usize::from(self.new > 0);
            self.old += 1;
        }
        Ok(())
    }
}

/// Twenty connections, so that both workers take some.
async fn said_by_fresh_connections(url: &str) -> Result<Said> {
    let mut said = Said::default();
    for _ in 0..20 {
        said.ask(&Caller::new(url)?).await?;
    }
    Ok(said)
}

/// Asks without a token, over one connection, all the time.
struct Prober {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Result<Said>>,
}

impl Prober {
    fn start(url: &str) -> Result<Self> {
        let (stop, caller) = (Arc::new(AtomicBool::new(false)), Caller::new(url)?);
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut said = Said::default();
            while !stopped.load(Ordering::Relaxed) {
                said.ask(&caller).await?;
            }
            Ok(said)
        });
        Ok(Self { stop, task })
    }

    async fn stop(self) -> Result<Said> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

fn pids(edge: &Edge) -> BTreeMap<PathBuf, Option<u32>> {
    let service = edge.ingress().service();
    BTreeMap::from([(service.launch().log.clone(), service.pid())])
}
