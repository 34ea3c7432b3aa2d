//! A platform team's day with a check, through the `bulkhead` binary, a control plane and real
//! Envoys: written, linted, tested, tried in shadow, enforced, taken back.
//!
//! The edge is started once, and what follows are its steps in order, under a load of which no
//! request may fail. Each step is a promise of its own, and says in its name which.

use std::{fs, net::SocketAddr, process::Output};

use anyhow::{Context as _, Result, ensure};
use control_plane::observe::Observe;
use devstack::{
    dev_issuer::{AUDIENCE, DevIssuer, Org, TokenOptions},
    environment,
    envoy::{Envoy, EnvoyOptions, Role},
    ports, until,
};
use reqwest::Method;
use serde_json::Value;
use tests::e2e::{
    caller::{Answer, Caller},
    edge::{Edge, PATIENCE},
    load::Load,
    resources::{bulkhead, head, rate_limit, tenant},
};

const SHARED: &str = "shared";
const SEAL_KEY: &str = "5ea1000000000000000000000000000000000000000000000000000000005ea1";
const OTHER_SEAL_KEY: &str = "0000000000000000000000000000000000000000000000000000000000005ea2";
const PATH: &str = "/v2/models/air-time/infer";

/// Whose requests say what they are for.
const LOADED: &str = "org_loaded";
/// Whose requests do not.
const CARELESS: &str = "org_careless";

/// What the check wants to see.
const PURPOSE: &str = "x-purpose";

/// The exit statuses of `bulkhead policy apply --help`.
const DONE: i32 = 0;
const DIFFERS: i32 = 1;
const REFUSED: i32 = 3;
const REFUSED_BY_PROXY: i32 = 4;
const STALE: i32 = 5;
const CANARY_FAILED: i32 = 7;

struct Setting {
    edge: Edge,
    issuer: DevIssuer,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_check_from_the_editor_to_every_proxy_and_back() -> Result<()> {
    let setting = Box::pin(Setting::start()).await?;
    let load = setting.load()?;
    load.answers(20).await?;
    a_check_is_linted_and_tested_before_anything_runs_it(&setting).await?;
    a_check_in_shadow_is_counted_and_denies_nobody(&setting).await?;
    a_diff_says_which_tenants_an_enforced_check_changes(&setting).await?;
    a_replay_of_the_access_log_says_what_enforcing_would_deny(&setting).await?;
    an_enforced_check_denies_in_its_own_name(&setting).await?;
    a_rollback_lets_pass_again_and_the_history_says_so(&setting).await?;
    a_stale_apply_changes_nothing_and_says_what_came_between(&setting).await?;
    a_check_with_a_mistake_is_refused_with_its_place(&setting).await?;
    load.answers(20).await?;
    a_canary_that_refuses_is_rolled_back_and_nobody_else_hears_of_it(&setting).await?;
    load.answers(20).await?;
    let outcomes = load.stop().await?;
    println!("{} requests were served meanwhile", outcomes.served);
    outcomes.all_served()
}

impl Setting {
    async fn start() -> Result<Self> {
        let issuer = DevIssuer::start([Org::new(LOADED.parse()?)]).await?;
        let observe = Observe { response_headers: true, access_log: true };
        let wasm = environment::wasm_dir()?;
        let edge = Box::pin(Edge::start_with(&[SHARED], SEAL_KEY, wasm, observe)).await?;
        let setting = Self { edge, issuer };
        let file = setting.write("base.yaml", &setting.resources()?)?;
        setting.policy(&["apply", &file, "--message", "onboarding"], DONE).await?;
        for org in [LOADED, CARELESS] {
            let what = format!("{org} to be served");
            until(&what, PATIENCE, async || {
                Ok((setting.ask(org).await?.status == 200).then_some(()))
            })
            .await?;
        }
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
        for org in [LOADED, CARELESS] {
            yaml.push_str(&tenant(org, "pool", SHARED, &[&rate_limit(1_000_000, 1, 1_000_000)]));
        }
        let issuer = self.issuer.issuer_url(LOADED);
        yaml.push_str(&head("Issuer", "everybodys"));
        yaml.push_str(&format!(
            "  issuer: {issuer}\n  audiences: [{AUDIENCE}]\n  orgs: [{LOADED}, {CARELESS}]\n"
        ));
        Ok(yaml)
    }

    fn write(&self, name: &str, text: &str) -> Result<String> {
        let file = self.edge.folder().join(name);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&file, text)?;
        Ok(file.to_str().context("a path in UTF-8")?.to_owned())
    }

