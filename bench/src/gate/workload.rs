//! What is sent, and what must come of it.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use http_body_util::Empty;
use hyper::{
    Request, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HOST, HeaderName, HeaderValue, USER_AGENT},
};
use passport::Verifier;
use tenancy::headers;

use super::{
    bootstrap::{ORG, REFUSED_PATH, Variant},
    fixture::{BadTokens, Fixture, cluster, now_secs, tenant},
};
use crate::{
    load::{self, Expected, Get},
    upstream,
};

const PATH: &str = "/v2/models/eta/ready";

/// A header of the client that the gate must drop.
const SMUGGLED: &str = "x-bulkhead-smuggled";

/// A kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Workload {
    /// One valid token, again and again.
    OneToken,
    /// The tenants' valid tokens, in turn.
    #[value(name = "64-tenants")]
    ManyTokens,
    /// Tokens with a wrong signature, each one different.
    BadSignatures,
}

impl Workload {
    pub(crate) const ALL: [Self; 3] = [Self::OneToken, Self::ManyTokens, Self::BadSignatures];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::OneToken => "one-token",
            Self::ManyTokens => "64-tenants",
            Self::BadSignatures => "bad-signatures",
        }
    }

    /// What every answer of `variant` must be. The bare Envoy reads no token: of the refused ones
    /// it stands for answering without a look.
    pub(crate) fn expected(self, variant: Variant) -> Expected {
        if self == Self::BadSignatures {
            return Expected { status: StatusCode::UNAUTHORIZED, seen: None };
        }
        let seen = match variant {
            Variant::Bare => "authorization".to_owned(),
            Variant::Native => String::new(),
            Variant::NativePerTenant => ORG.to_owned(),
            Variant::Gate | Variant::OtherGate => {
                [headers::PASSPORT, headers::REQUEST_ID].join(",")
            }
        };
        Expected { status: StatusCode::OK, seen: HeaderValue::try_from(seen).ok() }
    }

    /// Makes the requests, one after the other.
    pub(crate) fn requests(
        self,
        variant: Variant,
        target: SocketAddr,
        fixture: &Fixture,
    ) -> Result<impl FnMut() -> Result<Get> + 'static> {
        let taken = match self {
            Self::OneToken => 1,
            Self::ManyTokens => fixture.tokens.len(),
            Self::BadSignatures => 0,
        };
        let tokens: Vec<(HeaderValue, &str)> = fixture
            .tokens
            .iter()
            .take(taken)
            .enumerate()
            .map(|(number, token)| Ok((bearer(token)?, cluster(number))))
            .collect::<Result<_>>()?;
        let host = HeaderValue::try_from(target.to_string())?;
        let mut bad = BadTokens::new();
        let mut turn = 0;
        Ok(move || {
            let Some((token, cluster)) = tokens.get(turn % tokens.len().max(1)) else {
                return Ok(get(REFUSED_PATH, &host, bearer(&bad.next())?));
            };
            turn += 1;
            let mut request = get(PATH, &host, token.clone());
            if variant == Variant::Bare {
                let cluster = HeaderValue::from_static(cluster);
                request.headers_mut().insert(HeaderName::from_static(headers::CLUSTER), cluster);
            }
            Ok(request)
        })
    }
}

/// Asks once with headers that are not the client's to set, and checks what reached the upstream,
/// the passport's own words among it.
pub(crate) async fn check_one_request(
    variant: Variant,
    target: SocketAddr,
    fixture: &Fixture,
) -> Result<()> {
    let workload = Workload::OneToken;
    let mut request = workload.requests(variant, target, fixture)?()?;
    let shown = HeaderName::from_static(upstream::SHOW);
    request.headers_mut().insert(shown.clone(), HeaderValue::from_static("1"));
    if variant != Variant::Bare {
        for name in [SMUGGLED, headers::PASSPORT, headers::CLUSTER] {
            let forged = HeaderValue::from_static("forged");
            request.headers_mut().insert(HeaderName::from_static(name), forged);
        }
    }
    let (status, headers) = load::send(target, request).await?;
    workload.expected(variant).check(status, &headers)?;
    if !matches!(variant, Variant::Gate | Variant::OtherGate) {
        return Ok(());
    }
    let token = headers.get(shown).context("expected a passport at the upstream, found none")?;
    let verifier = Verifier::new([fixture.passport_key.verifying_key()])?;
    let (passport, _) = verifier.verify(token.to_str()?, now_secs())?;
    if passport.tenant.as_str() != tenant(0) || passport.data_plane.as_str() != cluster(0) {
        bail!("expected a passport of {} for {}, found {passport:?}", tenant(0), cluster(0));
    }
    Ok(())
}

fn bearer(token: &str) -> Result<HeaderValue> {
    Ok(HeaderValue::try_from(format!("Bearer {token}"))?)
}

fn get(path: &'static str, host: &HeaderValue, authorization: HeaderValue) -> Get {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = hyper::Uri::from_static(path);
    let headers = request.headers_mut();
    headers.insert(HOST, host.clone());
    headers.insert(USER_AGENT, HeaderValue::from_static("shipping-service/4.2 (linux; x86_64)"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate"));
    headers.insert(AUTHORIZATION, authorization);
    request
}
