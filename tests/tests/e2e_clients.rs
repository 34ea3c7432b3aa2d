//! The public clients of the inference protocol, unchanged, against the whole deployment: real
//! Envoys, real tokens, the flights example.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};
use devstack::{environment, stack::Stack, until};
use serde_json::{Value, json};
use tests::e2e::{
    edge::PATIENCE,
    example::Example,
    ledger::{Ledger, Metered},
    tenant::Tenant,
};

/// Names the Python that has the clients; `cargo xtask test` sets it.
const VARIABLE: &str = "BULKHEAD_CLIENTS_PYTHON";

/// With what each script is answered: requests and rows.
const SCRIPTS: [(&str, u64, u64); 3] =
    [("triton_http.py", 13, 199), ("triton_grpc.py", 22, 84), ("kserve_both.py", 8, 132)];

/// A tenant whose rate is soon used up.
const LIMITED: &str = r#"
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata:
  name: org_oo
spec:
  tier: pool
  dataPlane: shared
  rateLimit: {requests: 1, burst: 2}
  models:
    - {name: air-time, model: air-time-pooled, version: "1"}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn public_clients_work_unchanged_and_what_they_are_answered_is_metered() {
    let Some(python) = python() else {
        eprintln!("SKIPPED: no Python with the clients: run `cargo xtask test`, or set {VARIABLE}");
        return;
    };
    let stack = Stack::builder().start().await.unwrap();
    let ledger = Ledger::of(&stack);
    let file = stack.state_dir().join("limited.yaml");
    std::fs::write(&file, LIMITED).unwrap();
    stack.apply(&[file]).await.unwrap();
    stack.settled().await.unwrap();

    let setting = stack.state_dir().join("clients.json");
    std::fs::write(&setting, setting_of(&stack).unwrap().to_string()).unwrap();
    let mut expected = Metered::default();
    for (script, requests, rows) in SCRIPTS {
        run(&python, script, &setting).unwrap();
        expected.events += requests;
        expected.rows += rows;
    }
    let metered = until("what was answered to be metered", PATIENCE, async || {
        let metered = ledger.metered("org_aa").await?;
        Ok((metered.events >= expected.events).then_some(metered))
    });
    assert_eq!(metered.await.unwrap(), expected);
}

fn setting_of(stack: &Stack) -> Result<Value> {
    let example = Example::read()?;
    let token = |tenant| Tenant::of(stack, tenant).map(|tenant| tenant.token);
    Ok(json!({
        "address": stack.ingress().options().listen.to_string(),
        "token": token("org_aa")?,
        "stranger": token("org_ev")?,
        "limited": token("org_oo")?,
        "minutes": example.minutes("org_aa")?,
        "flight": example.request(),
    }))
}

fn run(python: &Path, script: &str, setting: &Path) -> Result<()> {
    let clients = environment::repository().join("tests/clients");
    let output = Command::new(python).arg(clients.join(script)).arg(setting).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success() && said.contains("kept"),
        "{script}:\n{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The Python that is named, or that of the project's virtual environment.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os(VARIABLE).map(PathBuf::from);
    let own = environment::repository().join(".bulkhead/venv/clients/bin/python");
    named.or_else(|| own.exists().then_some(own))
}
