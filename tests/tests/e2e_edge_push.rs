//! Pushes and limits at the edge, with real Envoys and an echo behind them.
//!
//! The edge is started once, and what follows are its steps in order: each is a promise of its
//! own, and says in its name which.

#[path = "e2e_edge_push/refused.rs"]
mod refused;
#[path = "e2e_edge_push/taken_back.rs"]
mod taken_back;

use std::{fs, net::SocketAddr};

use anyhow::{Context as _, Result, ensure};
use devstack::{
    dev_issuer::{AUDIENCE, DevIssuer, Org, TokenOptions},
    until,
};
use envoy_types::pb::{
    envoy::{config::core::v3::TypedExtensionConfig, extensions::filters::http::wasm::v3::Wasm},
    google::protobuf::{Any, BytesValue},
};
use prost::{Message as _, Name as _};
use tests::e2e::{
    caller::{Answer, Caller},
    echo::REACHED,
    edge::{Edge, PATIENCE},
    load::Load,
    resources::{self, apply, head, rate_limit, tenant},
    scenario_runner::connections_by_worker,
};
use xds::Snapshot;

const SHARED: &str = "shared";
const SEAL_KEY: &str = "5ea1000000000000000000000000000000000000000000000000000000005ea1";
const PATH: &str = "/v2/models/air-time/infer";

/// How many requests those with a small limit may send in an hour.
const BURST: u32 = 25;

/// How many requests the one with a large limit may send in an hour: so many that a worker does
/// not ask the shared bucket for each.
const LARGE_BURST: u32 = 320;

/// Whose every request passes, and whose identity provider speaks for all of them.
const LOADED: &str = "org_loaded";
/// Whose limit is changed again and again, so that the table changes.
const CHANGED: &str = "org_changed";
/// Whose burst is spent at once.
const FLOODING: &str = "org_flooding";
/// Whose large burst is spent at once.
const LARGE: &str = "org_large";
/// Whose burst is spent in two halves, with pushes between.
const COUNTED: &str = "org_counted";
const ORGS: [&str; 6] = [LOADED, CHANGED, FLOODING, LARGE, COUNTED, taken_back::HELD];

struct Setting {
    edge: Edge,
    issuer: DevIssuer,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_edge_under_pushes() -> Result<()> {
    let setting = Setting::start().await?;
    a_burst_over_the_limit_passes_exactly_over_two_workers(&setting).await?;
    a_large_burst_over_the_limit_passes_within_its_bound_over_two_workers(&setting).await?;
    a_table_push_under_load_fails_no_request_and_refills_no_bucket(&setting).await?;
    taken_back::what_is_taken_back_is_in_force_no_more_though_requests_are_held_open(&setting)
        .await?;
    refused::a_check_that_is_no_cel_is_refused_and_changes_nothing(&setting).await?;
    refused::a_table_that_would_be_too_large_is_refused_and_changes_nothing(&setting).await?;
    a_corrupt_table_is_refused_and_told_with_the_old_one_serving(&setting).await?;
    a_good_table_after_a_corrupt_one_is_taken(&setting).await
}

impl Setting {
    async fn start() -> Result<Self> {
        let issuer = DevIssuer::start([Org::new(LOADED.parse()?)]).await?;
        let edge = Edge::start(&[SHARED], SEAL_KEY).await?;
        let setting = Self { edge, issuer };
        let printed = setting.apply(&setting.resources()?).await?;
        println!("bulkhead apply:\n{printed}");
        setting.served(LOADED).await?;
        Ok(setting)
    }

    fn resources(&self) -> Result<String> {
        let node: SocketAddr = self.edge.node(SHARED)?;
        let mut yaml = head("DataPlane", SHARED);
        yaml.push_str(&format!(
            "  region: here\n  tiers: [pool]\n  endpoints: [{{address: {}, port: {}}}]\n",
            node.ip(),
            node.port()
        ));
        yaml.push_str(&tenant(LOADED, "pool", SHARED, &[&rate_limit(1_000_000, 1, 1_000_000)]));
        yaml.push_str(&changed(1000));
        for org in [FLOODING, COUNTED] {
            yaml.push_str(&tenant(org, "pool", SHARED, &[&rate_limit(1, 3600, BURST)]));
        }
        yaml.push_str(&tenant(LARGE, "pool", SHARED, &[&rate_limit(1, 3600, LARGE_BURST)]));
        let (issuer, orgs) = (self.issuer.issuer_url(LOADED), ORGS.join(", "));
        yaml.push_str(&head("Issuer", "everybodys"));
        yaml.push_str(&format!(
            "  issuer: {issuer}\n  audiences: [{AUDIENCE}]\n  orgs: [{orgs}]\n"
        ));
        Ok(yaml)
    }

