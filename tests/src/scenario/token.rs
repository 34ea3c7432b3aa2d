//! Makes the tokens and passports that a scenario describes, the bad ones too.
//!
//! Tokens are put together here from their parts and signed with other code than the filters
//! verify with, so that one misreading of the standards cannot hide in both.

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jwt_simple::{
    claims::JWTClaims,
    prelude::{
        Claims, Duration, ES256KeyPair, Ed25519KeyPair, EdDSAKeyPairLike as _, HS256Key,
        HeaderOptions, MACLike as _,
    },
};
use passport::{MAX_LIFETIME_SECS, Passport};
use rsa::{
    pkcs8::DecodePrivateKey as _,
    signature::{SignatureEncoding as _, Signer as _},
};
use serde_json::{Map, Value, json};
use tenancy::headers;

use super::{
    Deployment, Header, Prepared,
    deployment::{Issuer, Key, KeyPair},
    format::{Alg, PassportSpec, Signer, Step, Tamper, TokenSpec},
};

const DEFAULT_PATH: &str = "/v2/models/eta/infer";
const DEFAULT_LIFETIME_SECS: i64 = 3600;

/// The request of `step`, with its token and passport made at `now` (Unix seconds).
///
/// # Errors
/// Where the step names what the deployment does not have.
pub fn prepare(deployment: &Deployment, step: &Step, now: u64) -> Result<Prepared> {
    let token = step.token.as_ref().map(|spec| token(deployment, spec, now)).transpose()?;
    let passport =
        step.passport.as_ref().map(|spec| passport(deployment, spec, now)).transpose()?;
    let mut prepared = pseudo_headers(step);
    if let (Some(spec), Some(token)) = (&step.token, &token) {
        let scheme = spec.scheme.as_deref().unwrap_or("Bearer");
        prepared.push(header("authorization", &format!("{scheme} {token}")));
    }
    if let (Some(spec), Some(passport)) = (&step.passport, &passport) {
        let copies = spec.copies.unwrap_or(1);
        prepared.extend((0..copies).map(|_| header(headers::PASSPORT, passport)));
    }
    for (name, value) in &step.headers {
        let value = value
            .replace("${token}", token.as_deref().unwrap_or_default())
            .replace("${passport}", passport.as_deref().unwrap_or_default());
        prepared.push(header(name, &value));
    }
    Ok(Prepared { target: step.to.clone(), headers: prepared })
}

fn pseudo_headers(step: &Step) -> Vec<Header> {
    vec![
        header(":method", "GET"),
        header(":scheme", "http"),
        header(":authority", "api.bulkhead.example"),
        header(":path", step.path.as_deref().unwrap_or(DEFAULT_PATH)),
    ]
}

fn header(name: &str, value: &str) -> Header {
    (name.to_owned(), value.as_bytes().to_vec())
}

fn token(deployment: &Deployment, spec: &TokenSpec, now: u64) -> Result<String> {
    if let Some(raw) = &spec.raw {
        return Ok(raw.clone());
    }
    let issuer = deployment.issuer(spec.issuer.as_deref().context("a token needs an issuer")?)?;
    let alg = spec.alg.unwrap_or(Alg::ES256);
    let key = issuer.key(alg)?;
    let signer = match &spec.signed_by {
        Some(other) => deployment.issuer(other)?.key(alg)?,
        None => key,
    };
    let header = jose_header(spec, key);
    let claims = claims(deployment, issuer, spec, now)?;
    match spec.tamper {
        None => signed(&header, &claims, &signer.pair),
        Some(tamper) => tampered(tamper, issuer, header, claims, &signer.pair),
    }
}

fn jose_header(spec: &TokenSpec, key: &Key) -> Map<String, Value> {
    let mut header = Map::new();
    header.insert("alg".to_owned(), key.pair.alg().as_str().into());
    header.insert("typ".to_owned(), spec.typ.as_deref().unwrap_or("JWT").into());
    match &spec.kid {
        None => header.insert("kid".to_owned(), key.id.clone().into()),
        Some(Some(kid)) => header.insert("kid".to_owned(), kid.clone().into()),
        Some(None) => None,
    };
    header
}

fn claims(
    deployment: &Deployment,
    issuer: &Issuer,
    spec: &TokenSpec,
    now: u64,
) -> Result<Map<String, Value>> {
    let org = spec.org.as_ref().or(issuer.orgs.first()).context("the issuer has no org")?;
    let expires_at = ahead(now, spec.expires_in.unwrap_or(DEFAULT_LIFETIME_SECS));
    let audience = spec.audience.clone().unwrap_or_else(|| deployment.audience().into());
    let mut claims = Map::new();
    claims.insert("iss".to_owned(), issuer.iss.clone().into());
    claims.insert("sub".to_owned(), "shipping-bot".into());
    claims.insert("aud".to_owned(), audience);
    claims.insert("iat".to_owned(), now.min(expires_at).into());
    claims.insert("exp".to_owned(), expires_at.into());
    claims.insert(issuer.org_claim.clone(), org.clone().into());
    for (name, value) in &spec.claims {
        match value {
            Value::Null => claims.remove(name),
            value => claims.insert(name.clone(), relative(value, now)?),
        };
    }
    Ok(claims)
}

