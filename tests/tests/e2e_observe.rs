//! What an operator sees of decisions, with real Envoys: access logs, what checks in shadow mode
//! would have denied, and a proxy that refuses what was meant for it alone.
//!
//! The edge is started once, and what follows are its steps in order: each is a promise of its
//! own, and says in its name which.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result, ensure};
use control_plane::{observe::Observe, topology};
use devstack::{
    dev_issuer::{AUDIENCE, DevIssuer, Org, TokenOptions},
    environment,
    envoy::Envoy,
    until,
};
use envoy_types::pb::envoy::{
    config::core::v3::TypedExtensionConfig, extensions::filters::http::wasm::v3::Wasm,
};
use prost::{Message as _, Name as _};
use serde_json::Value;
use tests::e2e::{
    caller::Caller,
    edge::{Edge, PATIENCE},
    load::Load,
    resources::{apply, head, rate_limit, tenant},
};
use xds::{Snapshot, Target};

const SHARED: &str = "shared";
const SEAL_KEY: &str = "5ea1000000000000000000000000000000000000000000000000000000005ea1";
const PATH: &str = "/v2/models/air-time/infer";
const ORG: &str = "org_a";

struct Setting {
    edge: Edge,
    issuer: DevIssuer,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_edge_that_is_observed() -> Result<()> {
    let observe = Observe { response_headers: true, access_log: true };
    let edge = Edge::start_with(&[SHARED], SEAL_KEY, environment::wasm_dir()?, observe).await?;
    let issuer = DevIssuer::start([Org::new(ORG.parse()?)]).await?;
    let setting = Setting { edge, issuer };
    setting.apply(&setting.resources()?).await?;
    setting.served().await?;
    a_line_of_the_access_log_names_the_decision_and_no_secret(&setting).await?;
    what_a_check_in_shadow_would_have_denied_is_counted_for_each_tenant(&setting).await?;
    a_proxy_refuses_what_it_alone_was_sent_and_goes_back(&setting).await
}

impl Setting {
    fn resources(&self) -> Result<String> {
        let node = self.edge.node(SHARED)?;
        let mut yaml = head("DataPlane", SHARED);
        yaml.push_str(&format!(
            "  region: here\n  tiers: [pool]\n  endpoints: [{{address: {}, port: {}}}]\n",
            node.ip(),
            node.port()
        ));
        yaml.push_str(&tenant(ORG, "pool", SHARED, &[&rate_limit(1_000_000, 1, 1_000_000)]));
        let issuer = self.issuer.issuer_url(ORG);
        yaml.push_str(&head("Issuer", "its-own"));
        yaml.push_str(&format!("  issuer: {issuer}\n  audiences: [{AUDIENCE}]\n  orgs: [{ORG}]\n"));
        Ok(yaml)
    }

    async fn apply(&self, yaml: &str) -> Result<String> {
        apply(self.edge.folder(), &self.edge.admin_url(), yaml).await
    }

    fn token(&self) -> Result<String> {
        self.issuer.token(ORG, &TokenOptions::default())
    }

    /// The table by which a request is decided over a connection of its own.
    async fn revision(&self) -> Result<reqwest::header::HeaderValue> {
        let answer = Caller::new(&self.edge.url())?.get(PATH, Some(&self.token()?)).await?;
        let revision = answer.ok()?.headers.get("x-bulkhead-revision").cloned();
        revision.context("expected the revision in a header")
    }