    /// The check, as a file.
    fn check(&self, mode: &str) -> Result<String> {
        self.write(&format!("purpose-{mode}.yaml"), &check(mode))
    }

    /// `bulkhead policy` against the control plane; it must exit with `status`. Returns what it
    /// printed.
    async fn policy(&self, arguments: &[&str], status: i32) -> Result<Said> {
        let server = self.edge.admin_url();
        let all = [&["policy"], arguments, &["--server", &server]].concat();
        Said::of(&all, bulkhead(&all).await?, status)
    }

    /// The same, with `--json`.
    async fn policy_json(&self, arguments: &[&str], status: i32) -> Result<Value> {
        let said = self.policy(&[arguments, &["--json"]].concat(), status).await?;
        serde_json::from_str(&said.out).with_context(|| said.all())
    }

    fn caller(&self) -> Result<Caller> {
        Caller::new(&self.edge.url())
    }

    fn token(&self, org: &str) -> Result<String> {
        let options = TokenOptions { claimed_org: Some(org.to_owned()), ..TokenOptions::default() };
        self.issuer.token(LOADED, &options)
    }

    /// A request over a new connection. The careless org does not say what it is for.
    async fn ask(&self, org: &str) -> Result<Answer> {
        ask(&self.caller()?, &self.token(org)?, org == LOADED).await
    }

    /// Asks over eight new connections, and so every worker; all must be answered so.
    async fn all_answer(&self, org: &str, status: u16) -> Result<Vec<Answer>> {
        let mut answers = Vec::new();
        for _ in 0..8 {
            let answer = self.ask(org).await?;
            ensure!(answer.status == status, "expected {status}, found {}", answer.shown());
            answers.push(answer);
        }
        Ok(answers)
    }

    /// The same, once every worker has what was pushed.
    async fn soon_answers(&self, org: &str, status: u16) -> Result<Vec<Answer>> {
        let what = format!("{org} to be answered with {status} by every worker");
        until(&what, PATIENCE, async || Ok(self.all_answer(org, status).await.ok())).await
    }

    /// Requests that say what they are for, over four connections.
    fn load(&self) -> Result<Load> {
        let asks = (0..4).map(|_| {
            let (caller, token) = (self.caller()?, self.token(LOADED)?);
            Ok(move || {
                let (caller, token) = (caller.clone(), token.clone());
                async move { ask(&caller, &token, true).await }
            })
        });
        Ok(Load::start(asks.collect::<Result<Vec<_>>>()?))
    }
}

async fn ask(caller: &Caller, token: &str, says_its_purpose: bool) -> Result<Answer> {
    let request = caller.request(Method::GET, PATH, Some(token));
    let request = if says_its_purpose { request.header(PURPOSE, "planning") } else { request };
    caller.send(request).await
}

