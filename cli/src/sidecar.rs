//! `bulkhead sidecar`.

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use model_server::{Capacity, DeviceChoice, Listen, OperatorDigest, Options, Order};

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
    /// What the mapped files of loaded models may have together, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = Capacity::DEFAULT_MAPPED_BYTES)]
    mapped_bytes: u64,
    /// How many models beyond that stay mapped, so that they need not be loaded again: their pages are the
    /// first that the operating system takes where memory is short. None with --seal-artifacts.
    #[arg(long, value_name = "COUNT", default_value_t = Capacity::DEFAULT_COLD_MODELS)]
    cold_models: usize,
    /// What loaded models may take beside their files, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = Capacity::DEFAULT_PRIVATE_BYTES)]
    private_bytes: u64,
    /// What models may take of the device's memory, where there is a device, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = Capacity::DEFAULT_DEVICE_BYTES)]
    device_bytes: u64,
    /// Which device models run on where that is faster: `auto` is the first GPU that there is, `off` is
    /// none; else a device's number, or a part of its name.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: DeviceChoice,
    /// What the inputs of requests that wait for a processor may take together once they are decoded,
    /// in bytes. Where it is full, each tenant has the part of it that its weight gives it.
    #[arg(long, value_name = "BYTES", default_value_t = Capacity::DEFAULT_WAITING_BYTES)]
    waiting_bytes: u64,
    /// Run models from sealed copies in memory, which no process can change, and not from their files.
    /// A load then reads the whole file, and memory does not come back while a model is loaded.
    #[arg(long)]
    seal_artifacts: bool,
    /// What it is for. `batch` gives way to everything else on its processors.
    #[arg(long, value_name = "PLANE", value_enum, default_value_t = Plane::Interactive)]
    plane: Plane,
    /// The processors that it runs on, as `0-3,6`; all where it is not said.
    #[arg(long, value_name = "LIST")]
    cpus: Option<Processors>,
    /// In which order requests run. `arrival` is there to be measured against.
    #[arg(long, value_name = "ORDER", default_value = "fair", hide = true)]
    order: Order,
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

/// What a sidecar is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Plane {
    /// Requests that somebody waits for.
    Interactive,
    /// Work that nobody waits for.
    Batch,
}

/// Processors, by number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Processors(Vec<usize>);

impl FromStr for Processors {
    type Err = anyhow::Error;

    fn from_str(list: &str) -> Result<Self> {
        let mut processors = vec![];
        for part in list.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| -> Result<usize> {
                let found = text.trim().parse::<u16>();
                Ok(found
                    .with_context(|| format!("expected processors as `0-3,6`, found `{list}`"))?
                    .into())
            };
            processors.extend(number(first)?..=number(last)?);
        }
        ensure!(!processors.is_empty(), "expected at least one processor, found `{list}`");
        Ok(Self(processors))
    }
}

impl Arguments {
    /// Keeps this thread, and all that it starts, to the processors and the plane that are asked for.
    pub(crate) fn confine(&self) -> Result<()> {
        if let Some(Processors(processors)) = &self.cpus {
            model_server::keep_on(processors).context("--cpus")?;
        }
        if self.plane == Plane::Batch {
            model_server::join_batch_plane().context("--plane batch")?;
        }
        Ok(())
    }
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
        capacity: Capacity {
            mapped_bytes: arguments.mapped_bytes,
            cold_models: arguments.cold_models,
            private_bytes: arguments.private_bytes,
            device_bytes: arguments.device_bytes,
            waiting_bytes: arguments.waiting_bytes,
            order: arguments.order,
        },
        device: arguments.device,
        seal_artifacts: arguments.seal_artifacts,
        metrics: arguments.metrics,
        operators: arguments.operators,
        take_over: arguments.take_over,
    })
    .await?;
    Ok(())
}
