//! `bulkhead up`, as a user types it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

#[path = "e2e_up/descendants.rs"]
mod descendants;

use std::{fs, path::Path, process::Command, time::Duration};

use descendants::Descendants;
use devstack::{
    environment,
    process::{Child, Launch},
    until,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::sync::Mutex;

/// For a stack to start and replay on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(300);

/// A thin carrier: five held-out flights say little about a model.
const THIN: &str = "org_oo";

const REQUESTS: u64 = 20;

/// Each looks for ports that are free, and takes them one after another: two at once might find the same.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The xds-server, three Envoys and two sidecars.
const PROCESSES: usize = 6;

#[tokio::test]
async fn one_replay_serves_and_meters_sixteen_tenants_and_leaves_no_process_behind() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let launch = up(folder.path()).args(["--once", "--report"]).arg(&report);
    let mut up = Child::spawn(&launch).unwrap();
    let mut descendants = Descendants::of(up.pid());
    let status = until("`bulkhead up --once` to end", PATIENCE, async || {
        descendants.look();
        Ok(up.exit_status())
    });
    let status = status.await.unwrap();
    let said = fs::read_to_string(&launch.log).unwrap();
    assert!(status.success(), "{said}");
    eprintln!("{said}");

    let report: Value = serde_json::from_str(&fs::read_to_string(&report).unwrap()).unwrap();
    let tenants = report["tenants"].as_array().unwrap();
    assert_eq!(tenants.len(), 16, "{report}");
    for tenant in tenants {
        assert_served(tenant);
    }
    assert_eq!(report["processes_that_died"], Value::Array(vec![]), "{report}");
    let silos: Vec<&Value> = tenants.iter().filter(|it| it["tier"] == "silo").collect();
    assert!(matches!(silos.as_slice(), [it] if it["data_plane"] == "silo-dl"), "{silos:?}");

    assert!(descendants.seen() >= PROCESSES, "{descendants:?}");
    assert_eq!(descendants.alive(), Vec::<String>::new());
}

fn assert_served(tenant: &Value) {
    let number = |field: &str| tenant[field].as_u64().unwrap();
    // The thinnest carrier has five held-out flights, which are requests of 1, 1, 1 and 2.
    let expected = if tenant["tenant"] == THIN { 4 } else { REQUESTS };
    assert_eq!(number("requests"), expected, "{tenant}");
    assert_eq!((number("refused"), number("failed")), (0, 0), "{tenant}");
    assert!(number("units_served") >= expected, "{tenant}");
    assert_eq!(number("units_metered"), number("units_served"), "{tenant}");
    assert_eq!(tenant["versions"], serde_json::json!(["1"]), "{tenant}");
    let mape = tenant["mape"].as_f64().unwrap();
    assert!(mape > 0.0 && (mape < 0.2 || tenant["tenant"] == THIN), "{tenant}");
}

#[tokio::test]
async fn up_prints_curl_lines_that_work_and_an_interrupt_stops_all_that_it_started() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let launch = up(folder.path());
    let mut up = Child::spawn(&launch).unwrap();
    let mut descendants = Descendants::of(up.pid());
    let said = until("`bulkhead up` to stay up", PATIENCE, async || {
        descendants.look();
        let said = fs::read_to_string(&launch.log)?;
        if let Some(status) = up.exit_status() {
            anyhow::bail!("it ended with {status}:\n{said}");
        }
        Ok(said.contains("Ctrl-C").then_some(said))
    });
    let said = said.await.unwrap();

    let lines: Vec<&str> =
        said.lines().map(str::trim).filter(|it| it.starts_with("curl ")).collect();
    assert_eq!(lines.len(), 3, "{said}");
    let answers: Vec<Value> = lines.iter().map(|line| answer_to(line)).collect();
    for answered in &answers[..2] {
        assert_eq!(answered["outputs"][0]["name"], "air_time", "{answered}");
    }
    assert_ne!(answers[0]["outputs"], answers[1]["outputs"], "two tenants' own models");
    assert_eq!(answers[2]["code"], "missing_credentials", "{}", answers[2]);

    descendants.look();
    assert!(descendants.seen() >= PROCESSES, "{descendants:?}");
    let pid = Pid::from_raw(i32::try_from(up.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let status = until("`bulkhead up` to end", PATIENCE, async || Ok(up.exit_status()));
    let status = status.await.unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(descendants.alive(), Vec::<String>::new());
}

#[tokio::test]
async fn what_up_started_ends_with_it_even_where_it_is_killed() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let mut up = Child::spawn(&up(folder.path())).unwrap();
    let mut descendants = Descendants::of(up.pid());
    let all = until("all processes to run", PATIENCE, async || {
        descendants.look();
        if let Some(status) = up.exit_status() {
            anyhow::bail!("it ended with {status}:\n{}", up.log_tail(20));
        }
        Ok((descendants.alive().len() >= PROCESSES).then_some(()))
    });
    all.await.unwrap();
    // To it alone, and not to its group.
    let pid = Pid::from_raw(i32::try_from(up.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let ended = until("all processes to end", PATIENCE, async || {
        let alive = descendants.alive();
        Ok((up.exit_status().is_some() && alive.is_empty()).then_some(()))
    });
    ended.await.unwrap();
}

/// Dropping what is started with it ends it in order, so that it stops what it started in turn.
fn up(folder: &Path) -> Launch {
    Launch::new("up", environment::bulkhead().unwrap(), folder)
        .args(["up", "--requests", &REQUESTS.to_string(), "--state"])
        .arg(folder.join("state"))
}

/// Runs a line as a user would paste it, where `up` was typed.
fn answer_to(line: &str) -> Value {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    let body = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(&body)
        .unwrap_or_else(|error| panic!("{line}: {error}: `{body}` {output:?} (curl is needed)"))
}
