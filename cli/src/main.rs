//! `bulkhead`: the one binary. It runs the control plane, the sidecar and the relay, and is what an
//! operator types.
//!
//! It deliberately decides nothing: servers are started with what the arguments say, and
//! operators' commands are calls of the xds-server's HTTP API. Start reading with [`Command`].

mod apply;
mod dev_issuer;
mod exit;
mod model;
mod operator;
mod policy;
mod relay;
mod server;
mod sidecar;
mod status;
mod table;
mod up;
mod usage;
mod xds_server;

use std::{process::ExitCode, time::Duration};

use anyhow::{Result, anyhow};
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Multi-tenant where sharing is safe, single-tenant where the contract demands it.
#[derive(Debug, Parser)]
#[command(name = "bulkhead", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the control plane: registry, xDS, usage, and the API that the other commands call.
    XdsServer(xds_server::Arguments),
    /// Run a node's sidecar: models, inference, metering.
    Sidecar(sidecar::Arguments),
    /// Run beside an Envoy what it starts on while the control plane is dead.
    Relay(relay::Arguments),
    /// Run an OpenID Connect issuer for development; it gives a token to whoever asks.
    DevIssuer(dev_issuer::Arguments),
    /// Start all of it on this machine and replay real flights of sixteen tenants through it.
    Up(up::Arguments),
    /// Create and change resources.
    Apply(apply::Arguments),
    /// Write, test, try, push and take back isolation checks.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Make, show and check models as packages.
    #[command(subcommand)]
    Model(model::Command),
    /// Show what each proxy has in force, and what it refused.
    Status(status::Arguments),
    /// Tokens for who may use the xds-server's HTTP API.
    #[command(subcommand)]
    Operator(operator::Command),
    /// Show what was used.
    Usage(usage::Arguments),
}

/// How long a driver may go on compiling, or letting go of a device, once all else has ended. One
/// that takes longer hangs.
const DRIVERS_END_WITHIN: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = start(arguments.command);
    if !gpu::driver_threads_end_within(DRIVERS_END_WITHIN) {
        eprintln!(
            "warning: a device's driver is still at work, and may end this process by a signal"
        );
    }
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> Result<ExitCode> {
    log_to_stderr(&command);
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow!("another provider of cryptography was installed before"))?;
    if let Command::Sidecar(arguments) = &command {
        // Before there are threads: they take over how the one that starts them is scheduled.
        arguments.confine()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::XdsServer(arguments) => Box::pin(xds_server::run(arguments)).await,
            Command::Sidecar(arguments) => Box::pin(sidecar::run(arguments)).await,
            Command::Relay(arguments) => Box::pin(relay::run(arguments)).await,
            Command::DevIssuer(arguments) => dev_issuer::run(arguments).await,
            Command::Up(arguments) => Box::pin(up::run(arguments)).await,
            Command::Apply(arguments) => return Box::pin(apply::run(arguments)).await,
            Command::Model(command) => model::run(command),
            Command::Status(arguments) => status::run(arguments).await,
            Command::Policy(command) => return Box::pin(policy::run(command)).await,
            Command::Operator(command) => operator::run(command),
            Command::Usage(arguments) => usage::run(arguments).await,
        }?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Servers log what they do, commands only what goes wrong. `BULKHEAD_LOG` says otherwise, for
/// instance `debug` or `info,xds=trace`.
fn log_to_stderr(command: &Command) {
    let default = match command {
        Command::XdsServer(_) | Command::Sidecar(_) | Command::Relay(_) | Command::DevIssuer(_) => {
            "info"
        }
        _ => "error",
    };
    let filter =
        EnvFilter::try_from_env("BULKHEAD_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