    async fn apply(&self, yaml: &str) -> Result<String> {
        apply(self.edge.folder(), &self.edge.admin_url(), yaml).await
    }

    fn token(&self, org: &str) -> Result<String> {
        let options = TokenOptions { claimed_org: Some(org.to_owned()), ..TokenOptions::default() };
        self.issuer.token(LOADED, &options)
    }

    fn caller(&self) -> Result<Caller> {
        Caller::new(&self.edge.url())
    }

    /// Waits until `org` is served: the issuer's keys have been fetched and pushed.
    async fn served(&self, org: &str) -> Result<()> {
        let (caller, token) = (self.caller()?, self.token(org)?);
        until(&format!("{org} to be served"), PATIENCE, async || {
            Ok((caller.get(PATH, Some(&token)).await?.status == 200).then_some(()))
        })
        .await
    }

    /// A load over eight connections.
    fn load(&self) -> Result<Load> {
        let asks = (0..8).map(|_| {
            let (caller, token) = (self.caller()?, self.token(LOADED)?);
            Ok(move || {
                let (caller, token) = (caller.clone(), token.clone());
                async move { caller.get(PATH, Some(&token)).await }
            })
        });
        Ok(Load::start(asks.collect::<Result<Vec<_>>>()?))
    }

    /// Sends `count` requests of `org`, each over a connection of its own and all at once.
    async fn flood(&self, org: &str, count: usize) -> Result<Vec<Answer>> {
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..count {
            let (caller, token) = (self.caller()?, self.token(org)?);
            requests.spawn(async move { caller.get(PATH, Some(&token)).await });
        }
        requests.join_all().await.into_iter().collect()
    }
}

/// The tenant whose limit changes.
fn changed(requests: u32) -> String {
    tenant(CHANGED, "pool", SHARED, &[&rate_limit(requests, 1, 2000)])
}

/// How many were served; all others must be told that the limit is reached.
fn served_of(answers: &[Answer]) -> Result<usize> {
    let (served, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.status == 200);
    for answer in served.iter().copied() {
        ensure!(answer.headers.contains_key(REACHED), "not from behind: {}", answer.shown());
    }
    for answer in refused.iter().copied() {
        answer.denied(429, "rate_limited")?;
        ensure!(answer.headers.contains_key("retry-after"), "found {:?}", answer.headers);
    }
    Ok(served.len())
}

/// The bound is exact: the bucket regains a request an hour, and the test takes seconds.
async fn a_burst_over_the_limit_passes_exactly_over_two_workers(setting: &Setting) -> Result<()> {
    let before = connections_by_worker(&setting.edge).await?;
    let served = served_of(&setting.flood(FLOODING, 100).await?)?;
    let after = connections_by_worker(&setting.edge).await?;
    let taken: Vec<u64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    println!("100 at once, limit {BURST}: {served} served; connections by worker: {taken:?}");
    ensure!(served == BURST as usize, "expected {BURST} served, found {served}");
    ensure!(taken.len() == 2 && taken.iter().all(|it| *it > 0), "found {taken:?}");
    Ok(())
}

/// The bound that `filters/filter-core/src/rate/mod.rs` states: a 64th more for each worker but one.
async fn a_large_burst_over_the_limit_passes_within_its_bound_over_two_workers(
    setting: &Setting,
) -> Result<()> {
    let served = served_of(&setting.flood(LARGE, 500).await?)?;
    let (burst, more) = (LARGE_BURST as usize, LARGE_BURST as usize / 64);
    println!("500 at once, limit {LARGE_BURST}: {served} served");
    ensure!(
        (burst..=burst + more).contains(&served),
        "expected {burst} to {more} more, found {served}"
    );
    Ok(())
}

async fn a_table_push_under_load_fails_no_request_and_refills_no_bucket(
    setting: &Setting,
) -> Result<()> {
    const PUSHES: u32 = 10;
    const FIRST: usize = 10;
    let served = served_of(&setting.flood(COUNTED, FIRST).await?)?;
    ensure!(served == FIRST, "expected {FIRST} served, found {served}");

    let reloads = setting.reloads().await?;
    let load = setting.load()?;
    for push in 1..=PUSHES {
        load.answers(50).await?;
        setting.apply(&changed(1000 + push)).await?;
    }
    load.answers(200).await?;
    let outcomes = load.stop().await?;
    let taken = setting.reloads().await? - reloads;
    println!(
        "{taken} tables taken under {} requests, others {:?}",
        outcomes.served, outcomes.others
    );
    outcomes.all_served()?;
    ensure!(taken >= u64::from(PUSHES), "expected {PUSHES} tables taken, found {taken}");

    let rest = BURST as usize - FIRST;
    let served = served_of(&setting.flood(COUNTED, 60).await?)?;
    println!("of 60 after the pushes {served} served, {FIRST} before them");
    ensure!(served == rest, "expected the {rest} that were left to pass, found {served}");
    Ok(())
}

impl Setting {
    /// How many gate configurations the ingress has taken into use.
    async fn reloads(&self) -> Result<u64> {
        let stats = self.edge.ingress().stats("bulkhead.gate.*config_reload").await?;
        Ok(stats.first().with_context(|| format!("no such counter among {stats:?}"))?.1)
    }
}

/// What may be wrong with a table that is pushed: what is done to a good one, and what the gate
/// says of it.
type Spoiling = (&'static str, fn(&mut Vec<u8>), &'static str);

const SPOILINGS: [Spoiling; 5] = [
    ("altered", |table| invert(table, 500), "it was altered on its way"),
    ("of another format", |table| invert(table, 7), "expected a table of format"),
    ("for another filter", |table| invert(table, 8), "expected a table for the gate filter"),
    ("cut off", |table| table.truncate(table.len() / 2), "it was altered on its way"),
    ("too short to be one", |table| table.truncate(10), "bytes, found 10"),
];

fn invert(table: &mut [u8], at: usize) {
    if let Some(byte) = table.get_mut(at) {
        *byte ^= 1;
    }
}

async fn a_corrupt_table_is_refused_and_told_with_the_old_one_serving(
    setting: &Setting,
) -> Result<()> {
    let (edge, group) = (&setting.edge, setting.edge.ingress_group());
    let good = edge.control().store.get(&group).context("the ingress has not come")?;
    for (how, spoil, reason) in SPOILINGS {
        let load = setting.load()?;
        load.answers(50).await?;
        let spoilt = with_table_spoilt(&good, spoil)?;
        edge.control().store.set(&group, spoilt.clone());
        let progress = edge.control().proxies.settled(&group, &spoilt, PATIENCE).await;
        load.answers(200).await?;
        let outcomes = load.stop().await?;
        let refusal = progress.refused.first();
        let refusal = refusal.with_context(|| format!("{how}: no refusal in {progress:?}"))?;
        println!("{how}: {} refused: {}", refusal.node, refusal.refusal.message);
        outcomes.all_served().with_context(|| how.to_owned())?;
        println!("{how}: the old table served {} requests meanwhile", outcomes.served);
        is_told(setting, &refusal.refusal.message).await?;
        let log = fs::read_to_string(&edge.ingress().service().launch().log)?;
        let line = log.lines().find(|line| line.contains(reason));
        println!("the gate: {}", line.with_context(|| format!("no `{reason}` in the log"))?);
    }
    Ok(())
}

async fn is_told(setting: &Setting, refusal: &str) -> Result<()> {
    let status = resources::status(&setting.edge.admin_url()).await?;
    println!("bulkhead status:\n{status}");
    let words = refusal.lines().next().unwrap_or("-");
    let told = status.lines().any(|line| line.contains("ingress") && line.contains(words));
    ensure!(told, "expected the refusal in `bulkhead status`, found\n{status}");
    Ok(())
}

/// The snapshot with the gate's table spoilt.
fn with_table_spoilt(snapshot: &Snapshot, spoil: fn(&mut Vec<u8>)) -> Result<Snapshot> {
    let mut builder = Snapshot::builder();
    for type_url in snapshot.type_urls() {
        for (name, resource) in snapshot.of_type(type_url).iter() {
            let mut value = resource.value().to_vec();
            if type_url == TypedExtensionConfig::type_url() {
                value = spoilt(&value, spoil)?;
            }
            builder = builder.resource(type_url, name, value);
        }
    }
    Ok(builder.build())
}

fn spoilt(extension: &[u8], spoil: fn(&mut Vec<u8>)) -> Result<Vec<u8>> {
    let mut extension = TypedExtensionConfig::decode(extension)?;
    let any = extension.typed_config.as_mut().context("no configuration")?;
    let mut wasm = Wasm::decode(any.value.as_slice())?;
    let plugin = wasm.config.as_mut().context("no plugin")?;
    let table = plugin.configuration.as_mut().context("no table")?;
    let mut bytes = BytesValue::decode(table.value.as_slice())?;
    spoil(&mut bytes.value);
    table.value = bytes.encode_to_vec();
    *any = Any { type_url: any.type_url.clone(), value: wasm.encode_to_vec() };
    Ok(extension.encode_to_vec())
}

async fn a_good_table_after_a_corrupt_one_is_taken(setting: &Setting) -> Result<()> {
    setting.apply(&changed(500)).await?;
    let status = resources::status(&setting.edge.admin_url()).await?;
    ensure!(!status.contains("refused:"), "expected no refusal any more, found\n{status}");
    setting.served(CHANGED).await
}
