//! Makes the tokens that a scenario describes, the bad ones too.
//!
//! They are put together here from their parts, so that one misreading of the standards cannot
//! hide in both what makes and what reads them.

use jwt_simple::{
    claims::JWTClaims,
    prelude::{Claims, Duration, HS256Key, MACLike as _},
};
use policy_model::spec::{Algorithm, IssuerSpec};
use serde_json::{Map, Value, json};

use crate::{
    Deployment, Error, base64url,
    format::{Tamper, TokenSpec},
    keys::Key,
};

const DEFAULT_LIFETIME_SECS: i64 = 3600;

/// The token that `spec` describes, made at `now` (Unix seconds).
pub(crate) fn make(deployment: &Deployment, spec: &TokenSpec, now: u64) -> Result<String, Error> {
    if let Some(raw) = &spec.raw {
        return Ok(raw.clone());
    }
    let name = spec
        .issuer
        .as_deref()
        .ok_or_else(|| Error::request("expected `issuer` or `raw` under `token`, found neither"))?;
    let unknown = || Error::request(format!("expected an Issuer `{name}`"));
    deployment.issuer(name)?;
    let issuer = deployment.issuer_spec(name).ok_or_else(unknown)?;
    let alg = spec.alg.unwrap_or(Algorithm::ES256);
    let key = deployment.key(name, alg)?;
    let signer = match &spec.signed_by {
        Some(other) => deployment.key(other, alg)?,
        None => key,
    };
    let header = jose_header(spec, key);
    let claims = claims(issuer, spec, now)?;
    match spec.tamper {
        None => signed(&header, &claims, signer),
        Some(Tamper::Hs256WithPublicKey) => {
            under_the_public_key(deployment.key(name, Algorithm::RS256)?, claims)
        }
        Some(tamper) => tampered(tamper, header, claims, signer),
    }
}

/// A token with exactly these claims, signed as the issuer that they name would, or as a stranger
/// would where they name none of the deployment.
pub(crate) fn of_claims(
    deployment: &Deployment,
    claims: &Map<String, Value>,
    alg: Option<Algorithm>,
) -> Result<String, Error> {
    let iss = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
    let issuer = deployment.resolved().issuers.get(iss);
    let alg = alg.or_else(|| issuer.and_then(|issuer| issuer.algorithms.first().copied()));
    let known = issuer.zip(alg).and_then(|(issuer, alg)| deployment.key(&issuer.name, alg).ok());
    let key = match known {
        Some(key) => key.clone(),
        None => Key::strange()?.0,
    };
    signed(&jose_header(&TokenSpec::default(), &key), claims, &key)
}

fn jose_header(spec: &TokenSpec, key: &Key) -> Map<String, Value> {
    let mut header = Map::new();
    header.insert("alg".to_owned(), key.algorithm.as_str().into());
    header.insert("typ".to_owned(), spec.typ.as_deref().unwrap_or("JWT").into());
    match &spec.kid {
        None => header.insert("kid".to_owned(), key.id.clone().into()),
        Some(Some(kid)) => header.insert("kid".to_owned(), kid.clone().into()),
        Some(None) => None,
    };
    header
}

fn claims(issuer: &IssuerSpec, spec: &TokenSpec, now: u64) -> Result<Map<String, Value>, Error> {
    let first = issuer.orgs.first().map(ToString::to_string);
    let org = spec.org.clone().or(first).ok_or_else(|| Error::request("the issuer has no org"))?;
    let expires_at = now.saturating_add_signed(spec.expires_in.unwrap_or(DEFAULT_LIFETIME_SECS));
    let audience = issuer.audiences.first().cloned().map(Value::from);
    let mut claims = Map::new();
    claims.insert("iss".to_owned(), issuer.issuer.clone().into());
    claims.insert("sub".to_owned(), "shipping-bot".into());
    claims.insert("aud".to_owned(), spec.audience.clone().or(audience).unwrap_or_default());
    claims.insert("iat".to_owned(), now.min(expires_at).into());
    claims.insert("exp".to_owned(), expires_at.into());
    claims.insert(issuer.org_claim.clone(), org.into());
    for (name, value) in &spec.claims {
        match value {
            Value::Null => claims.remove(name),
            value => claims.insert(name.clone(), relative(value, now)?),
        };
    }
    Ok(claims)
}

/// `now+N` and `now-N` as Unix seconds, everything else as it is.
fn relative(value: &Value, now: u64) -> Result<Value, Error> {
    let offset = value.as_str().and_then(|text| text.strip_prefix("now"));
    match offset.filter(|offset| offset.starts_with(['+', '-'])) {
        Some(offset) => {
            let seconds: i64 = offset.parse().map_err(|_| {
                Error::request(format!("expected `now+<seconds>` in a claim, found {value}"))
            })?;
            Ok(now.saturating_add_signed(seconds).into())
        }
        None => Ok(value.clone()),
    }
}

fn signed(
    header: &Map<String, Value>,
    claims: &Map<String, Value>,
    key: &Key,
) -> Result<String, Error> {
    let message = format!("{}.{}", encode(header)?, encode(claims)?);
    let signature = key.sign(message.as_bytes())?;
    Ok(format!("{message}.{}", base64url(&signature)))
}

fn encode(part: &Map<String, Value>) -> Result<String, Error> {
    Ok(base64url(&serde_json::to_vec(part).map_err(Error::request)?))
}

fn tampered(
    tamper: Tamper,
    mut header: Map<String, Value>,
    mut claims: Map<String, Value>,
    key: &Key,
) -> Result<String, Error> {
    let message = format!("{}.{}", encode(&header)?, encode(&claims)?);
    let mut signature = key.sign(message.as_bytes())?;
    Ok(match tamper {
        Tamper::AlgNone => {
            header.insert("alg".to_owned(), "none".into());
            format!("{}.{}.", encode(&header)?, encode(&claims)?)
        }
        Tamper::ChangedPayload => {
            claims.insert("sub".to_owned(), "somebody-else".into());
            format!("{}.{}.{}", encode(&header)?, encode(&claims)?, base64url(&signature))
        }
        Tamper::NoSignature | Tamper::Hs256WithPublicKey => format!("{message}."),
        Tamper::ChangedSignature => {
            if let Some(byte) = signature.get_mut(10) {
                *byte ^= 1;
            }
            format!("{message}.{}", base64url(&signature))
        }
        Tamper::CriticalExtension => {
            header.insert("crit".to_owned(), json!(["b64"]));
            header.insert("b64".to_owned(), false.into());
            signed(&header, &claims, key)?
        }
        Tamper::EmbeddedKey => {
            let (own, jwk) = Key::strange()?;
            header.insert("jwk".to_owned(), jwk);
            signed(&header, &claims, &own)?
        }
    })
}

/// What a verifier accepts that takes the algorithm from the token and the key from the issuer
/// (RFC 8725, 2.1).
fn under_the_public_key(key: &Key, claims: Map<String, Value>) -> Result<String, Error> {
    let secret = HS256Key::from_bytes(key.public_pem()?.as_bytes()).with_key_id(&key.id);
    secret.authenticate(exactly(claims)).map_err(Error::key)
}

/// These claims and no others.
pub(crate) fn exactly(claims: Map<String, Value>) -> JWTClaims<Map<String, Value>> {
    let mut all = Claims::with_custom_claims(claims, Duration::from_secs(0));
    (all.issued_at, all.expires_at, all.invalid_before) = (None, None, None);
    all
}
