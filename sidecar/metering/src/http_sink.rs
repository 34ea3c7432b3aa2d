//! Ships events to a control plane over HTTP.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode, header};
use serde::Serialize;

use crate::{
    event::UsageEvent,
    sink::{ShipError, Sink},
};

/// How much of a refusal is kept, in bytes.
const MAX_DETAIL_BYTES: usize = 1024;

/// Sends `POST {base}/v1/usage/events` with `{"events": [...]}`. Status 200 says that the
/// receiver has recorded them durably; its body is not read.
#[derive(Debug, Clone)]
pub struct HttpSink {
    client: Client,
    url: String,
    timeout: Duration,
}

#[derive(Serialize)]
struct Body<'a> {
    events: &'a [UsageEvent],
}

impl HttpSink {
    /// A sink for the control plane at `base`, for instance `http://127.0.0.1:18000`. Trust and
    /// credentials are the client's: build it with its TLS settings and default headers.
    pub fn new(client: Client, base: &str) -> Self {
        let url = format!("{}/v1/usage/events", base.trim_end_matches('/'));
        Self { client, url, timeout: Duration::from_secs(30) }
    }

    /// Gives up on a request after `timeout` (else 30 s).
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}

impl Sink for HttpSink {
    async fn ship(&self, events: &[UsageEvent]) -> Result<(), ShipError> {
        let request = self.client.post(&self.url).timeout(self.timeout).json(&Body { events });
        let response = request.send().await.map_err(|error| ShipError::Unavailable {
            detail: with_causes(&error),
            retry_after: None,
        })?;
        if response.status() == StatusCode::OK {
            return Ok(());
        }
        Err(refusal(response).await)
    }
}

/// Only statuses that speak of the body are refusals. The others, 401, 403 and 404 among them,
/// speak of how the two sides are set up, and setting that right must not cost events.
async fn refusal(response: Response) -> ShipError {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    let detail = detail(response).await;
    match status {
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => {
            ShipError::Refused { status: status.as_u16(), detail }
        }
        _ => ShipError::Unavailable { detail: format!("status {status}: {detail}"), retry_after },
    }
}

/// The start of the answer's body, on one line.
async fn detail(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < MAX_DETAIL_BYTES
        && let Ok(Some(chunk)) = response.chunk().await
    {
        bytes.extend(chunk.iter().take(MAX_DETAIL_BYTES - bytes.len()));
    }
    String::from_utf8_lossy(&bytes).escape_debug().collect()
}

/// The error and what caused it: the outermost text alone does not say what went wrong.
fn with_causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
