//! `bulkhead relay`.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Result;
use clap::Args;

/// Stands beside an Envoy, whose bootstrap names it in place of the xds-server. It passes on what the
/// two say, and remembers what the Envoy took: with the xds-server dead, the Envoy starts on that.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder for what the Envoy took, with its filters' code. It belongs to one relay alone.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Where the Envoy connects, an `address:port` of this machine's loopback.
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The xds-server's ADS, `http://host:port`.
    #[arg(long, value_name = "URL")]
    xds: String,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let Arguments { state, listen, xds } = arguments;
    ::relay::run(::relay::Options { state_dir: state, listen, xds }).await
}
