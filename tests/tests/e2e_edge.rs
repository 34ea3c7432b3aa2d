//! The edge of a whole deployment as it ships: who is let in, what an operator's change does to
//! traffic, and what is left when the control plane is gone.
//!
//! The deployment is started once, and what follows are its steps in order: each is a promise of
//! its own, and says in its name which.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use devstack::{
    dev_issuer::{AUDIENCE, TokenOptions},
    http,
    stack::Stack,
    until,
};
use passport::{Passport, SigningKey};
use reqwest::Method;
use tempfile::TempDir;
use tenancy::headers;
use tests::e2e::{
    caller::{Answer, Caller},
    edge::PATIENCE,
    example::{Example, INFER},
    ledger::{Ledger, Metered, drained},
    load::Load,
    resources::{apply, head, rate_limit, tenant},
    secrets::{Secret, logs},
    tenant::Tenant,
};

const SHARED: &str = "shared";
const SILO: &str = "silo-dl";

/// A pool tenant, whose issuer also speaks for an org that is no tenant.
const POOL: &str = "org_ua";
/// The silo's tenant.
const SILOED: &str = "org_dl";
/// A tenant with a model of its own, which is taken from it and given back.
const MOVED: &str = "org_aa";
/// A tenant that is shut out for a while.
const SUSPENDED: &str = "org_as";
/// A tenant whose limit is changed.
const LIMITED: &str = "org_wn";
/// A tenant whose identity provider changes its keys.
const ROTATED: &str = "org_ha";
/// An org that is no tenant.
const LEFT: &str = "org_left";

/// More than a load on this machine can reach.
const UNLIMITED: (u32, u32, u32) = (1_000_000, 1, 1_000_000);

const POOLED_MODEL: &str = r#"models: [{name: air-time, model: air-time-pooled, version: "1"}]"#;
const OWN_MODEL: &str = r#"models: [{name: air-time, model: air-time-aa, version: "1"}]"#;

/// Long enough for keys that the issuer lets everybody keep for half a minute.
const ROTATION_PATIENCE: Duration = Duration::from_secs(120);

struct Setting {
    stack: Stack,
    ledger: Ledger,
    example: Example,
    files: TempDir,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_edge_of_a_whole_deployment() -> Result<()> {
    let setting = Box::pin(Setting::start()).await?;
    // The issuer lets everybody keep its keys for a while, which other steps can use.
    let rotation = Rotation::begin(&setting).await?;
    bad_tokens_are_denied_by_codes_of_their_own_and_meter_nothing(&setting).await?;
    smuggled_headers_choose_nothing(&setting).await?;
    a_node_refuses_the_passports_of_other_data_planes(&setting).await?;
    a_suspended_tenant_is_shut_out_and_let_in_again_without_a_restart(&setting).await?;
    a_tenant_is_changed_under_load_without_a_failed_request(&setting).await?;
    // Before the control plane is started anew, which would ask every issuer anew.
    rotation.is_followed(&setting).await?;
    traffic_goes_on_with_the_control_plane_killed(&setting).await?;
    no_secret_shows_in_an_admin_interface_or_a_log(&setting).await?;
    ensure!(setting.stack.processes_alive(), "found {:?}", setting.stack.processes());
    Ok(())
}

impl Setting {
    async fn start() -> Result<Self> {
        let stack = Stack::builder().start().await?;
        let ledger = Ledger::of(&stack);
        let setting =
            Self { ledger, example: Example::read()?, files: tempfile::tempdir()?, stack };
        // Their issuers' keys are fetched in the background.
        for org in [POOL, SILOED, MOVED, SUSPENDED, LIMITED, ROTATED] {
            setting.served(org).await?;
        }
        Ok(setting)
    }

    async fn apply(&self, yaml: &str) -> Result<String> {
        apply(self.files.path(), &self.stack.admin_url(), yaml).await
    }

    fn tenant(&self, id: &str) -> Result<Tenant> {
        Tenant::of(&self.stack, id)
    }

