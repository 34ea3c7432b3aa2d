//! `bulkhead sidecar`.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use model_server::{Listen, OperatorDigest, Options};

/// The variable with the node's token. It is no argument, because arguments are for all to see.
const NODE_TOKEN: &str = "BULKHEAD_NODE_TOKEN";

/// Where the xds-server has operators, needs BULKHEAD_NODE_TOKEN in its environment: the token of
/// an operator with the role `node`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder for assignments, artifacts and the usage log. It belongs to one sidecar alone, and to
    /// the one that takes over from it.
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
    /// Where metrics are served, in the Prometheus text format, and operators (`/v2/repository`);
    /// nowhere where it is not said.
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// Who may load and unload models there: the `tokenSha256` that `bulkhead operator token` prints.
    /// It may be said more than once.
    #[arg(long = "operator", value_name = "SHA256")]
    operators: Vec<OperatorDigest>,
    /// Take the Unix socket from the sidecar that serves on it, with the same state folder; it then
    /// answers what it has in flight, and ends.
    #[arg(long)]
    take_over: bool,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let token = match std::env::var(NODE_TOKEN) {
        Ok(token) => {
            Some(token.parse().with_context(|| format!("{NODE_TOKEN} in the environment"))?)
        }
        Err(std::env::VarError::NotPresent) => None,
        Err(error) => return Err(error).with_context(|| NODE_TOKEN),
    };
    model_server::run(Options {
        state_dir: arguments.state,
        listen: arguments.listen,
        xds: arguments.xds,
        control: arguments.control,
        token,
        node_id: arguments.node_id,
        data_plane: arguments.data_plane,
        max_body_bytes: arguments.max_body_bytes,
        cache_bytes: arguments.cache_bytes,
        metrics: arguments.metrics,
        operators: arguments.operators,
        take_over: arguments.take_over,
    })
    .await?;
    Ok(())
}
