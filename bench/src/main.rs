//! Side-by-side measurements against the peers: what Bulkhead costs beside what it replaces, as
//! ratios of one run on one machine.
//!
//! No number of one run is compared with a number of another, and nothing here is a test: a
//! missed bar is printed and recorded, and only a measurement that cannot be trusted fails.
//! Start reading with [`gate::run`], then `README.md`.

mod adapters;
mod affinity;
mod cpu;
mod engine;
mod fairness;
mod gate;
mod load;
mod onnx;
mod push;
mod results;
mod server;
mod spread;
mod upstream;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask bench", about = "Compare with the peers, in one run on one machine")]
struct Arguments {
    #[command(subcommand)]
    bench: Option<Bench>,
}

#[derive(Subcommand)]
enum Bench {
    /// Whether a thousand adapters of one base are served as fast as one, and what each holds
    Adapters(adapters::Options),
    /// How soon a model answers, how fast, and how many fit, beside onnxruntime
    Engine(engine::Options),
    /// Whether one tenant's flood is felt by the others, and what fairness costs
    Fairness(fairness::Options),
    /// What the gate adds to a request, beside Envoy's own JWT authentication and rate limit
    Gate(gate::Options),
    /// How soon a change of policy is enforced, and what pushes leave behind in Envoy
    Push(push::Options),
    /// How long a request takes with the same public client, beside Triton and MLServer
    Server(server::Options),
}

fn main() -> Result<()> {
    match Arguments::parse().bench {
        Some(Bench::Adapters(options)) => adapters::run(&options),
        Some(Bench::Engine(options)) => engine::run(&options),
        Some(Bench::Gate(options)) => gate::run(&options),
        Some(Bench::Fairness(options)) => fairness::run(&options),
        Some(Bench::Push(options)) => push::run(&options),
        Some(Bench::Server(options)) => server::run(&options),
        None => Ok(Arguments::command().print_long_help()?),
    }
}
