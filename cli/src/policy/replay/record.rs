//! Recorded requests: the one format that `bulkhead policy replay` reads.
//!
//! A recording is a file of JSON lines: one object for each request that the ingress decided on.
//! What our Envoys write as their JSON access log is one as it is; whoever makes recordings
//! otherwise writes the same fields, and may add the claims and headers that checks read and that
//! an access log does not hold.
//!
//! ```json
//! {"time": "2026-11-21T07:00:00.123Z", "tenant": "org_aa", "method": "POST",
//!  "path": "/v2/models/air-time/infer", "host": "api.example.com", "content_length": 512,
//!  "headers": {"user-agent": "curl/8.5.0"},
//!  "claims": {"iss": "https://idp.aa.example", "iat": 1795244400, "org_id": "org_aa"}}
//! ```
//!
//! | field | what | without it |
//! | --- | --- | --- |
//! | `time` | when the request came, RFC 3339; it is the `now` of the checks | a bad line |
//! | `method` | as it came | a bad line |
//! | `path` | as it came, with its query | a bad line |
//! | `tenant` | whom the gate verified it to be of | counted, and not decided |
//! | `host` | the authority | not known |
//! | `content_length` | the body's length in bytes, where it was declared | not known, unless there are `headers` |
//! | `headers` | all of them, by lower-case name, without credentials | not known |
//! | `claims` | of the verified token | not known |
//! | `algorithm`, `key_id` | of the token's header | not known |
//! | `request_id` | for people who look an example up | |
//! | `listener` | what wrote the record; only the records of `ingress` are decided on | it is taken for the ingress |
//!
//! Other fields are skipped. `null` and `"-"` are what Envoy writes for nothing, and mean that. A
//! check that reads what is not known counts as passed, and is told. The identity is the record's:
//! no token is verified again, and no rate is taken. The access log leaves queries out, so of its
//! records (those with a `listener`) the query is not known.

use std::collections::BTreeMap;

use filter_core::Caller;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use tenancy::TenantId;

/// The listener whose requests the gate decides on.
const INGRESS: &str = "ingress";

/// A request as it was recorded.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Record {
    pub(super) time: Timestamp,
    pub(super) method: String,
    pub(super) path: String,
    #[serde(default, deserialize_with = "tenant")]
    pub(super) tenant: Option<TenantId>,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(super) host: Option<String>,
    #[serde(default, deserialize_with = "length")]
    pub(super) content_length: Option<u64>,
    #[serde(default)]
    pub(super) headers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) claims: Option<Map<String, Value>>,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(super) algorithm: Option<String>,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(super) key_id: Option<String>,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(super) request_id: Option<String>,
    #[serde(default, deserialize_with = "or_nothing")]
    listener: Option<String>,
}

impl Record {
    /// Whether it is a request that came to the ingress.
    pub(super) fn is_of_ingress(&self) -> bool {
        self.listener.as_deref().is_none_or(|listener| listener == INGRESS)
    }

    /// Whether it says what the variable at `path` was. What no request holds is not its to say.
    pub(super) fn holds(&self, path: &str) -> bool {
        match path {
            "claims" | "token.issuer" | "token.issued_at" | "token.expires_at" => {
                self.claims.is_some()
            }
            "token.algorithm" => self.algorithm.is_some(),
            "token.key_id" => self.key_id.is_some(),
            "request.headers" => self.headers.is_some(),
            "request.content_length" => self.content_length.is_some() || self.headers.is_some(),
            "request.host" => self.host.is_some(),
            "request.query" => self.listener.is_none() || self.path.contains('?'),
            _ => true,
        }
    }

    /// Unix seconds, and the nanoseconds beyond them.
    pub(super) fn unix_time(&self) -> (u64, u64) {
        let nanos = u128::try_from(self.time.as_nanosecond()).unwrap_or(0);
        let part = |nanos: u128| u64::try_from(nanos).unwrap_or(0);
        (part(nanos / 1_000_000_000), part(nanos % 1_000_000_000))
    }