    async fn served(&self) -> Result<()> {
        let (caller, token) = (Caller::new(&self.edge.url())?, self.token()?);
        until("the tenant to be served", PATIENCE, async || {
            Ok((caller.get(PATH, Some(&token)).await?.status == 200).then_some(()))
        })
        .await
    }
}

/// The lines of an Envoy's access log that are of requests for `path`.
fn lines(envoy: &Envoy, path: &str) -> Result<Vec<Value>> {
    let log = fs::read_to_string(&envoy.service().launch().log)?;
    let lines = log.lines().filter(|line| line.starts_with('{'));
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(lines.filter(|line| line["path"] == path).collect())
}

async fn a_line_of_the_access_log_names_the_decision_and_no_secret(
    setting: &Setting,
) -> Result<()> {
    const SEEN: &str = "/seen";
    let (caller, token) = (Caller::new(&setting.edge.url())?, setting.token()?);
    let answer = caller.get(&format!("{SEEN}?secret=in-the-query"), Some(&token)).await?;
    let revision = answer.ok()?.headers.get("x-bulkhead-revision").cloned();
    let revision = revision.context("expected the revision in a header")?;
    caller.get(SEEN, None).await?.denied(401, "missing_credentials")?;
    let ingress = setting.edge.ingress();
    let seen = until("two lines of the access log", PATIENCE, async || {
        let seen = lines(ingress, SEEN)?;
        Ok((seen.len() >= 2).then_some(seen))
    })
    .await?;
    println!("{}\n{}", seen[0], seen[1]);
    let [served, denied] = seen.as_slice() else { anyhow::bail!("found {seen:?}") };
    ensure!(served["tenant"] == ORG && served["status"] == 200, "found {served}");
    ensure!(served["revision"] == revision.to_str()? && served["code"].is_null(), "{served}");
    ensure!(served["request_id"].as_str().is_some_and(|id| id.len() == 36), "found {served}");
    ensure!(denied["code"] == "missing_credentials" && denied["status"] == 401, "found {denied}");
    ensure!(denied["revision"] == revision.to_str()?, "found {denied}");
    let log = fs::read_to_string(&ingress.service().launch().log)?;
    ensure!(!log.contains(&token) && !log.contains("in-the-query"), "a secret is in the log");
    Ok(())
}

async fn what_a_check_in_shadow_would_have_denied_is_counted_for_each_tenant(
    setting: &Setting,
) -> Result<()> {
    const ASKED: u64 = 7;
    let mut check = head("Check", "no-odd-paths");
    check.push_str(
        "  description: A path is not odd.\n  points: [gate]\n  mode: shadow\n  \
         expression: request.path != '/odd'\n  \
         denial: {status: 403, code: odd_path, message: that path is odd}\n",
    );
    let before = setting.revision().await?;
    setting.apply(&check).await?;
    until("every worker to have the check", PATIENCE, async || {
        for _ in 0..16 {
            if setting.revision().await? == before {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await?;
    let admin = Caller::new(&setting.edge.admin_url())?;
    let (caller, token) = (Caller::new(&setting.edge.url())?, setting.token()?);
    for _ in 0..ASKED {
        caller.get("/odd", Some(&token)).await?.ok()?;
    }
    let counts = until("the counts to arrive", PATIENCE, async || {
        let counts = admin.get("/v1/shadow", None).await?.json()?["counts"].clone();
        // They may arrive in two portions.
        Ok((counts[0]["count"] == ASKED).then_some(counts))
    })
    .await?;
    let count = &counts[0];
    println!("{count}");
    ensure!(count["check"] == "no-odd-paths" && count["tenant"] == ORG, "found {counts}");
    let metrics = admin.get("/v1/metrics", None).await?;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    let line = "bulkhead_shadow_denials_total{check=\"no-odd-paths\",tenant=\"org_a\",\
                proxy=\"ingress\"} 7";
    ensure!(text.lines().any(|it| it == line), "expected `{line}`, found\n{text}");
    Ok(())
}

/// As an operator's canary does: this is what the xDS server does for it.
async fn a_proxy_refuses_what_it_alone_was_sent_and_goes_back(setting: &Setting) -> Result<()> {
    let other = setting.edge.another_ingress("ingress-2").await?;
    let control = setting.edge.control();
    let group = topology::Role::Gateway { listen: other.options().listen }.to_string();
    let good = control.store.get(&group).context("the second ingress has not come")?;
    let load = {
        let url = format!("http://{}", other.options().listen);
        let asks = (0..4).map(|_| {
            let (caller, token) = (Caller::new(&url)?, setting.token()?);
            Ok(move || {
                let (caller, token) = (caller.clone(), token.clone());
                async move { caller.get(PATH, Some(&token)).await }
            })
        });
        Load::start(asks.collect::<Result<Vec<_>>>()?)
    };
    load.answers(50).await?;
    let target = |snapshot: Snapshot| Target {
        group: group.clone(),
        node: "ingress-2".to_owned(),
        snapshot,
    };
    let bad = without_table(&good)?;
    control.store.set_override(&group, "ingress-2", bad.clone());
    let progress = control.proxies.accepted_by(&[target(bad)], PATIENCE).await;
    let refused = progress.refused.first();
    let refused = refused.with_context(|| format!("expected a refusal, found {progress:?}"))?;
    println!(
        "{} refused {:?}: {}",
        refused.node, refused.refusal.resources, refused.refusal.message
    );
    ensure!(refused.refusal.resources == ["bulkhead.gate"], "found {refused:?}");
    control.store.clear_override(&group, "ingress-2");
    let progress = control.proxies.settled_each(&[target(good)], PATIENCE).await;
    ensure!(progress.accepted == ["ingress-2"], "it did not go back: {progress:?}");
    load.answers(100).await?;
    load.stop().await?.all_served()?;
    let proxies = control.proxies.list();
    let last: BTreeMap<&str, bool> =
        proxies.iter().map(|it| (it.node.as_str(), it.last_refusal.is_some())).collect();
    ensure!(last.get("ingress-2") == Some(&true), "its refusal is forgotten: {last:?}");
    ensure!(last.get("ingress") == Some(&false), "the other heard of it: {last:?}");
    Ok(())
}

/// The snapshot with a gate whose table is empty.
fn without_table(snapshot: &Snapshot) -> Result<Snapshot> {
    let mut builder = Snapshot::builder();
    for type_url in snapshot.type_urls() {
        for (name, resource) in snapshot.of_type(type_url).iter() {
            let mut value = resource.value().to_vec();
            if type_url == TypedExtensionConfig::type_url() {
                let mut extension = TypedExtensionConfig::decode(value.as_slice())?;
                let any = extension.typed_config.as_mut().context("no configuration")?;
                let mut wasm = Wasm::decode(any.value.as_slice())?;
                wasm.config.as_mut().context("no plugin")?.configuration = None;
                any.value = wasm.encode_to_vec();
                value = extension.encode_to_vec();
            }
            builder = builder.resource(type_url, name, value);
        }
    }
    Ok(builder.build())
}
