//! The xds-server's HTTP API, as the commands call it.

use anyhow::{Context, Result, bail};
use clap::Args;
use policy_model::diagnostic::Diagnostic;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::{Deserialize, Serialize};
use tenancy::Digest;
use xds::{ProxyStatus, RefusedBy};

/// Which server a command speaks to.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArguments {
    /// The xds-server's HTTP API.
    #[arg(
        long = "server",
        value_name = "URL",
        env = "BULKHEAD_SERVER",
        default_value = "http://127.0.0.1:18000"
    )]
    url: String,
}

impl ServerArguments {
    /// The server.
    pub(crate) fn connect(&self) -> Result<Server> {
        Server::new(&self.url)
    }
}

/// An xds-server.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    client: Client,
    url: String,
}

/// A file of resources as it is sent.
#[derive(Debug, Serialize)]
pub(crate) struct ResourceFile {
    /// The name, for diagnostics.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) text: String,
}

/// What became of an apply.
#[derive(Debug)]
pub(crate) enum ApplyOutcome {
    Applied(Applied),
    Refused(Vec<Diagnostic>),
}

#[derive(Debug, Deserialize)]
pub(crate) struct Applied {
    pub(crate) revision: String,
    pub(crate) seq: u64,
    pub(crate) changes: Vec<String>,
    pub(crate) warnings: Vec<Diagnostic>,
}

#[derive(Debug, Deserialize)]
struct Refused {
    diagnostics: Vec<Diagnostic>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Status {
    pub(crate) revision: String,
    pub(crate) seq: u64,
    pub(crate) groups: Vec<Group>,
    pub(crate) proxies: Vec<ProxyStatus>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Group {
    pub(crate) refused: Vec<RefusedBy>,
    pub(crate) waiting: Vec<String>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Usage {
    pub(crate) records: Vec<UsageRecord>,
    pub(crate) total: u64,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct UsageRecord {
    pub(crate) tenant: String,
    pub(crate) period_start: String,
    pub(crate) metric: String,
    pub(crate) model: String,
    pub(crate) version: String,
    pub(crate) data_plane: String,
    pub(crate) region: String,
    pub(crate) quantity: u64,
    pub(crate) events: u64,
}

impl Server {
    /// The server at `url`, which is asked directly: it listens on this machine.
    pub(crate) fn new(url: &str) -> Result<Self> {
        Ok(Self {
            client: Client::builder().no_proxy().build()?,
            url: url.trim_end_matches('/').to_owned(),
        })
    }

    /// Applies files of resources.
    pub(crate) async fn apply(&self, files: &[ResourceFile]) -> Result<ApplyOutcome> {
        let body = serde_json::json!({ "files": files });
        let response = self.send(self.request(Method::POST, "/v1/resources").json(&body)).await?;
        if response.status() == StatusCode::UNPROCESSABLE_ENTITY {
            return Ok(ApplyOutcome::Refused(response.json::<Refused>().await?.diagnostics));
        }
        Ok(ApplyOutcome::Applied(successful(response).await?.json().await?))
    }

    /// The resources in force.
    pub(crate) async fn resources(&self) -> Result<Vec<serde_json::Value>> {
        #[derive(Deserialize)]
        struct Listed {
            resources: Vec<serde_json::Value>,
        }
        Ok(self.get("/v1/resources").await?.json::<Listed>().await?.resources)
    }

    /// Whether the server has the artifact.
    pub(crate) async fn has_artifact(&self, digest: &Digest) -> Result<bool> {
        let response =
            self.send(self.request(Method::HEAD, &format!("/v1/artifacts/{digest}"))).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(false),
            _ => successful(response).await.map(|_| true),
        }
    }

    /// Gives the server an artifact.
    pub(crate) async fn put_artifact(&self, digest: &Digest, file: tokio::fs::File) -> Result<()> {
        let request = self.request(Method::PUT, &format!("/v1/artifacts/{digest}")).body(file);
        successful(self.send(request).await?).await.map(drop)
    }

    /// Who has what in force.
    pub(crate) async fn status(&self) -> Result<Status> {
        Ok(self.get("/v1/status").await?.json().await?)
    }

    /// The same as it came.
    pub(crate) async fn status_json(&self) -> Result<serde_json::Value> {
        Ok(self.get("/v1/status").await?.json().await?)
    }

    /// Usage: `tenant`'s or everybody's, of a period such as `2026-11`.
    pub(crate) async fn usage(
        &self,
        tenant: Option<&str>,
        period: &str,
        granularity: &str,
    ) -> Result<Usage> {
        let mut query = vec![("period", period), ("granularity", granularity)];
        query.extend(tenant.map(|tenant| ("tenant", tenant)));
        let url = Url::parse_with_params(&format!("{}/v1/usage", self.url), query)?;
        let response = self.send(self.client.request(Method::GET, url)).await?;
        Ok(successful(response).await?.json().await?)
    }

    async fn get(&self, path: &str) -> Result<Response> {
        successful(self.send(self.request(Method::GET, path)).await?).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        request.send().await.with_context(|| {
            format!(
                "could not reach the xds-server at {}; name it by --server or BULKHEAD_SERVER",
                self.url
            )
        })
    }
}

async fn successful(response: Response) -> Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let path = response.url().path().to_owned();
    let said = response.text().await.unwrap_or_default();
    bail!("the xds-server answered {path} with {status}: {said}")
}
