//! The two planes of a node: what is for batch work gives way to what somebody waits for, in every
//! one of its threads, and serves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use std::{
    fs::{self, DirEntry},
    io,
    path::Path,
};

use anyhow::{Context as _, Result};
use devstack::stack::Stack;
use tests::e2e::{example::Example, tenant::Tenant};

/// The processor that the batch plane is kept on.
const PROCESSOR: &str = "0";

/// A tenth of the weight that others have (`nice(2)`).
const NICENESS: i64 = 10;

/// `SCHED_BATCH` and `SCHED_IDLE` (`sched(7)`): neither takes a processor from a thread that wakes up.
const GIVE_WAY: [i64; 2] = [3, 5];

/// How a thread is scheduled.
#[derive(Debug, PartialEq, Eq)]
struct Scheduling {
    niceness: i64,
    policy: i64,
    processors: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_thread_of_the_batch_plane_gives_way_and_stays_on_its_processors() {
    let batch = ["--plane", "batch", "--cpus", PROCESSOR];
    let builder = batch.into_iter().fold(Stack::builder(), |it, next| it.sidecar_argument(next));
    let stack = builder.start().await.unwrap();
    let example = Example::read().unwrap();
    // So that the threads that execute are there.
    for tenant in ["org_ua", "org_aa", "org_dl"] {
        Tenant::of(&stack, tenant).unwrap().predict(&example, 8).await.unwrap();
    }
    for plane in stack.planes() {
        let found = threads(plane.sidecar().pid().unwrap()).unwrap();
        eprintln!("{}: {} threads", plane.sidecar().name(), found.len());
        assert!(found.len() > 1, "found {found:?}");
        for thread in found {
            assert_eq!(thread.niceness, NICENESS, "{thread:?}");
            assert!(GIVE_WAY.contains(&thread.policy), "{thread:?}");
            assert_eq!(thread.processors, PROCESSOR, "{thread:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_thread_of_the_interactive_plane_gives_way_unless_it_runs_beyond_a_share() {
    let stack = Stack::builder().start().await.unwrap();
    let all = scheduling(Path::new("/proc/thread-self")).unwrap().processors;
    for plane in stack.planes() {
        for thread in threads(plane.sidecar().pid().unwrap()).unwrap() {
            assert_eq!(thread.niceness, 0, "{thread:?}");
            assert_eq!(thread.processors, all, "{thread:?}");
        }
    }
}

fn threads(pid: u32) -> Result<Vec<Scheduling>> {
    let folder = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))?;
    let of = |task: io::Result<DirEntry>| {
        let task = task?.path();
        match scheduling(&task) {
            // It ended meanwhile.
            Err(_) if !task.exists() => Ok(None),
            found => found.map(Some),
        }
    };
    tasks.filter_map(|task| of(task).transpose()).collect()
}

/// As `proc_pid_stat(5)` and `proc_pid_status(5)` describe it.
fn scheduling(task: &Path) -> Result<Scheduling> {
    let stat = fs::read_to_string(task.join("stat"))?;
    // The name before it may hold anything, also spaces; what follows starts with the third field.
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |number: usize| -> Result<i64> {
        let text = fields.get(number - 3).with_context(|| format!("no field {number}: {stat}"))?;
        Ok(text.parse()?)
    };
    let status = fs::read_to_string(task.join("status"))?;
    let processors = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let processors = processors.context("no processors in status")?.trim().to_owned();
    Ok(Scheduling { niceness: field(19)?, policy: field(41)?, processors })
}