/// `now+N` and `now-N` as Unix seconds, everything else as it is.
fn relative(value: &Value, now: u64) -> Result<Value> {
    let offset = value.as_str().and_then(|text| text.strip_prefix("now"));
    match offset.filter(|offset| offset.starts_with(['+', '-'])) {
        Some(offset) => {
            let seconds = offset.parse().with_context(|| format!("`{value}` is no time"))?;
            Ok(ahead(now, seconds).into())
        }
        None => Ok(value.clone()),
    }
}

fn ahead(now: u64, seconds: i64) -> u64 {
    now.saturating_add_signed(seconds)
}

fn signed(
    header: &Map<String, Value>,
    claims: &Map<String, Value>,
    key: &KeyPair,
) -> Result<String> {
    let message = format!("{}.{}", encode(header)?, encode(claims)?);
    let signature = sign(key, message.as_bytes())?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn sign(key: &KeyPair, message: &[u8]) -> Result<Vec<u8>> {
    match key {
        KeyPair::Es256(pair) => {
            use p256::ecdsa::{Signature, SigningKey, signature::Signer as _};
            let key = SigningKey::from_slice(&pair.to_bytes())?;
            let signature: Signature = key.sign(message);
            Ok(signature.to_bytes().to_vec())
        }
        KeyPair::Rs256(pair) => {
            let key = rsa::RsaPrivateKey::from_pkcs8_pem(&pair.to_pem()?)?;
            let key = rsa::pkcs1v15::SigningKey::<rsa::sha2::Sha256>::new(key);
            Ok(key.try_sign(message)?.to_vec())
        }
    }
}

fn encode(part: &Map<String, Value>) -> Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(part)?))
}

fn tampered(
    tamper: Tamper,
    issuer: &Issuer,
    mut header: Map<String, Value>,
    mut claims: Map<String, Value>,
    key: &KeyPair,
) -> Result<String> {
    let good = signed(&header, &claims, key)?;
    let (message, signature) = good.rsplit_once('.').context("a token has three parts")?;
    match tamper {
        Tamper::AlgNone => {
            header.insert("alg".to_owned(), "none".into());
            Ok(format!("{}.{}.", encode(&header)?, encode(&claims)?))
        }
        Tamper::Hs256WithPublicKey => {
            let KeyPair::Rs256(pair) = &issuer.key(Alg::RS256)?.pair else {
                bail!("an RS256 key that is none")
            };
            let secret = pair.public_key().to_pem()?;
            let kid = &issuer.key(Alg::RS256)?.id;
            HS256Key::from_bytes(secret.as_bytes()).with_key_id(kid).authenticate(exactly(claims))
        }
        Tamper::ChangedPayload => {
            claims.insert("sub".to_owned(), "somebody-else".into());
            Ok(format!("{}.{}.{signature}", encode(&header)?, encode(&claims)?))
        }
        Tamper::NoSignature => Ok(format!("{message}.")),
        Tamper::ChangedSignature => {
            let mut bytes = URL_SAFE_NO_PAD.decode(signature)?;
            *bytes.get_mut(10).context("a signature is longer")? ^= 1;
            Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(bytes)))
        }
        Tamper::CriticalExtension => {
            header.insert("crit".to_owned(), json!(["b64"]));
            header.insert("b64".to_owned(), false.into());
            signed(&header, &claims, key)
        }
        Tamper::EmbeddedKey => {
            let own = ES256KeyPair::generate();
            let jwk: Value = serde_json::from_str(&own.public_key().to_jwk())?;
            header.insert("jwk".to_owned(), jwk);
            signed(&header, &claims, &KeyPair::Es256(own))
        }
    }
}

/// These claims and no others.
fn exactly(claims: Map<String, Value>) -> JWTClaims<Map<String, Value>> {
    let mut all = Claims::with_custom_claims(claims, Duration::from_secs(0));
    (all.issued_at, all.expires_at, all.invalid_before) = (None, None, None);
    all
}

fn passport(deployment: &Deployment, spec: &PassportSpec, now: u64) -> Result<String> {
    let (tier, own_data_plane) = deployment.tenant(&spec.tenant)?;
    let passport = Passport {
        tenant: spec.tenant.parse()?,
        tier,
        data_plane: spec.data_plane.as_deref().unwrap_or(own_data_plane).parse()?,
        revision: "0123456789abcdef".to_owned(),
    };
    let life = i64::try_from(MAX_LIFETIME_SECS)?;
    let minted_at = ahead(now, spec.expires_in.unwrap_or(life) - life);
    let token = deployment.passport_key().mint(&passport, minted_at, MAX_LIFETIME_SECS)?;
    match spec.signed_by {
        Signer::Deployment => Ok(token),
        Signer::Stranger => forged(&token, deployment.passport_key().id()),
    }
}

/// The same claims under the same header, by a key of nobody's.
fn forged(passport: &str, key_id: &str) -> Result<String> {
    let mut parts = passport.split('.').map(|part| URL_SAFE_NO_PAD.decode(part));
    let mut part = || parts.next().context("a passport has three parts");
    let header: Map<String, Value> = serde_json::from_slice(&part()??)?;
    let claims: Map<String, Value> = serde_json::from_slice(&part()??)?;
    let typ = header.get("typ").and_then(Value::as_str).context("a passport has a type")?;
    let options = HeaderOptions { content_type: None, signature_type: Some(typ.to_owned()) };
    let stranger = Ed25519KeyPair::generate().with_key_id(key_id);
    stranger.sign_with_options(exactly(claims), &options)
}