fn check(mode: &str) -> String {
    format!(
        "{}  description: Every request says what it is for.
  points: [gate]
  mode: {mode}
  expression: '\"{PURPOSE}\" in request.headers'
  denial: {{status: 403, code: purpose_missing, message: \"${{tenant.id}} must say {PURPOSE}\"}}
",
        head("Check", "purpose")
    )
}

/// What a command printed.
struct Said {
    out: String,
    err: String,
}

impl Said {
    fn of(arguments: &[&str], output: Output, status: i32) -> Result<Self> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = Self { out: text(&output.stdout), err: text(&output.stderr) };
        println!("$ bulkhead {}\n{}", arguments.join(" "), said.all());
        let found = output.status.code();
        ensure!(found == Some(status), "expected exit {status}, found {found:?}:\n{}", said.all());
        Ok(said)
    }

    fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    fn says(&self, words: &str) -> Result<()> {
        ensure!(self.all().contains(words), "expected `{words}` in\n{}", self.all());
        Ok(())
    }
}

async fn a_check_is_linted_and_tested_before_anything_runs_it(setting: &Setting) -> Result<()> {
    let file = setting.check("enforce")?;
    let lint = ["policy", "lint", &file];
    Said::of(&lint, bulkhead(&lint).await?, 0)?;
    let given: String = check("enforce")
        .lines()
        .filter(|line| *line != "---")
        .enumerate()
        .map(|(at, line)| format!("{}{line}\n", if at == 0 { "  - " } else { "    " }))
        .collect();
    let scenario = format!(
        "promise: Who does not say what a request is for is refused.
given:
{given}requests:
  - token: {{issuer: ua}}
    expect: {{denied: {{status: 403, code: purpose_missing, check: purpose}}}}
  - token: {{issuer: ua}}
    headers: [[{PURPOSE}, planning]]
    expect: {{forwarded: {{tenant: org_ua, data_plane: shared}}}}
"
    );
    let file = setting.write("scenarios/purpose.yaml", &scenario)?;
    let test = ["policy", "test", &file, "--over", "native"];
    Said::of(&test, bulkhead(&test).await?, 0)?;
    let broken = scenario.replace("purpose_missing, check", "another_code, check");
    let file = setting.write("scenarios/broken.yaml", &broken)?;
    let test = ["policy", "test", &file, "--over", "native"];
    Said::of(&test, bulkhead(&test).await?, 1)?;
    Ok(())
}

async fn a_check_in_shadow_is_counted_and_denies_nobody(setting: &Setting) -> Result<()> {
    let file = setting.check("shadow")?;
    let applied = setting.policy(&["apply", &file, "--message", "try it"], DONE).await?;
    applied.says("Check/purpose created")?;
    applied.says("in force at 2 connected proxies")?;
    until("the shadow check to be counted", PATIENCE, async || {
        // Again: a worker may have got it a moment after its Envoy said so.
        setting.all_answer(CARELESS, 200).await?;
        let shadow = setting.policy_json(&["shadow", "--check", "purpose"], DONE).await?;
        let counts = shadow["counts"].as_array().context("counts")?;
        ensure!(
            counts.iter().all(|it| it["tenant"] == CARELESS),
            "expected only {CARELESS} to be counted, found {shadow}"
        );
        Ok(counts.iter().any(|it| it["count"].as_u64() >= Some(8)).then_some(()))
    })
    .await?;
    setting.policy(&["shadow"], DONE).await?.says(CARELESS)
}

async fn a_diff_says_which_tenants_an_enforced_check_changes(setting: &Setting) -> Result<()> {
    let same = setting.check("shadow")?;
    setting.policy(&["diff", &same], DONE).await?.says("nothing changes")?;
    let file = setting.check("enforce")?;
    let diff = setting.policy_json(&["diff", &file], DIFFERS).await?;
    let tenants = diff["tenants"].as_array().context("tenants")?;
    ensure!(tenants.len() == 2, "expected both tenants, found {diff}");
    setting.policy(&["diff", &file], DIFFERS).await?.says("2 tenants change")
}

async fn a_replay_of_the_access_log_says_what_enforcing_would_deny(
    setting: &Setting,
) -> Result<()> {
    let log = &setting.edge.ingress().service().launch().log;
    let recording = setting.edge.folder().join("recording.jsonl");
    let named = format!("\"tenant\":\"{CARELESS}\"");
    // As many at the least were asked for before.
    const LINES: usize = 8;
    until("the access log to be written", PATIENCE, async || {
        let text = fs::read_to_string(log)?;
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('{')).collect();
        fs::write(&recording, lines.join("\n"))?;
        let of_it = lines.iter().filter(|line| line.contains(&named)).count();
        Ok((of_it >= LINES).then_some(()))
    })
    .await?;
    let recording = recording.to_str().context("a path in UTF-8")?;
    // A path, which is recorded, and not a header, which is not.
    let closed = check("enforce").replace(
        &format!("'\"{PURPOSE}\" in request.headers'"),
        &format!("request.path != '{PATH}' || tenant.id == '{LOADED}'"),
    );
    let file = setting.write("closed.yaml", &closed)?;
    let arguments = ["replay", recording, "--strict", "--candidate", &file];
    let found = setting.policy_json(&arguments, DIFFERS).await?;
    let differences = found["differences"].as_array().context("differences")?;
    ensure!(differences.len() == 1, "expected one difference, found {found}");
    ensure!(differences[0]["tenant"] == CARELESS, "found {found}");
    ensure!(differences[0]["then"]["check"] == "purpose", "found {found}");
    ensure!(found["changed"].as_u64() >= Some(LINES as u64), "found {found}");
    // What it reads is not in the log, and so it is told that nothing can be told.
    let file = setting.check("enforce")?;
    let found = setting.policy_json(&["replay", recording, "--candidate", &file], DONE).await?;
    ensure!(found["undecided"]["purpose"].as_u64() > Some(0), "found {found}");
    Ok(())
}

