//! What an operator sets.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use reqwest::header::HeaderValue;
use scheduler::residency::Footprint;

use crate::{DeviceChoice, OperatorDigest};

/// How a sidecar is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where assignments, artifacts and the usage log live. It belongs to one sidecar alone, and to
    /// the one that takes over from it.
    pub state_dir: PathBuf,
    /// Where requests are taken.
    pub listen: Listen,
    /// The control plane's xDS server, `http://host:port`.
    pub xds: String,
    /// The control plane's HTTP server, `http://host:port`.
    pub control: String,
    /// What the control plane's HTTP server knows this node by, where it asks.
    pub token: Option<NodeToken>,
    /// What this node calls itself towards the control plane.
    pub node_id: String,
    /// The data plane that this node belongs to: passports for another one are refused.
    pub data_plane: String,
    /// The largest request body, in bytes.
    pub max_body_bytes: u64,
    /// What it may take, and how it shares that out.
    pub capacity: Capacity,
    /// Which device models run on where that is faster.
    pub device: DeviceChoice,
    /// Whether models run from sealed copies in memory instead of from their files.
    pub seal_artifacts: bool,
    /// Where `GET /metrics` and operators are answered, where they are.
    pub metrics: Option<SocketAddr>,
    /// Who may load and unload models there.
    pub operators: Vec<OperatorDigest>,
    /// Whether to take the Unix socket from a sidecar that serves on it, which then ends. Its state
    /// folder is shared with that one until then.
    pub take_over: bool,
}

impl Options {
    /// 32 MiB.
    pub const DEFAULT_MAX_BODY_BYTES: u64 = 32 << 20;
}

/// What a sidecar may take of its node, and how it shares that out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// What the mapped files of loaded models may have together, in bytes. The operating system may
    /// take their pages back at any time.
    pub mapped_bytes: u64,
    /// How many models beyond that stay mapped, with pages that are given up first.
    pub cold_models: usize,
    /// What loaded models may take beside their files, in bytes.
    pub private_bytes: u64,
    /// What models may take of the device's memory, where there is a device, in bytes.
    pub device_bytes: u64,
    /// What the inputs of requests that wait for a processor may take together once they are decoded,
    /// in bytes. Where it is full, each tenant has the part of it that its weight gives it.
    pub waiting_bytes: u64,
    /// In which order requests run.
    pub order: Order,
}

impl Capacity {
    /// 16 GiB.
    pub const DEFAULT_MAPPED_BYTES: u64 = 16 << 30;
    /// A quarter of what Linux maps for a process.
    pub const DEFAULT_COLD_MODELS: usize = scheduler::COLD_MODELS;
    /// 1 GiB.
    pub const DEFAULT_PRIVATE_BYTES: u64 = 1 << 30;
    /// 4 GiB.
    pub const DEFAULT_DEVICE_BYTES: u64 = 4 << 30;
    /// 256 MiB: eight of the largest bodies that are accepted by default.
    pub const DEFAULT_WAITING_BYTES: u64 = 256 << 20;

    /// What it has for loaded models.
    pub(crate) const fn budget(self) -> Footprint {
        let Self { mapped_bytes, private_bytes, device_bytes, .. } = self;
        Footprint { mapped_bytes, private_bytes, device_bytes }
    }
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            mapped_bytes: Self::DEFAULT_MAPPED_BYTES,
            cold_models: Self::DEFAULT_COLD_MODELS,
            private_bytes: Self::DEFAULT_PRIVATE_BYTES,
            device_bytes: Self::DEFAULT_DEVICE_BYTES,
            waiting_bytes: Self::DEFAULT_WAITING_BYTES,
            order: Order::Fair,
        }
    }
}

/// In which order requests run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Fairly among tenants, by what they are given.
    #[default]
    Fair,
    /// As they come, whoever they are of. This is there to be measured against.
    Arrival,
}

/// A name that is no order's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `fair` or `arrival`, found `{found}`")]
pub struct OrderError {
    /// The refused text.
    pub found: String,
}

impl FromStr for Order {
    type Err = OrderError;

    fn from_str(text: &str) -> Result<Self, OrderError> {
        match text {
            "fair" => Ok(Self::Fair),
            "arrival" => Ok(Self::Arrival),
            _ => Err(OrderError { found: text.to_owned() }),
        }
    }
}

/// A token of an operator with the role `node`. It is shown to the control plane and nowhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeToken(HeaderValue);

/// A token that no request can carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a node's token of visible ASCII characters, found others or none; \
     `bulkhead operator token --role node` makes one"
)]
pub struct NodeTokenError;

impl NodeToken {
    /// As the value of an `Authorization` header.
    pub(crate) fn authorization(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl FromStr for NodeToken {
    type Err = NodeTokenError;

    fn from_str(text: &str) -> Result<Self, NodeTokenError> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NodeTokenError);
        }
        let mut value =
            HeaderValue::from_str(&format!("Bearer {text}")).map_err(|_| NodeTokenError)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl fmt::Debug for NodeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeToken(..)")
    }
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A Unix socket, of mode 0600.
    Unix(PathBuf),
    /// A TCP address.
    Tcp(SocketAddr),
}

/// An address that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an address as `unix:/path/to/socket` or `127.0.0.1:8000`, found `{found}`")]
pub struct ListenError {
    /// The refused text.
    pub found: String,
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let refused = || ListenError { found: text.to_owned() };
        match text.strip_prefix("unix:") {
            Some("") => Err(refused()),
            Some(path) => Ok(Self::Unix(PathBuf::from(path))),
            None => text.parse().map(Self::Tcp).map_err(|_| refused()),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in ["unix:/run/bulkhead/sidecar.sock", "127.0.0.1:8000", "[::1]:9"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        for text in ["", "unix:", "localhost", "/run/sidecar.sock", "127.0.0.1"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }
}