    /// A caller with a connection of its own.
    fn caller(&self) -> Result<Caller> {
        Caller::new(&self.stack.ingress_url())
    }

    fn token(&self, org: &str, options: TokenOptions) -> Result<String> {
        self.stack.issuer().token(org, &options)
    }

    /// A prediction, asked for with this token and over a new connection.
    async fn ask(&self, token: Option<&str>) -> Result<Answer> {
        self.caller()?.post(INFER, token, self.example.request()).await
    }

    /// Waits until a prediction for `org` gets this answer over eight new connections, and so from
    /// every worker.
    async fn eventually(&self, org: &str, status: u16, code: &str) -> Result<()> {
        let token = self.token(org, TokenOptions::default())?;
        let mut found = Vec::new();
        let what = format!("{status} {code} for {org}");
        let waited = until(&what, PATIENCE, async || {
            found.clear();
            for _ in 0..8 {
                found.push(self.ask(Some(&token)).await?.verdict());
            }
            let is_it = found.iter().all(|it| *it == (status, code.to_owned()));
            Ok(is_it.then_some(()))
        });
        waited.await.with_context(|| format!("found {found:?}"))
    }

    async fn served(&self, org: &str) -> Result<()> {
        self.eventually(org, 200, "").await
    }

    /// What is metered, of every org.
    async fn metered(&self) -> Result<Vec<(String, Metered)>> {
        drained(&self.stack).await?;
        let mut all = Vec::new();
        for org in self.stack.issuer().orgs() {
            all.push((org.to_string(), self.ledger.metered(org.as_str()).await?));
        }
        all.push((LEFT.to_owned(), self.ledger.metered(LEFT).await?));
        Ok(all)
    }

    /// A load of `org` over `connections`, whose every answer must pass `check`.
    fn load(
        &self,
        org: &str,
        connections: usize,
        check: fn(&Example, &Answer) -> Result<()>,
    ) -> Result<Load> {
        let asks = (0..connections).map(|_| {
            let (tenant, example) = (self.tenant(org)?, self.example.clone());
            Ok(move || {
                let (tenant, example) = (tenant.clone(), example.clone());
                async move {
                    let answer = tenant.post(INFER, example.request()).await?;
                    if answer.status == 200 {
                        check(&example, &answer)?;
                    }
                    Ok(answer)
                }
            })
        });
        Ok(Load::start(asks.collect::<Result<Vec<_>>>()?))
    }

    /// The deployment's passport key, as a burglar in the control plane would have it.
    fn passport_key(&self) -> Result<SigningKey> {
        let file = self.stack.state_dir().join("xds-server/passport.key");
        Ok(SigningKey::from_bytes(&fs::read(file)?)?)
    }

