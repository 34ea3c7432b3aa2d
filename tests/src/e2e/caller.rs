//! A caller of the API, as a tenant has one.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use reqwest::{Client, Method, RequestBuilder, header::HeaderMap};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

/// A caller with one connection, which it keeps open. Ask one thing at a time.
#[derive(Debug, Clone)]
pub struct Caller {
    client: Client,
    url: String,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Caller {
    /// A caller of the API at `url`, which has no final slash.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn new(url: &str) -> Result<Self> {
        // Somebody in this process may have installed one already: that one is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .pool_max_idle_per_host(1)
            .timeout(PATIENCE)
            .tls_certs_only([])
            .no_proxy()
            .build()?;
        Ok(Self { client, url: url.to_owned() })
    }

    /// `GET path`, with a token where there is one.
    ///
    /// # Errors
    /// Where no answer comes.
    pub async fn get(&self, path: &str, token: Option<&str>) -> Result<Answer> {
        self.send(self.request(Method::GET, path, token)).await
    }

    /// `POST path` with a JSON body, with a token where there is one.
    ///
    /// # Errors
    /// As [`Caller::get`].
    pub async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> Result<Answer> {
        self.send(self.request(Method::POST, path, token).json(body)).await
    }

    /// A request that can be added to.
    pub fn request(&self, method: Method, path: &str, token: Option<&str>) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends what [`Caller::request`] made.
    ///
    /// # Errors
    /// As [`Caller::get`].
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer> {
        let response = request.send().await.with_context(|| format!("asking {}", self.url))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await.context("the answer's body")? })
    }
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// Where it is not JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("expected JSON, found {}", self.shown()))
    }

    /// The problem's code; empty where the answer is no problem.
    pub fn code(&self) -> String {
        let problem = self.json().ok();
        let code = problem.as_ref().and_then(|problem| problem["code"].as_str());
        code.unwrap_or_default().to_owned()
    }

    /// Status and code, for comparisons.
    pub fn verdict(&self) -> (u16, String) {
        (self.status, self.code())
    }

    /// Fails where it is not a 200.
    ///
    /// # Errors
    /// With the answer.
    pub fn ok(&self) -> Result<&Self> {
        ensure!(self.status == 200, "expected 200, found {}", self.shown());
        Ok(self)
    }

    /// Fails where it is not this denial.
    ///
    /// # Errors
    /// With the answer.
    pub fn denied(&self, status: u16, code: &str) -> Result<&Self> {
        let is_it = self.verdict() == (status, code.to_owned());
        ensure!(is_it, "expected {status} {code}, found {}", self.shown());
        Ok(self)
    }

    /// Status and body, for messages.
    pub fn shown(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}
