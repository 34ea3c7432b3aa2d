//! A tenant's client: it gets a token where a client gets one, and asks over connections that are
//! kept open.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;

/// The largest answer read, in bytes.
const MAX_ANSWER_BYTES: usize = 8 << 20;

const PATIENCE: Duration = Duration::from_secs(30);

/// HTTP connections, kept open between requests.
#[derive(Debug, Clone)]
pub(super) struct Connections(Client<HttpConnector, Full<Bytes>>);

impl Connections {
    pub(super) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes)> {
        let exchange = async {
            let answer = self.0.request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("the answer's body: {error}"))?;
            Ok((status, body.to_bytes()))
        };
        match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(answered) => answered,
            Err(_) => bail!("no answer within {} s", PATIENCE.as_secs()),
        }
    }

    /// A token of an issuer, by the client credentials grant (RFC 6749, section 4.4).
    pub(super) async fn token(&self, issuer: &str, expires_in: Duration) -> Result<String> {
        #[derive(Deserialize)]
        struct Granted {
            access_token: String,
        }
        let form = format!(
            "grant_type=client_credentials&client_id=replay&expires_in={}",
            expires_in.as_secs()
        );
        let request = Request::post(format!("{issuer}/token"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(form.into()))?;
        let (status, body) = self.send(request).await.context("the token endpoint")?;
        if !status.is_success() {
            bail!("the token endpoint answered {status}: {}", String::from_utf8_lossy(&body));
        }
        let granted: Granted = serde_json::from_slice(&body).context("the token endpoint")?;
        Ok(granted.access_token)
    }

    /// `POST url` with a token.
    pub(super) async fn ask(
        &self,
        url: &str,
        token: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes)> {
        let request = Request::post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Full::new(body))?;
        self.send(request).await
    }
}

/// Lets one request a `pace` through, whoever asks.
#[derive(Debug)]
pub(super) struct Pacer {
    pace: Duration,
    next: Mutex<Instant>,
}

impl Pacer {
    pub(super) fn new(pace: Duration) -> Self {
        Self { pace, next: Mutex::new(Instant::now()) }
    }

    /// Waits for the next turn.
    pub(super) async fn turn(&self) {
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let turn = (*next).max(Instant::now());
            *next = turn + self.pace;
            turn
        };
        tokio::time::sleep_until(turn.into()).await;
    }
}
