//! `bulkhead xds-server`.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context, Result};
use clap::Args;

/// The variable with the seal key. It is no argument, because arguments are for all to see.
const SEAL_KEY: &str = "BULKHEAD_SEAL_KEY";

/// Needs BULKHEAD_SEAL_KEY in its environment: 64 hexadecimal digits, the same as the ingress
/// Envoys'.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder for the journal, the artifacts and the usage ledger.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Where ADS listens.
    #[arg(long, value_name = "ADDRESS")]
    grpc: SocketAddr,
    /// Where the HTTP API listens.
    #[arg(long, value_name = "ADDRESS")]
    http: SocketAddr,
    /// The folder with gate.wasm and recheck.wasm.
    #[arg(long, value_name = "DIR")]
    wasm_dir: PathBuf,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let seal_key = std::env::var(SEAL_KEY).with_context(|| {
        format!("expected {SEAL_KEY} in the environment: 64 hexadecimal digits, for instance from `openssl rand -hex 32`")
    })?;
    control_plane::run(control_plane::Options {
        state_dir: arguments.state,
        grpc: arguments.grpc,
        http: arguments.http,
        wasm_dir: arguments.wasm_dir,
        seal_key,
    })
    .await
}
