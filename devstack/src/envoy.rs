//! An Envoy with the shipped bootstrap files.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    environment, http, ports,
    process::{Launch, Service},
    until,
};

/// How often counters are told: often, since whoever is here waits for them.
const STATS_INTERVAL: &str = "1s";

/// What an Envoy is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The ingress, with the key that opens the sealed passport key: 64 hexadecimal digits.
    Ingress {
        /// The seal key.
        seal_key: String,
    },
    /// The node of a data plane, in front of a sidecar.
    Node {
        /// The data plane's name.
        data_plane: String,
        /// The Unix socket that the sidecar listens at.
        sidecar: PathBuf,
    },
}

impl Role {
    const fn template(&self) -> &'static str {
        match self {
            Self::Ingress { .. } => "ingress.yaml",
            Self::Node { .. } => "node.yaml",
        }
    }
}

/// How to start an Envoy.
#[derive(Debug, Clone)]
pub struct EnvoyOptions {
    /// The node id, unique among the proxies.
    pub node_id: String,
    /// What it is for.
    pub role: Role,
    /// Where its listener listens.
    pub listen: SocketAddr,
    /// Its relay's address, or the xds-server's for gRPC.
    pub xds_grpc: SocketAddr,
    /// How many worker threads.
    pub workers: u32,
    /// Where the rendered bootstrap and the log go.
    pub folder: PathBuf,
}

/// A running Envoy. Dropping it stops it.
#[derive(Debug)]
pub struct Envoy {
    options: EnvoyOptions,
    admin: SocketAddr,
    service: Service,
}

impl Envoy {
    /// Starts it. Its listener comes by xDS: see [`Envoy::ready`].
    ///
    /// # Errors
    /// Where there is no Envoy or it cannot be started.
    pub fn start(options: EnvoyOptions) -> Result<Self> {
        let admin = ports::free()?;
        let bootstrap = options.folder.join(format!("{}.yaml", options.node_id));
        fs::create_dir_all(&options.folder)?;
        fs::write(&bootstrap, bootstrap_of(&options, admin)?)
            .with_context(|| format!("could not write {}", bootstrap.display()))?;
        let mut launch = Launch::new(&options.node_id, environment::envoy()?, &options.folder)
            .args(["--config-path".into(), bootstrap.into_os_string()])
            .args(["--concurrency".to_owned(), options.workers.to_string()])
            .args(["--disable-hot-restart", "--log-level", "info"])
            .args(["--file-flush-interval-msec", "1000"]);
        if let Role::Ingress { seal_key } = &options.role {
            launch = launch.env("BULKHEAD_SEAL_KEY", seal_key);
        }
        Ok(Self { service: Service::start(launch)?, admin, options })
    }

    /// How it was started.
    pub fn options(&self) -> &EnvoyOptions {
        &self.options
    }

    /// Its process.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Where its admin interface listens.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Waits until its listener accepts connections and has its filter.
    ///
    /// # Errors
    /// Where it does not within `patience`; with the end of its log.
    pub async fn ready(&self, patience: Duration) -> Result<()> {
        let what = format!("Envoy {} to be ready", self.options.node_id);
        let waited = until(&what, patience, async || {
            self.service.check()?;
            Ok(self.is_ready().await.then_some(()))
        });
        waited.await.with_context(|| {
            format!("the log of {} ends:\n{}", self.options.node_id, self.service.log_tail(20))
        })
    }

    /// Whether it says that it is ready, its listener accepts connections, and it has its filter:
    /// while it fetches the filter's code it refuses every request.
    pub async fn is_ready(&self) -> bool {
        let ready = http::get(&format!("http://{}/ready", self.admin)).await;
        let filters = self.stats("^extension_config_discovery.*update_success$").await;
        ready.is_ok_and(|answer| answer.status.is_success())
            && filters.is_ok_and(|filters| filters.iter().any(|(_, taken)| *taken > 0))
            && tokio::net::TcpStream::connect(self.options.listen).await.is_ok()
    }

    /// The admin interface's `config_dump`, with endpoints.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn config_dump(&self) -> Result<Value> {
        self.admin_get("/config_dump?include_eds").await?.json()
    }

    /// The counters and gauges whose names match the regular expression `filter`.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn stats(&self, filter: &str) -> Result<Vec<(String, u64)>> {
        let answer = self.admin_get(&format!("/stats?filter={filter}")).await?;
        let text = answer.text();
        let stat = |line: &str| {
            let (name, value) = line.rsplit_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Ok(text.lines().filter_map(stat).collect())
    }

    /// `GET path` of the admin interface.
    ///
    /// # Errors
    /// Where it does not answer, or not with success.
    pub async fn admin_get(&self, path: &str) -> Result<http::Answer> {
        let answer = http::get(&format!("http://{}{path}", self.admin)).await?;
        if !answer.status.is_success() {
            bail!("{} answered {path} with {}", self.options.node_id, answer.status);
        }
        Ok(answer)
    }
}

/// The bootstrap that `options` give.
///
/// # Errors
/// Where the template cannot be read or names something that is not given.
pub fn bootstrap_of(options: &EnvoyOptions, admin: SocketAddr) -> Result<String> {
    let path = environment::repository().join("envoy").join(options.role.template());
    let template =
        fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    let mut values = vec![
        ("NODE_ID", options.node_id.clone()),
        ("LISTEN", options.listen.to_string()),
        ("ADMIN_ADDRESS", admin.ip().to_string()),
        ("ADMIN_PORT", admin.port().to_string()),
        ("XDS_ADDRESS", options.xds_grpc.ip().to_string()),
        ("XDS_GRPC_PORT", options.xds_grpc.port().to_string()),
        ("STATS_INTERVAL", STATS_INTERVAL.to_owned()),
        // It ends up in the Envoy's log.
        ("ACCESS_LOG", "stdout".to_owned()),
    ];
    if let Role::Node { data_plane, sidecar } = &options.role {
        values.push(("DATA_PLANE", data_plane.clone()));
        values.push(("SIDECAR_SOCKET", path_text(sidecar)?.to_owned()));
    }
    fill_in(&template, &values).with_context(|| format!("in {}", path.display()))
}

fn path_text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("expected a path in UTF-8, found {}", path.display()))
}

fn fill_in(template: &str, values: &[(&str, String)]) -> Result<String> {
    let mut text = template.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("${{{name}}}"), value);
    }
    if let Some((_, rest)) = text.split_once("${") {
        let name: String = rest.chars().take_while(|c| *c != '}').collect();
        bail!("expected a value for ${{{name}}}, found none");
    }
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_is_filled_in_and_a_forgotten_one_is_named() {
        let value = ("A", "1".to_owned());
        assert_eq!(fill_in("x: ${A}", std::slice::from_ref(&value)).unwrap(), "x: 1");
        let error = fill_in("x: ${A} ${LOST}", &[value]).unwrap_err().to_string();
        assert!(error.contains("${LOST}"), "{error}");
    }
}
