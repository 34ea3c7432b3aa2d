//! The xds-server's HTTP API, as the commands call it.

mod answer;
mod calls;
mod error;
#[cfg(test)]
mod over_http;
mod token;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::Args;
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;

pub(crate) use answer::{
    Applied, Group, History, Proxy, ProxyRefusal, Revision, Shadow, ShadowCount, Status, Usage,
};
#[cfg(test)]
pub(crate) use answer::{TenantChanges, UsageRecord};
pub(crate) use calls::{Canaries, Canary, Change, ResourceFile};
pub(crate) use error::ServerError;
pub(crate) use token::Token;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Which server a command speaks to, and as whom.
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
    /// The operator's token. Better in the environment, as arguments are for all to see.
    #[arg(long, value_name = "TOKEN", env = "BULKHEAD_TOKEN", hide_env_values = true)]
    token: Option<Token>,
    /// Certificates (PEM) to trust a server with TLS by, in place of this machine's.
    #[arg(long, value_name = "FILE", env = "BULKHEAD_CA")]
    ca: Option<PathBuf>,
}

impl ServerArguments {
    /// The server.
    pub(crate) fn connect(&self) -> Result<Server> {
        let certificates = self.ca.as_ref().map(|file| {
            let pem = std::fs::read(file)
                .with_context(|| format!("could not read {}", file.display()))?;
            Certificate::from_pem_bundle(&pem)
                .with_context(|| format!("expected certificates as PEM in {}", file.display()))
        });
        Server::with(&self.url, self.token.clone(), certificates.transpose()?)
    }
}

/// An xds-server.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    client: Client,
    url: String,
    token: Option<Token>,
}

impl Server {
    /// The server at `url`, which asks nobody who they are.
    pub(crate) fn new(url: &str) -> Result<Self> {
        Self::with(url, None, None)
    }

    /// It is asked directly, whatever proxy the environment names: an operator's token is for
    /// nobody else.
    fn with(
        url: &str,
        token: Option<Token>,
        certificates: Option<Vec<Certificate>>,
    ) -> Result<Self> {
        let parsed = Url::parse(url)
            .with_context(|| format!("expected the xds-server's URL, found `{url}`"))?;
        let is_secret = parsed.scheme() == "https" || is_loopback(&parsed);
        ensure!(
            token.is_none() || is_secret,
            "expected `https://` before a server elsewhere, found {url}: the token would travel in clear"
        );
        let client = Client::builder().no_proxy().connect_timeout(CONNECT_TIMEOUT);
        let client = match certificates {
            Some(certificates) => client.tls_certs_only(certificates),
            None if parsed.scheme() == "https" => client,
            None => client.tls_certs_only([]),
        };
        Ok(Self { client: client.build()?, url: url.trim_end_matches('/').to_owned(), token })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token.as_str()),
            None => request,
        }
    }

    /// The answer of a request that succeeded.
    async fn send(&self, request: RequestBuilder) -> Result<Response, ServerError> {
        let response = request
            .send()
            .await
            .map_err(|source| ServerError::Unreachable { url: self.url.clone(), source })?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(ServerError::read(response, self.token.is_some()).await)
    }

    async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, ServerError> {
        self.json(self.request(Method::GET, path)).await
    }

    async fn json<A: DeserializeOwned>(&self, request: RequestBuilder) -> Result<A, ServerError> {
        let response = self.send(request).await?;
        let path = response.url().path().to_owned();
        response.json().await.map_err(|source| ServerError::Strange { path, source })
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let address = host.trim_start_matches('[').trim_end_matches(']');
            address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_travels_encrypted_or_not_at_all() {
        let token: Token = "secret".parse().unwrap();
        let with = |url: &str| Server::with(url, Some(token.clone()), Some(Vec::new()));
        for here in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"] {
            assert!(with(here).is_ok(), "{here}");
        }
        assert!(with("https://bulkhead.example").is_ok());
        for elsewhere in ["http://bulkhead.example", "http://10.0.0.1:1", "http://127.0.0.1.evil"] {
            let error = with(elsewhere).unwrap_err().to_string();
            assert!(error.contains("in clear"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
