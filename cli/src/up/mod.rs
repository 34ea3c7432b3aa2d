//! `bulkhead up`: all of it on this machine, with real flights replayed through it.

mod caller;
mod flights;
mod hints;
mod metered;
mod progress;
mod replay;
mod report;
mod tenants;

use std::{net::SocketAddr, path::PathBuf, time::Instant};

use anyhow::{Context, Result};
use clap::Args;
use devstack::{environment, stack::Stack};
use tokio::signal::unix::{SignalKind, signal};

use crate::server::Server;
use flights::Flights;
use report::Report;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// End after the replay; fail where a request failed, a served answer was not metered or a
    /// process died.
    #[arg(long)]
    once: bool,
    /// Write the table as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The port of 127.0.0.1 that the ingress listens at; a free one where it is not said.
    #[arg(long)]
    port: Option<u16>,
    /// Where state and logs go; emptied at the start. `.bulkhead/state` where it is not said.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Go on with the state of the last run.
    #[arg(long)]
    keep: bool,
    /// How many requests each tenant sends at most.
    #[arg(long, value_name = "N", default_value_t = 300)]
    requests: usize,
    /// How many clients each tenant has.
    #[arg(long, value_name = "N", default_value_t = 2)]
    clients: usize,
    /// How many worker threads the ingress Envoy has.
    #[arg(long, value_name = "N", default_value_t = 2)]
    ingress_workers: u32,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let once = arguments.once;
    tokio::select! {
        outcome = Box::pin(serve(arguments)) => return outcome,
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    anyhow::ensure!(!once, "expected to end after the replay, was stopped before");
    Ok(())
}

async fn serve(arguments: Arguments) -> Result<()> {
    let example = environment::repository().join("examples/flights");
    let flights = Flights::read(&example)?;
    let stack = Box::pin(start(&arguments)).await?;
    let server = Server::new(&stack.admin_url())?;
    let tenants = tenants::in_force(&server).await?;

    let period = metered::Period::starting_now();
    let before = period.units(&server).await?;
    let outcomes = replay::replay(
        &stack,
        &tenants,
        &flights,
        replay::Size { requests: arguments.requests, clients: arguments.clients },
    )
    .await?;
    let after = metered::once_drained(&server, &period, &before, &outcomes).await?;

    let report = Report::new(&tenants, &outcomes, &before, &after, &stack.processes());
    println!("\n{}", report.render());
    if let Some(file) = &arguments.report {
        report.write(file)?;
    }
    if arguments.once {
        return report.verdict();
    }
    if let Err(faults) = report.verdict() {
        eprintln!("{faults:#}\n");
    }
    hints::print(&stack, &tenants, &flights).await?;
    std::future::pending().await
}

async fn start(arguments: &Arguments) -> Result<Stack> {
    let state = arguments
        .state
        .clone()
        .unwrap_or_else(|| environment::repository().join(".bulkhead/state"));
    let started = Instant::now();
    println!("starting the development issuer, the control plane, an ingress and two data planes");
    let mut builder = Stack::builder()
        .bulkhead(std::env::current_exe()?)
        .state_dir(&state)
        .keep_state(arguments.keep)
        .ingress_workers(arguments.ingress_workers);
    if let Some(port) = arguments.port {
        builder = builder.listen(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    let stack = Box::pin(builder.start()).await.with_context(|| {
        format!("not all of it came up; its logs are in {}", state.join("logs").display())
    })?;
    println!("ready in {:.1} s: {}", started.elapsed().as_secs_f64(), stack.ingress_url());
    println!("logs and state: {}", state.display());
    Ok(stack)
}
