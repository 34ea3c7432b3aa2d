//! Envoys that start while the control plane is dead: each on what it took last, which its relay
//! remembers.
//!
//! The deployment is started once, and what follows are its steps in order: each is a promise of
//! its own, and says in its name which.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use devstack::{
    dev_issuer::TokenOptions,
    envoy::Envoy,
    http,
    relay::Relay,
    stack::{Plane, Stack},
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
    load::Load,
    resources::{apply, tenant},
    tenant::Tenant,
};

const SHARED: &str = "shared";
const SILO: &str = "silo-dl";

/// A tenant of each tier, and what stands in its passport.
const POOL: &str = "org_ua";
const BRIDGE: &str = "org_aa";
const SILOED: &str = "org_dl";
/// A tenant that is shut out once the control plane is back.
const SUSPENDED: &str = "org_as";

/// How long a relay's folder must not have changed for what it remembers to be saved. It writes
/// after a quarter of a second.
const QUIET: Duration = Duration::from_secs(3);

struct Setting {
    stack: Stack,
    example: Example,
    files: TempDir,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn envoys_start_without_the_control_plane() -> Result<()> {
    let setting = Box::pin(Setting::start()).await?;
    what_a_relay_remembers_is_for_its_owner_alone(&setting)?;
    setting.stack.kill_xds_server();
    envoys_and_relays_that_start_anew_decide_and_serve_as_before(&setting).await?;
    a_relay_that_is_killed_under_load_fails_no_request(&setting).await?;
    an_envoy_whose_snapshot_is_damaged_serves_nobody(&setting).await?;
    the_control_plane_that_is_back_is_heard_and_obeyed(&setting).await?;
    a_relay_that_lost_its_folder_learns_anew_from_an_envoy_that_runs(&setting).await
}

impl Setting {
    async fn start() -> Result<Self> {
        let stack = Stack::builder().start().await?;
        let setting = Self { stack, example: Example::read()?, files: tempfile::tempdir()? };
        // Their issuers' keys are fetched in the background, and pushed.
        for org in [POOL, BRIDGE, SILOED, SUSPENDED] {
            until(&format!("{org} to be served"), PATIENCE, async || {
                Ok((setting.ask(org).await?.status == 200).then_some(()))
            })
            .await?;
        }
        setting.stack.settled().await?;
        setting.saved().await?;
        Ok(setting)
    }

    fn envoys(&self) -> Vec<(&Envoy, &Relay)> {
        let nodes = self.stack.planes().iter().map(|plane| (plane.node(), plane.relay()));
        nodes.chain([(self.stack.ingress(), self.stack.ingress_relay())]).collect()
    }

