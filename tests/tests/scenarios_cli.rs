//! `bulkhead policy lint`, `test` and `explain`, as an operator and a CI system run them.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use devstack::environment;
use serde_json::Value;
use tempfile::TempDir;

const RESOURCES: &str = "
apiVersion: bulkhead.dev/v1
kind: DataPlane
metadata: { name: shared }
spec: { region: here, tiers: [pool], endpoints: [{ address: 127.0.0.1, port: 1 }] }
---
apiVersion: bulkhead.dev/v1
kind: Issuer
metadata: { name: acme }
spec:
  issuer: https://login.acme.example
  audiences: [api]
  algorithms: [ES256]
  orgs: [org_acme]
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: { name: org_acme }
spec: { tier: pool, dataPlane: shared }
";

const CHECK: &str = "
apiVersion: bulkhead.dev/v1
kind: Check
metadata: { name: reads-only }
spec:
  description: Nobody changes anything.
  points: [gate]
  expression: request.method == 'GET'
  denial: { status: 405, code: reads_only, message: 'found ${request.method}' }
";

const SCENARIO: &str = "\
promise: Acme reads & does not write.
given: [check: reads-only]
requests:
  # Reading.
  - token: { issuer: acme }
    method: GET
    expect: { forwarded: { tenant: org_acme, data_plane: shared } }
  - token: { issuer: acme }
    expect: { denied: { status: 405, code: reads_only, check: reads-only } }
";

/// What a run printed, and its exit status.
struct Ran {
    status: i32,
    out: String,
    err: String,
}