    /// Who sent it. A token that was let through had not expired.
    pub(super) fn caller(&self, tenant: &TenantId) -> Caller {
        let claims = self.claims.clone().unwrap_or_default();
        let seconds = |name: &str| {
            let claim = claims.get(name)?;
            claim.as_u64().or_else(|| claim.as_f64().map(|seconds| seconds as u64))
        };
        Caller {
            tenant: tenant.clone(),
            issuer: claims.get("iss").and_then(Value::as_str).unwrap_or_default().to_owned(),
            algorithm: self.algorithm.clone().unwrap_or_default(),
            key_id: self.key_id.clone().unwrap_or_default(),
            issued_at: seconds("iat"),
            expires_at: seconds("exp").unwrap_or(self.unix_time().0 + 1),
            claims,
        }
    }

    /// The record of a line.
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => format!("expected a recorded request: {error}"),
            _ => format!("expected a JSON object: {error}"),
        })
    }
}

fn or_nothing<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    Ok(text.filter(|text| !matches!(text.as_str(), "" | "-")))
}

fn tenant<'de, D: Deserializer<'de>>(from: D) -> Result<Option<TenantId>, D::Error> {
    let text = or_nothing(from)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

/// A number, or a number as text: a header's value is text in an access log.
fn length<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Length {
        Number(u64),
        Text(String),
    }
    match Option::<Length>::deserialize(from)? {
        None => Ok(None),
        Some(Length::Number(number)) => Ok(Some(number)),
        Some(Length::Text(text)) if matches!(text.as_str(), "" | "-") => Ok(None),
        Some(Length::Text(text)) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_envoy_writes_for_nothing_is_nothing() {
        let line =
            br#"{"time": "2026-11-21T07:00:00.123Z", "method": "GET", "path": "/v2", "tenant": "-",
            "host": null, "content_length": "-", "headers": null, "duration_ms": 3}"#;
        let record = Record::read(line).unwrap();
        assert!(record.tenant.is_none() && record.host.is_none());
        assert_eq!(record.content_length, None);
        assert!(record.headers.is_none() && record.claims.is_none());
        for path in ["claims", "request.headers", "request.content_length", "request.host"] {
            assert!(!record.holds(path), "{path}");
        }
    }

    #[test]
    fn claims_and_headers_are_kept() {
        let line = br#"{"time": "2026-11-21T07:00:00Z", "method": "POST", "path": "/v2", "tenant": "org_a",
            "content_length": "512", "headers": {"x-a": "1"}, "claims": {"iat": 5}}"#;
        let record = Record::read(line).unwrap();
        assert_eq!(record.tenant.as_ref().map(TenantId::as_str), Some("org_a"));
        assert_eq!(record.content_length, Some(512));
        assert!(record.holds("claims") && record.holds("request.headers"));
        assert_eq!(record.headers.as_ref().unwrap()["x-a"], "1");
        assert_eq!(record.claims.unwrap()["iat"], 5);
    }

    #[test]
    fn a_line_of_an_access_log_is_the_ingresses_or_anothers_and_has_no_query() {
        let line = |listener: &str, path: &str| {
            let line = serde_json::json!({"time": "2026-11-21T07:00:00Z", "method": "GET",
                "path": path, "listener": listener});
            Record::read(line.to_string().as_bytes()).unwrap()
        };
        assert!(line("ingress", "/v2").is_of_ingress() && !line("node", "/v2").is_of_ingress());
        assert!(!line("ingress", "/v2").holds("request.query"));
        assert!(line("-", "/v2").holds("request.query") && line("-", "/v2").is_of_ingress());
    }

    #[test]
    fn a_bad_line_says_what_is_wrong_with_it() {
        for (line, said) in [
            (&br#"{"method": "GET", "path": "/"}"#[..], "missing field `time`"),
            (br#"{"time": "yesterday", "method": "GET", "path": "/"}"#, "recorded request"),
            (b"GET /v2", "JSON object"),
            (b"\xff", "JSON object"),
            (b"[]", "recorded request"),
            (br#"{"time": "2026-11-21T07:00:00Z", "method": "GET", "path": "/", "tenant": "a/b"}"#, "a/b"),
        ] {
            let error = Record::read(line).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Record::read(&line);
        }

        #[test]
        fn no_json_panics(
            time in ".{0,30}", length in "[-0-9]{0,24}", claims in "(null|\\{\\}|\\[\\]|1)",
        ) {
            let line = serde_json::json!({"time": time, "method": "GET", "path": "/", "content_length": length});
            let line = line.to_string().replace("\"GET\"", &format!("\"GET\",\"claims\":{claims}"));
            let _ = Record::read(line.as_bytes());
        }
    }
}