    /// Waits until what every Envoy has taken is on the disk, with its code.
    async fn saved(&self) -> Result<()> {
        until("relays to save what their Envoys took", PATIENCE, async || {
            for (_, relay) in self.envoys() {
                let snapshots = files(&relay.state().join("snapshots"))?;
                let is_old =
                    |file: &PathBuf| anyhow::Ok(fs::metadata(file)?.modified()?.elapsed()? > QUIET);
                let are_old = snapshots.iter().map(is_old).collect::<Result<Vec<_>>>();
                // A file may be replaced just now.
                let is_quiet = are_old.is_ok_and(|old| old.len() == 1 && old[0]);
                if !is_quiet || files(&relay.state().join("code"))?.len() != 1 {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await
    }

    /// A prediction, over a new connection and with a new token.
    async fn ask(&self, org: &str) -> Result<Answer> {
        Tenant::of(&self.stack, org)?.post(INFER, self.example.request()).await
    }

    async fn everybody_is_served(&self) -> Result<()> {
        for org in [POOL, BRIDGE, SILOED] {
            Tenant::of(&self.stack, org)?.predict(&self.example, 1).await?;
        }
        self.ask(SUSPENDED).await?.ok()?;
        Ok(())
    }

    async fn bad_tokens_are_denied(&self) -> Result<()> {
        let stack = &self.stack;
        let caller = Caller::new(&stack.ingress_url())?;
        let expired = TokenOptions { expires_in: -1, ..TokenOptions::default() };
        let unsigned = TokenOptions { unsigned: true, ..TokenOptions::default() };
        let foreign =
            TokenOptions { claimed_org: Some(SILOED.to_owned()), ..TokenOptions::default() };
        let cases = [
            (None, 401, "missing_credentials"),
            (Some(expired), 401, "token_expired"),
            (Some(unsigned), 401, "algorithm_not_allowed"),
            (Some(foreign), 403, "org_not_bound_to_issuer"),
        ];
        for (options, status, code) in cases {
            let token = options.map(|options| stack.issuer().token(POOL, &options)).transpose()?;
            let answer = caller.post(INFER, token.as_deref(), self.example.request()).await?;
            answer.denied(status, code)?;
        }
        Ok(())
    }

    /// As somebody would who is inside the network and has come by a genuine passport.
    async fn foreign_passports_are_refused(&self) -> Result<()> {
        let cases = [
            (SILOED, "silo", SILO, SHARED, 403, "wrong_data_plane"),
            (POOL, "pool", SHARED, SILO, 403, "wrong_data_plane"),
            (SILOED, "silo", SILO, SILO, 200, ""),
        ];
        for (org, tier, of, at, status, code) in cases {
            let caller = Caller::new(&self.stack.plane(at)?.node_url())?;
            let request = caller
                .request(Method::POST, INFER, None)
                .header(headers::REQUEST_ID, uuid::Uuid::now_v7().to_string())
                .header(headers::PASSPORT, self.passport(org, tier, of)?);
            let found = caller.send(request.json(self.example.request())).await?;
            let expected = (status, code.to_owned());
            ensure!(found.verdict() == expected, "{org} at {at}: found {}", found.shown());
        }
        Ok(())
    }

    fn passport(&self, org: &str, tier: &str, data_plane: &str) -> Result<String> {
        let file = self.stack.state_dir().join("xds-server/passport.key");
        let passport = Passport {
            tenant: org.parse()?,
            tier: tier.parse()?,
            data_plane: data_plane.parse()?,
            revision: "0123456789abcdef".to_owned(),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        Ok(SigningKey::from_bytes(&fs::read(file)?)?.mint(&passport, now, 60)?)
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// The tenant table holds the passport key, though sealed.
fn what_a_relay_remembers_is_for_its_owner_alone(setting: &Setting) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = |path: &Path| anyhow::Ok(fs::metadata(path)?.permissions().mode() & 0o777);
    for (_, relay) in setting.envoys() {
        ensure!(mode(relay.state())? == 0o700, "{} is open", relay.state().display());
        for folder in ["snapshots", "code"] {
            for file in files(&relay.state().join(folder))? {
                ensure!(mode(&file)? == 0o600, "{} is open", file.display());
            }
        }
    }
    Ok(())
}

async fn envoys_and_relays_that_start_anew_decide_and_serve_as_before(
    setting: &Setting,
) -> Result<()> {
    let stack = &setting.stack;
    let health = http::get(&format!("{}/healthz", stack.admin_url())).await;
    ensure!(health.is_err(), "expected no control plane, found {health:?}");
    for (envoy, relay) in setting.envoys() {
        envoy.service().kill_hard();
        relay.service().kill_hard();
    }
    let gone = setting.ask(POOL).await;
    ensure!(gone.is_err(), "expected no ingress, found {gone:?}");
    // Whoever starts first waits for the other.
    for (envoy, relay) in setting.envoys() {
        envoy.service().start_again()?;
        relay.service().start_again()?;
    }
    // Sidecars start on what they know by themselves.
    for plane in stack.planes() {
        plane.sidecar().crash();
        stack.sidecar_ready(plane.spec().id.as_str()).await?;
    }
    for (envoy, _) in setting.envoys() {
        envoy.ready(PATIENCE).await?;
    }
    setting.everybody_is_served().await?;
    setting.bad_tokens_are_denied().await?;
    setting.foreign_passports_are_refused().await
}

async fn a_relay_that_is_killed_under_load_fails_no_request(setting: &Setting) -> Result<()> {
    let load = Load::of_predictions(&setting.stack, BRIDGE, 1)?;
    load.answers(50).await?;
    for (_, relay) in setting.envoys() {
        relay.service().crash();
        relay.ready(PATIENCE).await?;
    }
    load.answers(100).await?;
    let outcomes = load.stop().await?;
    println!("with every relay killed and no control plane: {outcomes:?}");
    outcomes.all_served()?;
    // They are connected again, and nothing was taken from them.
    for (envoy, _) in setting.envoys() {
        until("an Envoy to be connected to its relay again", PATIENCE, async || {
            let connected = envoy.stats("^control_plane.connected_state$").await?;
            Ok(connected.iter().any(|(_, state)| *state == 1).then_some(()))
        })
        .await?;
    }
    setting.everybody_is_served().await
}

async fn an_envoy_whose_snapshot_is_damaged_serves_nobody(setting: &Setting) -> Result<()> {
    let (ingress, relay) = (setting.stack.ingress(), setting.stack.ingress_relay());
    ingress.service().stop();
    relay.service().stop();
    for snapshot in files(&relay.state().join("snapshots"))? {
        let mut bytes = fs::read(&snapshot)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&snapshot, bytes)?;
    }
    relay.service().start_again()?;
    relay.ready(PATIENCE).await?;
    ingress.service().start_again()?;
    until("the relay to say what is the matter", PATIENCE, async || {
        let log = relay.service().log_tail(200);
        let says = log.contains("damaged") && log.contains("it serves nobody until");
        Ok(says.then_some(()))
    })
    .await?;
    let answer = setting.ask(POOL).await;
    ensure!(answer.is_err(), "expected no listener, found {answer:?}");
    Ok(())
}

async fn the_control_plane_that_is_back_is_heard_and_obeyed(setting: &Setting) -> Result<()> {
    let stack = &setting.stack;
    stack.start_xds_server().await?;
    stack.ingress().ready(PATIENCE).await?;
    stack.settled().await?;
    setting.everybody_is_served().await?;
    let load = Load::of_predictions(stack, BRIDGE, 1)?;
    load.answers(20).await?;
    for (suspended, status, code) in [(true, 403, "tenant_suspended"), (false, 200, "")] {
        let models = r#"models: [{name: air-time, model: air-time-pooled, version: "1"}]"#;
        let suspended = format!("suspended: {suspended}");
        let yaml = tenant(SUSPENDED, "pool", SHARED, &[models, &suspended]);
        apply(setting.files.path(), &stack.admin_url(), &yaml).await?;
        let what = format!("{SUSPENDED} to get {status} {code}");
        until(&what, PATIENCE, async || {
            let found = setting.ask(SUSPENDED).await?.verdict();
            Ok((found == (status, code.to_owned())).then_some(()))
        })
        .await?;
        println!(
            "{SUSPENDED}, suspended or not by the control plane that is back: {status} {code}"
        );
        // Under an Envoy that runs, a relay is started again without anybody's notice.
        for relay in [stack.ingress_relay(), stack.plane(SHARED).map(Plane::relay)?] {
            relay.service().crash();
        }
        load.answers(50).await?;
    }
    stack.settled().await?;
    let outcomes = load.stop().await?;
    println!("with pushes and relays killed: {outcomes:?}");
    outcomes.all_served()?;
    setting.everybody_is_served().await?;
    setting.bad_tokens_are_denied().await?;
    setting.foreign_passports_are_refused().await
}

async fn a_relay_that_lost_its_folder_learns_anew_from_an_envoy_that_runs(
    setting: &Setting,
) -> Result<()> {
    let stack = &setting.stack;
    let load = Load::of_predictions(stack, BRIDGE, 1)?;
    load.answers(20).await?;
    for (_, relay) in setting.envoys() {
        relay.service().kill_hard();
        fs::remove_dir_all(relay.state())?;
        relay.service().start_again()?;
        relay.ready(PATIENCE).await?;
    }
    setting.saved().await?;
    load.answers(50).await?;
    let outcomes = load.stop().await?;
    println!("with every relay's folder lost: {outcomes:?}");
    outcomes.all_served()?;

    stack.kill_xds_server();
    for (envoy, _) in setting.envoys() {
        envoy.service().crash();
        envoy.ready(PATIENCE).await?;
    }
    setting.everybody_is_served().await?;
    setting.bad_tokens_are_denied().await
}