    /// A passport of `org` for `data_plane`.
    fn passport(&self, org: &str, tier: &str, data_plane: &str) -> Result<String> {
        let passport = Passport {
            tenant: org.parse()?,
            tier: tier.parse()?,
            data_plane: data_plane.parse()?,
            revision: "0123456789abcdef".to_owned(),
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        Ok(self.passport_key()?.mint(&passport, now, 60)?)
    }
}

async fn bad_tokens_are_denied_by_codes_of_their_own_and_meter_nothing(
    setting: &Setting,
) -> Result<()> {
    // The issuer of a tenant may also speak for an org that is none, or none any more.
    let mut issuer = head("Issuer", &format!("development-{POOL}"));
    let url = setting.stack.issuer().issuer_url(POOL);
    issuer += &format!("  issuer: {url}\n  audiences: [{AUDIENCE}]\n  orgs: [{POOL}, {LEFT}]\n");
    setting.apply(&issuer).await?;
    setting.served(POOL).await?;

    let org = |id: &str| Some(id.to_owned());
    let good = TokenOptions::default;
    let cases = [
        ("no token", None, 401, "missing_credentials"),
        ("expired", Some(TokenOptions { expires_in: -1, ..good() }), 401, "token_expired"),
        (
            "another org's issuer claims the silo's org",
            Some(TokenOptions { claimed_org: org(SILOED), ..good() }),
            403,
            "org_not_bound_to_issuer",
        ),
        (
            "another org's issuer claims to be the silo's",
            Some(TokenOptions {
                claimed_org: org(SILOED),
                issuer: Some(setting.stack.issuer().issuer_url(SILOED)),
                ..good()
            }),
            401,
            "unknown_key",
        ),
        ("alg none", Some(TokenOptions { unsigned: true, ..good() }), 401, "algorithm_not_allowed"),
        (
            "an org that is no tenant",
            Some(TokenOptions { claimed_org: org(LEFT), ..good() }),
            403,
            "unknown_tenant",
        ),
        ("no org", Some(TokenOptions { without_org: true, ..good() }), 403, "missing_org"),
        (
            "another API's",
            Some(TokenOptions { audience: "another".to_owned(), ..good() }),
            401,
            "wrong_audience",
        ),
        (
            "an issuer that nobody registered",
            Some(TokenOptions { issuer: org("https://nobody.example"), ..good() }),
            401,
            "unknown_issuer",
        ),
        (
            "not yet valid",
            Some(TokenOptions { not_before_in: 200, ..good() }),
            401,
            "token_not_yet_valid",
        ),
    ];
    let before = setting.metered().await?;
    for (name, options, status, code) in cases {
        let token = options.map(|options| setting.token(POOL, options)).transpose()?;
        for _ in 0..4 {
            let answer = setting.ask(token.as_deref()).await?;
            answer.denied(status, code).context(name)?;
        }
        println!("{name}: {status} {code}");
    }
    let after = setting.metered().await?;
    ensure!(before == after, "expected nothing metered, found {before:?} and then {after:?}");

    setting.ask(Some(&setting.token(POOL, good())?)).await?.ok()?;
    let metered = changes(&after, &setting.metered().await?);
    println!("40 denied requests metered nothing, a good one metered {metered:?}");
    ensure!(metered == [(POOL.to_owned(), 1)], "expected one event, found {metered:?}");
    Ok(())
}

/// Whose events became how many more.
fn changes(before: &[(String, Metered)], after: &[(String, Metered)]) -> Vec<(String, u64)> {
    let pairs = before.iter().zip(after);
    let more = pairs.map(|((org, before), (_, after))| (org.clone(), after.events - before.events));
    more.filter(|(_, events)| *events > 0).collect()
}

async fn smuggled_headers_choose_nothing(setting: &Setting) -> Result<()> {
    let before = setting.metered().await?;
    let (caller, token) = (setting.caller()?, setting.token(POOL, TokenOptions::default())?);
    let genuine = setting.passport(SILOED, "silo", SILO)?;
    let smuggled = [
        (headers::CLUSTER, "data-plane/silo-dl"),
        (headers::PASSPORT, genuine.as_str()),
        (headers::REQUEST_ID, "01939c3e-0000-7000-8000-000000000000"),
        ("X-Bulkhead-Tenant", SILOED),
        ("x-bulkhead-data-plane", SILO),
        ("x-envoy-original-dst-host", "127.0.0.1:1"),
        ("x-envoy-upstream-rq-timeout-ms", "1"),
    ];
    for (name, value) in smuggled {
        let request = caller.request(Method::POST, INFER, Some(&token)).header(name, value);
        let answer = caller.send(request.json(setting.example.request())).await?;
        answer.ok().context(name)?;
        setting.example.check(POOL, 1, &answer.json()?).context(name)?;
    }
    // All at once, and the same request id again: two requests, however often they say the same.
    for _ in 0..2 {
        let mut request = caller.request(Method::POST, INFER, Some(&token));
        for (name, value) in smuggled {
            request = request.header(name, value);
        }
        let answer = caller.send(request.json(setting.example.request())).await?;
        setting.example.check(POOL, 1, &answer.ok()?.json()?)?;
    }
    let sent = smuggled.len() as u64 + 2;
    let metered = changes(&before, &setting.metered().await?);
    println!("{sent} requests with smuggled headers were answered for and metered to {metered:?}");
    ensure!(metered == [(POOL.to_owned(), sent)], "expected {sent} of {POOL}, found {metered:?}");
    for record in setting.ledger.records(POOL).await? {
        ensure!(record["data_plane"] == SHARED, "expected {SHARED}, found {record}");
    }
    // Without a token they are nobody's.
    let request = caller.request(Method::POST, INFER, None).header(headers::PASSPORT, &genuine);
    let request = request.header(headers::CLUSTER, "data-plane/silo-dl");
    caller
        .send(request.json(setting.example.request()))
        .await?
        .denied(401, "missing_credentials")?;
    Ok(())
}

/// As somebody would who is inside the network and has come by a genuine passport.
async fn a_node_refuses_the_passports_of_other_data_planes(setting: &Setting) -> Result<()> {
    let before = setting.metered().await?;
    let pool = setting.passport(POOL, "pool", SHARED)?;
    let silo = setting.passport(SILOED, "silo", SILO)?;
    let cases = [
        (
            "a silo tenant's passport at the shared node",
            SHARED,
            Some(&silo),
            403,
            "wrong_data_plane",
        ),
        ("a pool tenant's passport at the silo node", SILO, Some(&pool), 403, "wrong_data_plane"),
        ("no passport at the shared node", SHARED, None, 403, "passport_missing"),
        ("no passport at the silo node", SILO, None, 403, "passport_missing"),
        ("a pool tenant's passport at the shared node", SHARED, Some(&pool), 200, ""),
        ("a silo tenant's passport at the silo node", SILO, Some(&silo), 200, ""),
    ];
    for (name, plane, passport, status, code) in cases {
        let caller = Caller::new(&setting.stack.plane(plane)?.node_url())?;
        let mut request = caller.request(Method::POST, INFER, None);
        request = request.header(headers::REQUEST_ID, uuid::Uuid::now_v7().to_string());
        if let Some(passport) = passport {
            request = request.header(headers::PASSPORT, passport);
        }
        let answer = caller.send(request.json(setting.example.request())).await?;
        let found = answer.verdict();
        println!("{name}: {} {}", found.0, found.1);
        ensure!(found == (status, code.to_owned()), "{name}: found {}", answer.shown());
    }
    let metered = changes(&before, &setting.metered().await?);
    let each_once = [(SILOED.to_owned(), 1), (POOL.to_owned(), 1)];
    ensure!(metered == each_once, "expected {each_once:?}, found {metered:?}");
    Ok(())
}

async fn a_suspended_tenant_is_shut_out_and_let_in_again_without_a_restart(
    setting: &Setting,
) -> Result<()> {
    let yaml = |suspended| {
        tenant(SUSPENDED, "pool", SHARED, &[POOLED_MODEL, &format!("suspended: {suspended}")])
    };
    for (suspended, status, code) in [(true, 403, "tenant_suspended"), (false, 200, "")] {
        println!("{}", setting.apply(&yaml(suspended)).await?.trim_end());
        setting.eventually(SUSPENDED, status, code).await?;
        println!("{SUSPENDED}, suspended: {suspended}: {status} {code}");
    }
    Ok(())
}

/// Its tier, its model and its neighbour's limit.
async fn a_tenant_is_changed_under_load_without_a_failed_request(setting: &Setting) -> Result<()> {
    let (requests, seconds, burst) = UNLIMITED;
    let unlimited = rate_limit(requests, seconds, burst);
    let moved = |tier, model| tenant(MOVED, tier, SHARED, &[model, &unlimited]);
    setting.apply(&moved("bridge", OWN_MODEL)).await?;

    // Every answer is that of the one model or the other, whatever goes on.
    let load = setting.load(MOVED, 4, |example, answer| {
        let answer = answer.json()?;
        example.check(MOVED, 1, &answer).or_else(|_| example.check(POOL, 1, &answer))
    })?;
    for (tier, model, documented) in
        [("pool", POOLED_MODEL, POOL), ("bridge", OWN_MODEL, MOVED), ("pool", POOLED_MODEL, POOL)]
    {
        load.answers(50).await?;
        println!("{}", setting.apply(&moved(tier, model)).await?.trim_end());
        answers_as(setting, documented).await?;
    }
    load.answers(50).await?;
    setting.apply(&moved("bridge", OWN_MODEL)).await?;
    answers_as(setting, MOVED).await?;

    const BURST: u32 = 5;
    let limited = rate_limit(1, 3600, BURST);
    setting.apply(&tenant(LIMITED, "pool", SHARED, &[POOLED_MODEL, &limited])).await?;
    setting.eventually(LIMITED, 429, "rate_limited").await?;
    setting.apply(&tenant(LIMITED, "pool", SHARED, &[POOLED_MODEL, &unlimited])).await?;
    setting.served(LIMITED).await?;

    load.answers(50).await?;
    let outcomes = load.stop().await?;
    println!(
        "{} requests of {MOVED} under all this, others {:?}",
        outcomes.served, outcomes.others
    );
    outcomes.all_served()
}

/// Waits until a prediction for the moved tenant is the one documented for `documented`.
async fn answers_as(setting: &Setting, documented: &str) -> Result<()> {
    let moved = setting.tenant(MOVED)?;
    until(&format!("{MOVED} to get what {documented} gets"), PATIENCE, async || {
        let answer = moved.post(INFER, setting.example.request()).await?;
        let is_it = setting.example.check(documented, 1, &answer.ok()?.json()?).is_ok();
        Ok(is_it.then_some(()))
    })
    .await
}

async fn traffic_goes_on_with_the_control_plane_killed(setting: &Setting) -> Result<()> {
    let before = setting.metered().await?;
    let shared = setting.load(MOVED, 3, |example, it| example.check(MOVED, 1, &it.json()?))?;
    let silo = setting.load(SILOED, 2, |example, it| example.check(SILOED, 1, &it.json()?))?;
    shared.answers(50).await?;
    setting.stack.kill_xds_server();
    let health = http::get(&format!("{}/healthz", setting.stack.admin_url())).await;
    ensure!(health.is_err(), "expected it to be gone, found {health:?}");

    shared.answers(300).await?;
    silo.answers(100).await?;
    // Not only those that are known: a new token over a new connection, and a bad one.
    let options = TokenOptions { subject: "somebody new".to_owned(), ..TokenOptions::default() };
    setting.ask(Some(&setting.token(POOL, options)?)).await?.ok()?;
    let options = TokenOptions { claimed_org: Some(SILOED.to_owned()), ..TokenOptions::default() };
    setting
        .ask(Some(&setting.token(POOL, options)?))
        .await?
        .denied(403, "org_not_bound_to_issuer")?;

    setting.stack.start_xds_server().await?;
    setting.stack.settled().await?;
    shared.answers(100).await?;
    let (shared, silo) = (shared.stop().await?, silo.stop().await?);
    println!(
        "with the control plane killed and back: {} and {} served",
        shared.served, silo.served
    );
    shared.all_served()?;
    silo.all_served()?;

    let mut expected = [(MOVED, shared.served), (SILOED, silo.served), (POOL, 1)]
        .map(|(org, events)| (org.to_owned(), events as u64));
    expected.sort();
    let metered = changes(&before, &setting.metered().await?);
    println!("metered once it was back: {metered:?}");
    ensure!(metered == expected, "expected {expected:?}, found {metered:?}");
    Ok(())
}

/// Tokens of the keys before, between and after two rotations.
struct Rotation {
    withdrawn: String,
    kept: String,
    newest: String,
}

impl Rotation {
    async fn begin(setting: &Setting) -> Result<Self> {
        let hour = || TokenOptions { expires_in: 3600, ..TokenOptions::default() };
        let withdrawn = setting.token(ROTATED, hour())?;
        setting.ask(Some(&withdrawn)).await?.ok()?;
        setting.stack.issuer().rotate(ROTATED)?;
        let kept = setting.token(ROTATED, hour())?;
        setting.stack.issuer().rotate(ROTATED)?;
        Ok(Self { withdrawn, kept, newest: setting.token(ROTATED, hour())? })
    }

