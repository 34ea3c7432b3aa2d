//! Reads a JWT in its compact form (RFC 7515, RFC 7519) without believing it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::IgnoredAny};
use tenancy::problem::Problem;

use crate::claims::Claims;

/// The longest header accepted, encoded, in bytes.
const MAX_HEADER_BYTES: usize = 1024;

/// A token that could be read. Nothing in it is known to be true yet.
#[derive(Debug)]
pub(crate) struct Jwt<'a> {
    /// The whole token.
    pub(crate) text: &'a str,
    /// What is signed: header and payload as they arrived.
    pub(crate) signed: &'a str,
    pub(crate) signature: Vec<u8>,
    pub(crate) header: JoseHeader,
    pub(crate) claims: Claims,
}

/// The members of a JOSE header that are looked at. Keys that a token brings along (`jwk`, `jku`,
/// `x5c`) are not: a token must not say whom to believe.
#[derive(Debug, Deserialize)]
pub(crate) struct JoseHeader {
    pub(crate) alg: String,
    #[serde(default)]
    pub(crate) kid: Option<String>,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

impl<'a> Jwt<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Problem> {
        Self::read(text).ok_or(Problem::MalformedToken)
    }

    fn read(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        if header.len() > MAX_HEADER_BYTES || payload.contains('.') {
            return None;
        }
        let header: JoseHeader = serde_json::from_slice(&decode(header)?).ok()?;
        // An extension that must be understood (RFC 7515, 4.1.11) is not understood here.
        if header.crit.is_some() || !is_access_token(header.typ.as_deref()) {
            return None;
        }
        let claims = Claims::parse(&decode(payload)?)?;
        Some(Self { text, signed, signature: decode(signature)?, header, claims })
    }
}

/// Strict: no padding, no white space, and no second spelling of the same bytes.
fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Whether a token of this `typ` may stand for a caller (RFC 8725, 3.11; RFC 9068, 2.1). Logout
/// tokens, security events and proofs of possession may not.
fn is_access_token(typ: Option<&str>) -> bool {
    let Some(typ) = typ else { return true };
    ["JWT", "at+jwt", "application/at+jwt"].iter().any(|known| typ.eq_ignore_ascii_case(known))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(header: &str, payload: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(header), part(payload), part("signature"))
    }

    #[test]
    fn a_compact_jwt_is_read() {
        let text = token(r#"{"alg":"RS256","kid":"k","typ":"JWT"}"#, r#"{"iss":"https://i"}"#);
        let jwt = Jwt::parse(&text).unwrap();
        assert_eq!(jwt.header.kid.as_deref(), Some("k"));
        assert_eq!(jwt.claims.text("iss"), Some("https://i"));
        assert_eq!(jwt.signature, b"signature");
        assert!(text.starts_with(jwt.signed));
    }

    #[test]
    fn what_is_not_a_signed_jwt_is_refused() {
        let good = token(r#"{"alg":"RS256"}"#, "{}");
        assert!(Jwt::parse(&good).is_ok());
        let refused = [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            format!("{good}.x"),
            format!("{good}="),
            format!("{good}\n"),
            token(r#"{"alg":"RS256","crit":["b64"],"b64":false}"#, "{}"),
            token(r#"{"alg":"RS256","crit":[]}"#, "{}"),
            token(r#"{"alg":"RS256","typ":"logout+jwt"}"#, "{}"),
            token(r#"{"alg":"RS256","alg":"none"}"#, "{}"),
            token(r#"{"kid":"k"}"#, "{}"),
            token(r#"{"alg":["RS256"]}"#, "{}"),
            token(r#"{"alg":"RS256"}"#, "[]"),
            token(r#"{"alg":"RS256"}"#, r#"{"iss":"a","iss":"b"}"#),
            token(r#"{"alg":"RS256"}"#, r#"{"org_id":"a","org_id":"b"}"#),
            token(r#"{"alg":"RS256"}"#, "{} {}"),
            token(&format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(1024)), "{}"),
        ];
        for text in refused {
            assert!(Jwt::parse(&text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_second_spelling_of_the_same_bytes_is_refused() {
        // `e30` and `e31` both decode to `{}` where trailing bits are ignored.
        let good = token(r#"{"alg":"RS256"}"#, "{}");
        assert!(good.contains(".e30."));
        assert!(Jwt::parse(&good.replace(".e30.", ".e31.")).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in ".{0,200}") {
            let _ = Jwt::parse(&text);
        }

        #[test]
        fn any_json_is_read_or_refused_without_a_panic(
            header in r#"\{"alg":.{0,40}\}"#,
            payload in r#"\{"exp":.{0,40}\}"#,
        ) {
            let _ = Jwt::parse(&token(&header, &payload));
        }
    }
}
