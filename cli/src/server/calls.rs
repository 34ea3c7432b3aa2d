//! One function for each call of the API.

use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use serde::Serialize;
use serde_json::{Value, json};
use tenancy::Digest;

use super::{Applied, History, Server, ServerError, Shadow, Status, Usage};

/// A file of resources as it is sent.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ResourceFile {
    /// The name, for diagnostics.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) text: String,
}

/// Who is sent a change first.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Canaries {
    /// So many of a hundred of the connected proxies of each kind, and at least one.
    Percent(u8),
    /// The proxy with this node id.
    Proxy(String),
}

/// Who is sent a change first, and for how long the server waits for them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Canary {
    #[serde(flatten)]
    canaries: Canaries,
    patience_seconds: u64,
}

impl Canary {
    /// The server waits for 1 to 300 s.
    pub(crate) fn new(canaries: Canaries, patience: Duration) -> Self {
        Self { canaries, patience_seconds: patience.as_secs().clamp(1, 300) }
    }
}

/// A change to ask for.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Change {
    pub(crate) files: Vec<ResourceFile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) canary: Option<Canary>,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) prune: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) dry_run: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands the field by reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl Server {
    /// Makes a change, or says with `dry_run` what it would do.
    pub(crate) async fn apply(&self, change: &Change) -> Result<Applied, ServerError> {
        self.json(self.request(Method::POST, "/v1/resources").json(change)).await
    }

    /// What files would change in what runs. With `prune` everything that they do not hold goes.
    pub(crate) async fn diff(
        &self,
        files: &[ResourceFile],
        prune: bool,
    ) -> Result<Applied, ServerError> {
        let body = json!({"files": files, "prune": prune});
        self.json(self.request(Method::POST, "/v1/diff").json(&body)).await
    }

    /// Takes back what came after a journal entry or revision.
    pub(crate) async fn rollback(&self, body: &Value) -> Result<Applied, ServerError> {
        self.json(self.request(Method::POST, "/v1/rollback").json(body)).await
    }

    /// The newest revisions, newest first.
    pub(crate) async fn history(&self, limit: u16) -> Result<History, ServerError> {
        self.get(&format!("/v1/history?limit={limit}")).await
    }

    /// What shadow checks would have denied.
    pub(crate) async fn shadow(&self) -> Result<Shadow, ServerError> {
        self.get("/v1/shadow").await
    }

    /// The resources in force.
    pub(crate) async fn resources(&self) -> Result<Vec<Value>, ServerError> {
        #[derive(serde::Deserialize)]
        struct Listed {
            resources: Vec<Value>,
        }
        Ok(self.get::<Listed>("/v1/resources").await?.resources)
    }

    /// Whether the server has the artifact.
    pub(crate) async fn has_artifact(&self, digest: &Digest) -> Result<bool, ServerError> {
        match self.send(self.request(Method::HEAD, &format!("/v1/artifacts/{digest}"))).await {
            Ok(_) => Ok(true),
            Err(ServerError::Failed { status: StatusCode::NOT_FOUND, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives the server an artifact.
    pub(crate) async fn put_artifact(
        &self,
        digest: &Digest,
        file: tokio::fs::File,
    ) -> Result<(), ServerError> {
        let request = self.request(Method::PUT, &format!("/v1/artifacts/{digest}")).body(file);
        self.send(request).await.map(drop)
    }

    /// Who has what in force.
    pub(crate) async fn status(&self) -> Result<Status, ServerError> {
        self.get("/v1/status").await
    }

    /// The same as it came.
    pub(crate) async fn status_json(&self) -> Result<Value, ServerError> {
        self.get("/v1/status").await
    }

    /// Usage: `tenant`'s or everybody's, of a period such as `2026-11`.
    pub(crate) async fn usage(
        &self,
        tenant: Option<&str>,
        period: &str,
        granularity: &str,
    ) -> anyhow::Result<Usage> {
        let mut query = vec![("period", period), ("granularity", granularity)];
        query.extend(tenant.map(|tenant| ("tenant", tenant)));
        let url = Url::parse_with_params(&format!("{}/v1/usage", self.url), query)?;
        let path = format!("/v1/usage?{}", url.query().unwrap_or_default());
        Ok(self.get(&path).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_only_what_was_asked_for() {
        let file = ResourceFile { name: "a.yaml".to_owned(), text: String::new() };
        let plain = Change { files: vec![file], ..Change::default() };
        assert_eq!(
            serde_json::to_value(&plain).unwrap(),
            json!({"files": [{"name": "a.yaml", "text": ""}]})
        );
        let canary = |canaries, seconds| {
            let canary = Some(Canary::new(canaries, Duration::from_secs(seconds)));
            serde_json::to_value(Change { canary, ..Change::default() }).unwrap()["canary"].clone()
        };
        let percent = json!({"percent": 10, "patience_seconds": 20});
        assert_eq!(canary(Canaries::Percent(10), 20), percent);
        let proxy = json!({"proxy": "ingress-1", "patience_seconds": 1});
        assert_eq!(canary(Canaries::Proxy("ingress-1".to_owned()), 0), proxy);
    }
}