async fn an_enforced_check_denies_in_its_own_name(setting: &Setting) -> Result<()> {
    let file = setting.check("enforce")?;
    let plan = setting.policy(&["apply", &file, "--dry-run"], DONE).await?;
    plan.says("Check/purpose changed")?;
    setting.all_answer(CARELESS, 200).await?;
    let applied =
        setting.policy_json(&["apply", &file, "--canary", "10%", "-m", "enforce"], DONE).await?;
    ensure!(applied["outcome"] == "in_force", "found {applied}");
    for answer in setting.soon_answers(CARELESS, 403).await? {
        let problem = answer.json()?;
        ensure!(problem["code"] == "purpose_missing", "found {problem}");
        ensure!(problem["check"] == "purpose", "found {problem}");
        ensure!(problem["detail"] == format!("{CARELESS} must say {PURPOSE}"), "found {problem}");
        ensure!(problem["revision"] == applied["revision"], "found {problem}, {applied}");
        let header = answer.headers.get("x-bulkhead-check").context("the header of the check")?;
        ensure!(header == "purpose", "found {header:?}");
    }
    setting.all_answer(LOADED, 200).await?;
    Ok(())
}

async fn a_rollback_lets_pass_again_and_the_history_says_so(setting: &Setting) -> Result<()> {
    setting.policy(&["rollback", "-m", "too early"], DONE).await?.says("Check/purpose changed")?;
    setting.soon_answers(CARELESS, 200).await?;
    let history = setting.policy_json(&["history"], DONE).await?;
    let revisions = history["revisions"].as_array().context("revisions")?;
    let messages: Vec<&str> =
        revisions.iter().filter_map(|revision| revision["message"].as_str()).collect();
    let expected = ["too early", "enforce", "try it", "onboarding"];
    ensure!(messages.starts_with(&expected), "expected {expected:?}, found {history}");
    let rolled_back_to = &revisions[0]["rolled_back_to"];
    ensure!(*rolled_back_to == revisions[2]["seq"], "expected a rollback, found {history}");
    setting.policy(&["history"], DONE).await?.says("too early")?;
    setting.policy(&["status"], DONE).await?.says("ingress")
}

async fn a_stale_apply_changes_nothing_and_says_what_came_between(setting: &Setting) -> Result<()> {
    let history = setting.policy_json(&["history"], DONE).await?;
    let seen = history["revisions"][1]["seq"].to_string();
    let file = setting.check("enforce")?;
    let stale = setting.policy(&["apply", &file, "--expect", &seen], STALE).await?;
    stale.says("too early")?;
    stale.says("Check/purpose changed")?;
    let after = setting.policy_json(&["history"], DONE).await?;
    ensure!(after == history, "expected no change, found {after}");
    Ok(())
}

async fn a_check_with_a_mistake_is_refused_with_its_place(setting: &Setting) -> Result<()> {
    let wrong = check("enforce").replace("request.headers", "request.haeders");
    let file = setting.write("wrong.yaml", &wrong)?;
    let refused = setting.policy(&["apply", &file], REFUSED).await?;
    refused.says("wrong.yaml:")?;
    refused.says("headers")?;
    setting.all_answer(CARELESS, 200).await?;
    Ok(())
}

/// The refusing proxy is a real ingress that was started with another seal key, so that it cannot
/// open any table's passport key.
async fn a_canary_that_refuses_is_rolled_back_and_nobody_else_hears_of_it(
    setting: &Setting,
) -> Result<()> {
    let edge = &setting.edge;
    let strange = Envoy::start(EnvoyOptions {
        node_id: "strange".to_owned(),
        role: Role::Ingress { seal_key: OTHER_SEAL_KEY.to_owned() },
        listen: ports::free()?,
        xds_grpc: edge.ingress().options().xds_grpc,
        workers: 1,
        folder: edge.folder().join("logs"),
    })?;
    until("the strange ingress to refuse its table", PATIENCE, async || {
        strange.service().check()?;
        let status = setting.policy(&["status"], DONE).await?;
        let row = status.out.lines().find(|line| line.starts_with("strange"));
        Ok(row.is_some_and(|row| row.contains("refused: ")).then_some(()))
    })
    .await?;
    let before = setting.policy_json(&["history"], DONE).await?;
    let file = setting.check("enforce")?;
    let canary = ["apply", &file, "--canary", "strange", "--timeout", "20"];
    let failed = setting.policy(&canary, CANARY_FAILED).await?;
    failed.says("strange refused")?;
    failed.says("rolled back")?;
    let after = setting.policy_json(&["history"], DONE).await?;
    ensure!(after == before, "expected no change, found {after}");
    setting.all_answer(CARELESS, 200).await?;
    // Without a canary it holds, and who refuses it is told.
    let refused = setting.policy(&["apply", &file], REFUSED_BY_PROXY).await?;
    refused.says("strange refused")?;
    setting.soon_answers(CARELESS, 403).await?;
    let file = setting.check("shadow")?;
    let nobody = ["apply", &file, "--canary", "nobody"];
    setting.policy(&nobody, 1).await?.says("ingress")?;
    Ok(())
}
