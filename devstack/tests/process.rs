//! What the stack starts, it stops; what is to be kept running is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use std::{path::Path, time::Duration};

use devstack::{
    process::{Child, Launch, Service},
    until,
};

fn shell(name: &str, script: &str, logs: &Path) -> Launch {
    Launch::new(name, "/bin/sh", logs).args(["-c", script])
}

/// Whether a process of this id is there and is not one that merely waits to be collected.
fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.trim_start().starts_with('Z'))
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    until(what, Duration::from_secs(20), async || Ok(is_so().then_some(()))).await.unwrap();
}

#[test]
fn a_process_ends_when_its_handle_is_dropped() {
    let logs = tempfile::tempdir().unwrap();
    let child = Child::spawn(&shell("sleeper", "exec sleep 600", logs.path())).unwrap();
    let pid = child.pid();
    assert!(runs(pid));
    drop(child);
    assert!(!runs(pid));
}

#[tokio::test]
async fn what_a_process_started_ends_with_it() {
    let logs = tempfile::tempdir().unwrap();
    let mut child =
        Child::spawn(&shell("parent", "sleep 600 & echo $!; wait", logs.path())).unwrap();
    eventually("the grandchild's id in the log", || !child.log_tail(1).is_empty()).await;
    let grandchild: u32 = child.log_tail(1).parse().unwrap();
    assert!(runs(grandchild));
    child.kill_hard();
    eventually("the grandchild to end", || !runs(grandchild)).await;
}

/// The thread that asked for a process is not the one that the kernel holds it to.
#[test]
fn a_process_outlives_the_thread_that_started_it() {
    let logs = tempfile::tempdir().unwrap();
    let launch = shell("sleeper", "exec sleep 600", logs.path());
    let mut child = std::thread::spawn(move || Child::spawn(&launch).unwrap()).join().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert!(child.is_alive());
}

#[test]
fn what_cannot_be_started_is_told_with_its_name() {
    let logs = tempfile::tempdir().unwrap();
    let error = Child::spawn(&Launch::new("nothing", "/no/such/program", logs.path())).unwrap_err();
    let told = format!("{error:#}");
    assert!(told.contains("nothing (/no/such/program)") && told.contains("No such file"), "{told}");
}

#[tokio::test]
async fn a_service_that_crashed_is_started_again_as_another_process() {
    let logs = tempfile::tempdir().unwrap();
    let service = Service::start(shell("service", "exec sleep 600", logs.path())).unwrap();
    let first = service.pid().unwrap();
    service.crash();
    eventually("another process", || service.pid().is_some_and(|pid| pid != first)).await;
    assert_eq!(service.restarts(), 1);
    assert!(!runs(first));
}

#[tokio::test]
async fn a_service_that_was_taken_down_stays_down_until_it_is_started() {
    let logs = tempfile::tempdir().unwrap();
    let service = Service::start(shell("service", "exec sleep 600", logs.path())).unwrap();
    service.kill_hard();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!service.is_alive());
    service.start_again().unwrap();
    assert!(service.is_alive());
    assert_eq!(service.restarts(), 0);
}

#[tokio::test]
async fn a_service_that_cannot_start_is_given_up_with_its_own_words() {
    let logs = tempfile::tempdir().unwrap();
    let service =
        Service::start(shell("broken", "echo no such file; exit 3", logs.path())).unwrap();
    eventually("it to be given up", || service.check().is_err()).await;
    let error = service.check().unwrap_err().to_string();
    assert!(error.contains("no such file"), "{error}");
}