    async fn is_followed(&self, setting: &Setting) -> Result<()> {
        let what = format!("the new key of {ROTATED} to be in force");
        until(&what, ROTATION_PATIENCE, async || {
            // Over as many new connections, and so by every worker.
            for _ in 0..16 {
                let answer = setting.ask(Some(&self.newest)).await?;
                if answer.status != 200 {
                    answer.denied(401, "unknown_key")?;
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await?;
        setting.ask(Some(&self.kept)).await?.ok()?;
        // It was good, and every worker had seen it.
        setting.ask(Some(&self.withdrawn)).await?.denied(401, "unknown_key")?;
        println!("after two rotations: newest and kept key served, withdrawn one unknown_key");
        Ok(())
    }
}

async fn no_secret_shows_in_an_admin_interface_or_a_log(setting: &Setting) -> Result<()> {
    let key = setting.passport_key()?;
    let (pair, public) = (key.to_bytes(), key.verifying_key().bytes);
    let seed =
        pair.strip_suffix(public.as_slice()).context("expected the seed, then its public key")?;
    let seal = fs::read_to_string(setting.stack.state_dir().join("seal.key"))?;
    let secrets = [
        Secret::new("the passport key", seed),
        Secret::new("BULKHEAD_SEAL_KEY", &hex::decode(seal.trim())?),
        Secret::new("BULKHEAD_SEAL_KEY as it is written", seal.trim().as_bytes()),
    ];
    let shown = everything_shown(setting).await?;
    let bytes: usize = shown.iter().map(|(_, text)| text.len()).sum();
    for (place, text) in &shown {
        for secret in &secrets {
            ensure!(!secret.is_in(text), "{} shows in {place}", secret.name());
        }
    }
    println!("{} secrets in none of {} places of {bytes} bytes", secrets.len(), shown.len());

    // What is no secret is found where it must be, so that the search does search.
    let at = |part: &str| shown.iter().find(|(place, _)| place.contains(part)).map(|it| &it.1);
    let id = Secret::new("the passport key's id", key.id().as_bytes());
    let ingress = at("ingress /config_dump").context("no dump of the ingress")?;
    ensure!(id.is_in(ingress), "expected the sealed key's id in the ingress's dump");
    let node = at("node-shared /config_dump").context("no dump of a node")?;
    let public = Secret::new("the passport key's public half", &public);
    ensure!(public.is_in(node), "expected the public key in the node's dump");
    Ok(())
}

/// What operators see: every admin interface and every log.
async fn everything_shown(setting: &Setting) -> Result<Vec<(String, Vec<u8>)>> {
    let stack = &setting.stack;
    let mut shown = logs(&stack.state_dir().join("logs"))?;
    ensure!(shown.len() >= 6, "expected the logs of six processes, found {}", shown.len());
    let nodes = stack.planes().iter().map(devstack::stack::Plane::node);
    for envoy in [stack.ingress()].into_iter().chain(nodes) {
        for path in ["/config_dump?include_eds", "/server_info", "/stats", "/clusters"] {
            let answer = envoy.admin_get(path).await?;
            shown.push((format!("{} {path}", envoy.options().node_id), answer.body.to_vec()));
        }
    }
    for path in ["/v1/status", "/v1/resources", "/v1/journal"] {
        let answer = http::get(&format!("{}{path}", stack.admin_url())).await?;
        ensure!(answer.status.is_success(), "{path}: {}", answer.text());
        shown.push((format!("xds-server {path}"), answer.body.to_vec()));
    }
    Ok(shown)
}
