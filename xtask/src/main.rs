//! `cargo xtask`: everything that is done to this workspace, with all of its set-up.
//!
//! It depends on next to nothing, so that it is built in seconds and can say what is missing on a
//! bare machine. It deliberately knows nothing of tenants, policies or Envoy's configuration: it
//! fetches, builds and starts. Start reading with [`TASKS`], then [`envoy::provide`].

mod bench;
mod bless;
mod build;
mod check;
mod clients;
mod command;
mod envoy;
mod phase;
mod pins;
mod python;
mod test;
mod train;
mod up;
mod vulkan;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

/// A task: what it is called, what it takes, what it does.
struct Task {
    name: &'static str,
    arguments: &'static str,
    does: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const TASKS: &[Task] = &[
    Task {
        name: "up",
        arguments: "[OPTIONS]",
        does: "start all of Bulkhead on this machine and replay real flights through it (`up --help`)",
        run: up::run,
    },
    Task {
        name: "test",
        arguments: "[CARGO TEST OPTIONS]",
        does: "run every test, those with a real Envoy among them",
        run: test::run,
    },
    Task {
        name: "check",
        arguments: "",
        does: "formatting, lints, documentation, dependencies: warnings are errors",
        run: check::run,
    },
    Task {
        name: "envoy",
        arguments: "",
        does: "fetch the pinned Envoy and say where it is",
        run: |_| envoy::provide().map(drop),
    },
    Task {
        name: "wasm",
        arguments: "",
        does: "build the WebAssembly filters",
        run: |_| build::wasm_filters().map(drop),
    },
    Task {
        name: "bless",
        arguments: "[FILE|DIR...]",
        does: "refresh what scenarios expect from what the filters do, and show the change",
        run: bless::run,
    },
    Task {
        name: "bench",
        arguments: "[NAME]",
        does: "compare with the peers, in one run on one machine",
        run: bench::run,
    },
    Task {
        name: "train",
        arguments: "",
        does: "train the models of examples/flights again",
        run: train::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        list();
        return Ok(());
    };
    if matches!(name.as_str(), "help" | "-h" | "--help") {
        list();
        return Ok(());
    }
    match TASKS.iter().find(|task| task.name == name) {
        Some(task) => (task.run)(rest),
        None => {
            list();
            bail!("expected one of the tasks above, found `{name}`")
        }
    }
}

fn list() {
    println!("cargo xtask TASK\n");
    for task in TASKS {
        let call = format!("{} {}", task.name, task.arguments);
        println!("  {call:<28} {}", task.does);
    }
    println!("\nEach task does its own set-up; what it fetches and keeps lies in .bulkhead/.");
}
