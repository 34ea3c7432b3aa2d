//! A relay, which an Envoy speaks to in place of the xds-server.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::net::TcpStream;

use crate::{
    ports,
    process::{Launch, Service},
    until,
};

/// How to start a relay.
#[derive(Debug, Clone)]
pub struct RelayOptions<'a> {
    /// The node id of its Envoy.
    pub envoy: &'a str,
    /// The `bulkhead` binary.
    pub bulkhead: &'a Path,
    /// The folder for what it remembers.
    pub state: PathBuf,
    /// The xds-server's gRPC address.
    pub xds_grpc: SocketAddr,
    /// Where its log goes.
    pub logs: PathBuf,
}

/// A running relay. Dropping it stops it.
#[derive(Debug)]
pub struct Relay {
    service: Service,
    listen: SocketAddr,
    state: PathBuf,
}

impl Relay {
    /// Starts it. See [`Relay::ready`].
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(options: RelayOptions<'_>) -> Result<Self> {
        let listen = ports::free()?;
        let name = format!("relay-{}", options.envoy);
        let launch = Launch::new(&name, options.bulkhead, &options.logs)
            .args(["relay".into(), "--state".into(), options.state.clone().into_os_string()])
            .args(["--listen".to_owned(), listen.to_string()])
            .args(["--xds".to_owned(), format!("http://{}", options.xds_grpc)]);
        Ok(Self { service: Service::start(launch)?, listen, state: options.state })
    }

    /// Its process.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Where its Envoy connects.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// The folder for what it remembers.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Waits until it accepts connections.
    ///
    /// # Errors
    /// Where it does not within `patience`; with the end of its log.
    pub async fn ready(&self, patience: Duration) -> Result<()> {
        let what = format!("{} to listen", self.service.name());
        let waited = until(&what, patience, async || {
            self.service.check()?;
            Ok(TcpStream::connect(self.listen).await.is_ok().then_some(()))
        });
        waited.await.with_context(|| format!("its log ends:\n{}", self.service.log_tail(20)))
    }
}
