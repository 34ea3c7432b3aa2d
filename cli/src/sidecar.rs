//! `bulkhead sidecar`.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Result;
use clap::Args;
use model_server::{Listen, Options};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder for assignments, artifacts and the usage log. It belongs to one sidecar alone.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Where requests are taken: `unix:/path/to/socket` or `address:port`.
    #[arg(long, value_name = "LISTEN")]
    listen: Listen,
    /// The xds-server's ADS, `http://host:port`.
    #[arg(long, value_name = "URL")]
    xds: String,
    /// The xds-server's HTTP API, `http://host:port`.
    #[arg(long, value_name = "URL")]
    control: String,
    /// Unique among the proxies and sidecars.
    #[arg(long, value_name = "ID")]
    node_id: String,
    /// The data plane that this node is of.
    #[arg(long, value_name = "NAME")]
    data_plane: String,
    /// The largest request body accepted, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = Options::DEFAULT_MAX_BODY_BYTES)]
    max_body_bytes: u64,
    /// What loaded models may take together, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = Options::DEFAULT_CACHE_BYTES)]
    cache_bytes: u64,
    /// Where metrics are served, in the Prometheus text format; nowhere where it is not said.
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    model_server::run(Options {
        state_dir: arguments.state,
        listen: arguments.listen,
        xds: arguments.xds,
        control: arguments.control,
        node_id: arguments.node_id,
        data_plane: arguments.data_plane,
        max_body_bytes: arguments.max_body_bytes,
        cache_bytes: arguments.cache_bytes,
        metrics: arguments.metrics,
    })
    .await?;
    Ok(())
}
