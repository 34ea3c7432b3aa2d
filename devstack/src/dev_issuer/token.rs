//! Tokens, right and wrong: tests need both.

use anyhow::Result;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jwt_simple::prelude::*;
use serde_json::{Map, Value, json};

use super::{AUDIENCE, keys::OrgKeys};

/// What a token says. The default is a good token of five minutes.
#[derive(Debug, Clone)]
pub struct TokenOptions {
    /// The `aud`.
    pub audience: String,
    /// Seconds from now to its `exp`; negative for a token that has expired.
    pub expires_in: i64,
    /// Seconds from now to its `iat` and `nbf`.
    pub not_before_in: i64,
    /// The `sub`.
    pub subject: String,
    /// The org that it claims, where that is not the issuer's own.
    pub claimed_org: Option<String>,
    /// The org whose key signs it, where that is not the issuer's own.
    pub signed_by: Option<String>,
    /// The `iss`, where that is not the issuer's own.
    pub issuer: Option<String>,
    /// Whether to leave the org claim out.
    pub without_org: bool,
    /// Whether to say `alg: none` and not to sign (RFC 7519, section 6).
    pub unsigned: bool,
    /// Further claims.
    pub claims: Map<String, Value>,
}

impl Default for TokenOptions {
    fn default() -> Self {
        Self {
            audience: AUDIENCE.to_owned(),
            expires_in: 300,
            not_before_in: 0,
            subject: "development".to_owned(),
            claimed_org: None,
            signed_by: None,
            issuer: None,
            without_org: false,
            unsigned: false,
            claims: Map::new(),
        }
    }
}

pub(super) fn sign(
    org: &str,
    issuer: &str,
    keys: &OrgKeys,
    options: &TokenOptions,
) -> Result<String> {
    let claims = claims(org, issuer, options);
    if options.unsigned {
        unsigned(&claims, &keys.signing().id)
    } else {
        keys.signing().sign(claims)
    }
}

fn claims(org: &str, issuer: &str, options: &TokenOptions) -> JWTClaims<Map<String, Value>> {
    let mut custom = options.claims.clone();
    if !options.without_org {
        let claimed = options.claimed_org.as_deref().unwrap_or(org);
        custom.insert("org_id".to_owned(), claimed.into());
    }
    let now = Clock::now_since_epoch();
    let mut claims = Claims::with_custom_claims(custom, Duration::from_secs(0))
        .with_issuer(issuer)
        .with_subject(&options.subject)
        .with_audience(&options.audience);
    claims.expires_at = Some(shifted(now, options.expires_in));
    claims.issued_at = Some(shifted(now, options.not_before_in));
    claims.invalid_before = claims.issued_at;
    claims
}

fn shifted(now: UnixTimeStamp, seconds: i64) -> UnixTimeStamp {
    UnixTimeStamp::from_secs(now.as_secs().saturating_add_signed(seconds))
}

fn unsigned(claims: &JWTClaims<Map<String, Value>>, key_id: &str) -> Result<String> {
    let header = json!({ "alg": "none", "typ": "JWT", "kid": key_id });
    let encode = |json: String| BASE64_URL_SAFE_NO_PAD.encode(json);
    Ok(format!("{}.{}.", encode(header.to_string()), encode(serde_json::to_string(claims)?)))
}
