//! A control plane, and those who call it.

use std::{path::PathBuf, time::Duration};

use control_plane::{Options, Running, operators::TokenDigest};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::setting::options;

/// Longer than anything here takes; a wait that ends by it is a failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Everybody who is in the operators' file, by name and role. Each one's token is `token-` and the
/// name.
pub const EVERYBODY: [(&str, &str); 4] =
    [("vera", "viewer"), ("ed", "editor"), ("ada", "admin"), ("node-1", "node")];

pub struct Plane {
    pub state: TempDir,
    pub running: Running,
    pub http: reqwest::Client,
    pub scheme: &'static str,
}

/// An answer: its status, its body as JSON, and its headers.
pub struct Answer {
    pub status: u16,
    pub json: Value,
    pub headers: reqwest::header::HeaderMap,
}

impl Answer {
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Self { status, json, headers }
    }
}

/// The text of a file of operators.
pub fn operators(who: &[(&str, &str)]) -> String {
    let entries = who.iter().map(|(name, role)| {
        let digest = TokenDigest::of(&token(name));
        format!("- {{name: {name}, role: {role}, tokenSha256: {digest}}}\n")
    });
    format!("operators:\n{}", entries.collect::<String>())
}

pub fn token(name: &str) -> String {
    format!("token-{name}")
}

impl Plane {
    /// For everybody on this machine.
    pub async fn open() -> Self {
        let state = tempfile::tempdir().unwrap();
        let options = options(state.path());
        Self::start(state, options).await
    }

    /// For [`EVERYBODY`].
    pub async fn guarded() -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut options = options(state.path());
        options.access.operators = Some(operators_file(&state));
        std::fs::write(operators_file(&state), operators(&EVERYBODY)).unwrap();
        Self::start(state, options).await
    }

    pub async fn start(state: TempDir, options: Options) -> Self {
        let http = identity::http_client().unwrap();
        let running = control_plane::start(options).await.unwrap();
        Self { state, running, http, scheme: "http" }
    }

    pub fn operators_file(&self) -> PathBuf {
        operators_file(&self.state)
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.running.http)
    }

    /// Calls as somebody; as nobody where the name is empty.
    pub async fn call(
        &self,
        name: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self.http.request(method, self.url(path));
        if !name.is_empty() {
            request = request.bearer_auth(token(name));
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        Answer::of(request.send().await.unwrap()).await
    }

    pub async fn get(&self, name: &str, path: &str) -> Answer {
        self.call(name, Method::GET, path, None).await
    }

    pub async fn post(&self, name: &str, path: &str, body: Value) -> Answer {
        self.call(name, Method::POST, path, Some(&body)).await
    }

    /// Applies one file of resources.
    pub async fn apply(&self, name: &str, text: &str) -> Answer {
        let body = json!({"files": [{"name": "acme.yaml", "text": text}]});
        self.post(name, "/v1/resources", body).await
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        Answer::of(request.send().await.unwrap()).await
    }

    /// Every entry of the journal, as kind and actor.
    pub async fn journal(&self, name: &str) -> Vec<(String, String)> {
        let entries = self.get(name, "/v1/journal?limit=1000").await.json["entries"].take();
        let text = |entry: &Value, field: &str| entry[field].as_str().unwrap().to_owned();
        let entries = entries.as_array().unwrap();
        entries.iter().map(|entry| (text(entry, "kind"), text(entry, "actor"))).collect()
    }
}

fn operators_file(state: &TempDir) -> PathBuf {
    state.path().join("operators.yaml")
}

pub const SHARED: &str = "apiVersion: bulkhead.dev/v1
kind: DataPlane
metadata: {name: shared}
spec: {region: eu-1, tiers: [pool, bridge], endpoints: [{address: 127.0.0.1, port: 9001}]}
";

/// A tenant of the pool with a rate limit of its own.
pub fn tenant(name: &str, requests: u32) -> String {
    format!(
        "---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: {{name: {name}}}
spec: {{tier: pool, dataPlane: shared, rateLimit: {{requests: {requests}, burst: 5}}}}
"
    )
}