fn policy(arguments: &[&str]) -> Result<Ran> {
    let output = Command::new(environment::bulkhead()?)
        .arg("policy")
        .args(arguments)
        .env("BULKHEAD_WASM_DIR", environment::wasm_dir()?)
        .env("BULKHEAD_WASM_CACHE", environment::repository().join(".bulkhead/cache/wasm"))
        .output()?;
    Ok(Ran {
        status: output.status.code().context("it was killed")?,
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}

/// A folder as a platform team keeps it: its resources, a check and a scenario.
fn team(scenario: &str) -> Result<TempDir> {
    let folder = TempDir::with_prefix("bulkhead-policy-")?;
    fs::create_dir(folder.path().join("checks"))?;
    for (file, text) in [
        ("deployment.yaml", RESOURCES),
        ("checks/reads-only.yaml", CHECK),
        ("checks/reads-only.scenario.yaml", scenario),
    ] {
        fs::write(folder.path().join(file), text)?;
    }
    Ok(folder)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn a_kept_scenario_is_a_success_and_says_over_what() -> Result<()> {
    let folder = team(SCENARIO)?;
    let ran = policy(&["test", &shown(folder.path())])?;
    ensure!(ran.status == 0, "{}{}", ran.out, ran.err);
    ensure!(
        ran.out.starts_with("1 scenario over native and wasm: 2 kept, 0 broken"),
        "{}",
        ran.out
    );
    Ok(())
}

#[test]
fn a_broken_scenario_is_told_with_its_place_and_what_was_found_and_in_junits_words() -> Result<()> {
    let folder = team(&SCENARIO.replace("status: 405", "status: 403"))?;
    let (file, junit) =
        (folder.path().join("checks/reads-only.scenario.yaml"), folder.path().join("r.xml"));
    let ran = policy(&["test", &shown(&file), "--junit", &shown(&junit)])?;
    ensure!(ran.status == 1, "{}{}", ran.out, ran.err);
    let told = format!(
        "{}:8: request 2: expected 403 reads_only by check `reads-only`, found 405 reads_only by \
         check `reads-only` (over wasm)",
        shown(&file)
    );
    ensure!(ran.out.contains(&told), "{}", ran.out);
    let report = fs::read_to_string(&junit)?;
    let suite = "<testsuite name=\"scenarios.native\" tests=\"1\" failures=\"1\" errors=\"0\"";
    ensure!(report.contains(suite), "{report}");
    ensure!(report.contains("<failure message=\"Acme reads &amp; does not write.\">"), "{report}");
    Ok(())
}

#[test]
fn mistakes_in_scenarios_are_another_exit_status() -> Result<()> {
    let folder = team(&SCENARIO.replace("method:", "methd:"))?;
    let ran = policy(&["test", &shown(folder.path())])?;
    ensure!(ran.status == 2, "{}{}", ran.out, ran.err);
    ensure!(ran.err.contains("reads-only.scenario.yaml:6:"), "{}", ran.err);
    Ok(())
}

#[test]
fn blessing_changes_what_is_expected_and_shows_it() -> Result<()> {
    let folder = team(&SCENARIO.replace("status: 405", "status: 403"))?;
    let ran = policy(&["test", "--bless", &shown(folder.path())])?;
    ensure!(ran.status == 0, "{}{}", ran.out, ran.err);
    let change = "-    expect: { denied: { status: 403, code: reads_only, check: reads-only } }\n\
                  +    expect: { denied: { status: 405, code: reads_only, check: reads-only } }\n";
    ensure!(ran.out.contains(change), "{}", ran.out);
    let file = folder.path().join("checks/reads-only.scenario.yaml");
    ensure!(fs::read_to_string(file)? == SCENARIO, "more was changed than what is expected");
    Ok(())
}

#[test]
fn lint_tells_every_mistake_with_its_place() -> Result<()> {
    let folder = team(SCENARIO)?;
    let good = policy(&["lint", &shown(folder.path())])?;
    ensure!(good.status == 0, "{}{}", good.out, good.err);
    let check = folder.path().join("checks/reads-only.yaml");
    fs::write(&check, CHECK.replace("request.method ==", "request.methd =="))?;
    let bad = policy(&["lint", &shown(folder.path())])?;
    ensure!(bad.status == 1, "{}{}", bad.out, bad.err);
    ensure!(bad.out.contains(&format!("{}:8:", shown(&check))), "{}", bad.out);
    ensure!(bad.out.contains("did you mean `method`?"), "{}", bad.out);
    let json = policy(&["lint", "--format", "json", &shown(folder.path())])?;
    let report: Value = serde_json::from_str(&json.out)?;
    ensure!(report["errors"] == 1 && report["diagnostics"][0]["origin"]["line"] == 8, "{report}");
    Ok(())
}

#[test]
fn an_explanation_says_who_which_checks_and_where_to() -> Result<()> {
    let folder = team(SCENARIO)?;
    let (resources, check) = (
        shown(&folder.path().join("deployment.yaml")),
        shown(&folder.path().join("checks/reads-only.yaml")),
    );
    let of = |more: &[&str]| {
        let claims = r#"{"org_id":"org_acme"}"#;
        let all = ["explain", "-f", &resources, "-f", &check, "--claims", claims];
        policy(&[&all, more].concat())
    };
    let denied = of(&["--method", "PUT"])?;
    ensure!(denied.status == 0, "{}{}", denied.out, denied.err);
    ensure!(denied.out.contains("org_acme, tier pool ("), "{}", denied.out);
    let verdict = "denied at the gate by check reads-only: 405 reads_only: found PUT";
    ensure!(denied.out.contains(verdict), "{}", denied.out);
    let forwarded = of(&["--method", "GET", "--json"])?;
    let story: Value = serde_json::from_str(&forwarded.out)?;
    ensure!(story["verdict"] == "forwarded" && story["data_plane"] == "shared", "{story}");
    ensure!(story["checks"][0]["result"] == "passed", "{story}");
    let late = of(&["--method", "GET", "--claims", r#"{"org_id":"org_acme","exp":1}"#]);
    ensure!(late.is_ok_and(|ran| ran.status != 0), "--claims twice was taken");
    Ok(())
}
