//! Asking one issuer once.

use std::time::Duration;

use reqwest::{Client, StatusCode, Url, header::HeaderMap};
use serde::Deserialize;

use crate::{
    client::may_be_asked,
    freshness::Freshness,
    jwk::{self, KeySet},
};

/// The largest answer read, in bytes.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Why an issuer's keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address is none, or leaves the machine in clear text.
    #[error("expected an https address (or http on loopback) for the {what}, found `{found}`")]
    Address {
        /// What is at the address.
        what: &'static str,
        /// The address.
        found: String,
    },
    /// The issuer did not answer.
    #[error("expected an answer from {url}, found: {found}")]
    NoAnswer {
        /// Where it was asked.
        url: String,
        /// What happened, with its causes.
        found: String,
    },
    /// It answered with an error.
    #[error("expected status 200 from {url}, found {found}")]
    Status {
        /// Where it was asked.
        url: String,
        /// What it answered.
        found: StatusCode,
    },
    /// The answer is too large.
    #[error("expected at most {MAX_BODY_BYTES} bytes from {url}, found more")]
    TooLarge {
        /// Where it was asked.
        url: String,
    },
    /// The answer is not what was asked for.
    #[error("expected {what} from {url}, found: {found}")]
    Malformed {
        /// What was asked for.
        what: &'static str,
        /// Where it was asked.
        url: String,
        /// What is wrong with it.
        found: String,
    },
    /// The discovery document is another issuer's (OpenID Connect Discovery 1.0, 4.3).
    #[error(
        "expected the discovery document of `{expected}`, byte for byte, found that of `{found}`"
    )]
    OtherIssuer {
        /// The issuer that was asked for.
        expected: String,
        /// The issuer that the document names, shortened.
        found: String,
    },
}

/// What an issuer answered.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) set: KeySet,
    pub(crate) fresh_for: Duration,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// Finds and reads the issuer's keys (OpenID Connect Discovery 1.0, section 4).
pub(crate) async fn fetch(
    client: &Client,
    issuer: &str,
    freshness: &Freshness,
) -> Result<Fetched, FetchError> {
    // Section 4.1: a terminating slash is removed before the path is added.
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    let url = address("issuer", &format!("{base}/.well-known/openid-configuration"))?;
    let (_, body) = get(client, &url).await?;
    let discovery: Discovery =
        serde_json::from_slice(&body).map_err(|error| FetchError::Malformed {
            what: "a discovery document",
            url: url.to_string(),
            found: error.to_string(),
        })?;
    if discovery.issuer != issuer {
        return Err(FetchError::OtherIssuer {
            expected: issuer.to_owned(),
            found: discovery.issuer.chars().take(200).collect(),
        });
    }
    let url = address("key set", &discovery.jwks_uri)?;
    let (headers, body) = get(client, &url).await?;
    let set = jwk::read_set(&body).map_err(|found| FetchError::Malformed {
        what: "a key set",
        url: url.to_string(),
        found,
    })?;
    Ok(Fetched { set, fresh_for: freshness.of(&headers) })
}

fn address(what: &'static str, text: &str) -> Result<Url, FetchError> {
    Url::parse(text)
        .ok()
        .filter(may_be_asked)
        .ok_or_else(|| FetchError::Address { what, found: text.chars().take(200).collect() })
}

async fn get(client: &Client, url: &Url) -> Result<(HeaderMap, Vec<u8>), FetchError> {
    let no_answer = |error: reqwest::Error| FetchError::NoAnswer {
        url: url.to_string(),
        found: causes(&error),
    };
    let mut answer = client
        .get(url.clone())
        .header(reqwest::header::ACCEPT, "application/json")
        .send()
        .await
        .map_err(no_answer)?;
    if answer.status() != StatusCode::OK {
        return Err(FetchError::Status { url: url.to_string(), found: answer.status() });
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(no_answer)? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(FetchError::TooLarge { url: url.to_string() });
        }
        body.extend_from_slice(&chunk);
    }
    Ok((answer.headers().clone(), body))
}

/// The error with what caused it: the client's own text hides why a connection failed.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
