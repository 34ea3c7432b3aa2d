//! The request that is explained.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::Timestamp;
use policy_model::spec::Algorithm;
use scenario::{
    Deployment, Prepared,
    format::{Request, Target, TokenSpec},
    prepare, token_of_claims,
};
use serde_json::{Map, Value};

/// How long a token lives whose claims do not say.
const LIFETIME_SECS: u64 = 3600;

#[derive(Debug, Args)]
pub(super) struct RequestArguments {
    /// The request, in the words of a scenario's: `token`, `headers`, `method`, `path`, `host`,
    /// `body_bytes`. What is said beside it by options holds instead.
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// A customer's token, as it was sent. Its signature is taken for good.
    #[arg(long, value_name = "TOKEN", conflicts_with = "claims")]
    jwt: Option<String>,
    /// The claims of a token, as JSON, in place of one. An `iss` that is missing is that of the
    /// issuer that speaks for the organisation; `aud`, `iat` and `exp` are as a fresh token's.
    #[arg(long, value_name = "JSON")]
    claims: Option<String>,
    /// The method.
    #[arg(long)]
    method: Option<String>,
    /// The path, with the query where there is one.
    #[arg(long)]
    path: Option<String>,
    /// A header; can be given again.
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// The size of the body, in bytes.
    #[arg(long, value_name = "BYTES")]
    body_bytes: Option<u64>,
    /// When it is sent; now where it is not said.
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

impl RequestArguments {
    /// The request, and when it is sent in Unix seconds.
    pub(super) fn prepare(&self, deployment: &Deployment) -> Result<(Prepared, u64)> {
        let at = self.at.unwrap_or_else(Timestamp::now).as_second();
        let now = u64::try_from(at).context("expected a time after 1970")?;
        let mut request = self.written()?;
        if request.to != Target::Gate {
            bail!("expected a request to the gate; what is sent past it has no token to explain");
        }
        request.method = self.method.clone().or(request.method);
        request.path = self.path.clone().or(request.path);
        request.body_bytes = self.body_bytes.or(request.body_bytes);
        for header in &self.header {
            let (name, value) = header
                .split_once(':')
                .with_context(|| format!("expected `--header 'name: value'`, found `{header}`"))?;
            request.headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        if let Some(token) = self.token(deployment, now)? {
            request.token = Some(TokenSpec { raw: Some(token), ..TokenSpec::default() });
        }
        Ok((prepare(deployment, &request, now)?, now))
    }

    fn written(&self) -> Result<Request> {
        let Some(file) = &self.request else { return Ok(Request::default()) };
        let text = fs::read_to_string(file)
            .with_context(|| format!("could not read {}", file.display()))?;
        Ok(Request::parse(file, &text)?)
    }

    /// A token with the claims that are given, signed anew with a key that is known here.
    fn token(&self, deployment: &Deployment, now: u64) -> Result<Option<String>> {
        if let Some(jwt) = &self.jwt {
            let mut parts = jwt.split('.').map(decoded);
            let mut part = || parts.next().flatten().context("expected a token of three parts");
            let (header, claims) = (part()?, part()?);
            let alg: Option<Algorithm> =
                header.get("alg").cloned().and_then(|alg| serde_json::from_value(alg).ok());
            let alg = alg.with_context(|| {
                format!("expected a token of an algorithm that can be agreed, found {header:?}")
            })?;
            return Ok(Some(token_of_claims(deployment, &claims, Some(alg))?));
        }
        let Some(json) = &self.claims else { return Ok(None) };
        let given: Map<String, Value> =
            serde_json::from_str(json).context("expected --claims to be a JSON object")?;
        let claims = fresh(deployment, given, now);
        Ok(Some(token_of_claims(deployment, &claims, None)?))
    }
}

fn decoded(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&base64url(part)?).ok()
}

/// Unpadded base64url (RFC 4648, 5).
fn base64url(text: &str) -> Option<Vec<u8>> {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The claims with what a fresh token of the issuer would have beside them.
fn fresh(deployment: &Deployment, given: Map<String, Value>, now: u64) -> Map<String, Value> {
    let issuers = &deployment.resolved().issuers;
    let named = given.get("iss").and_then(Value::as_str).and_then(|iss| issuers.get(iss));
    let issuer = named.or_else(|| {
        issuers.values().find(|issuer| {
            let org = given.get(&issuer.org_claim).and_then(Value::as_str);
            issuer.orgs.iter().any(|bound| Some(bound.as_str()) == org)
        })
    });
    let mut claims = Map::new();
    if let Some(issuer) = issuer {
        claims.insert("iss".to_owned(), issuer.issuer.clone().into());
        let audience = issuer.audiences.first().cloned();
        claims.extend(audience.map(|audience| ("aud".to_owned(), audience.into())));
    }
    claims.insert("iat".to_owned(), now.into());
    claims.insert("exp".to_owned(), now.saturating_add(LIFETIME_SECS).into());
    claims.extend(given);
    claims
}
