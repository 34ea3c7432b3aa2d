//! The claims of a token (RFC 7519, section 4.1) and whether they admit it.

use std::fmt;

use policy_model::table::ArchivedIssuerRow;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::{Map, Value};
use tenancy::{TenantId, problem::Problem};

/// How far an issuer's clock may run ahead of ours, in seconds. It forgives `nbf` and `iat`
/// only: an `exp` that has passed has passed.
pub(crate) const CLOCK_SKEW_SECS: u64 = 60;

/// The payload of a token.
#[derive(Debug)]
pub(crate) struct Claims(Map<String, Value>);

/// What the claims of an admitted token come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) tenant: TenantId,
    /// Unix seconds.
    pub(crate) expires_at: u64,
}

impl Claims {
    /// The claims in `json`, where the registered ones have the types that they are registered
    /// with. Refusing others here, before any signature is verified, makes the answer the same
    /// whoever verifies it.
    pub(crate) fn parse(json: &[u8]) -> Option<Self> {
        let Unique(claims) = serde_json::from_slice(json).ok()?;
        claims.iter().all(|(name, value)| is_well_typed(name, value)).then_some(Self(claims))
    }

    /// The claim `name`, where it is a string.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// Holds the claims against `issuer`'s row at `now` (Unix seconds). The signature must have
    /// been verified before.
    pub(crate) fn admit(&self, issuer: &ArchivedIssuerRow, now: u64) -> Result<Admitted, Problem> {
        let expires_at = self.date("exp", Round::Down).ok_or(Problem::TokenExpired)?;
        if now >= expires_at {
            return Err(Problem::TokenExpired);
        }
        for name in ["nbf", "iat"] {
            let from = self.date(name, Round::Up).unwrap_or(0);
            if from > now.saturating_add(CLOCK_SKEW_SECS) {
                return Err(Problem::TokenNotYetValid);
            }
        }
        if !issuer.audiences.iter().any(|accepted| self.is_for(accepted)) {
            return Err(Problem::WrongAudience);
        }
        let tenant: TenantId = self
            .text(&issuer.org_claim)
            .and_then(|org| org.parse().ok())
            .ok_or(Problem::MissingOrg)?;
        if !issuer.orgs.iter().any(|org| org.as_str() == tenant.as_str()) {
            return Err(Problem::OrgNotBound);
        }
        Ok(Admitted { tenant, expires_at })
    }

    /// The `iat`, in Unix seconds.
    pub(crate) fn issued_at(&self) -> Option<u64> {
        self.date("iat", Round::Down)
    }

    /// All of them.
    pub(crate) fn into_map(self) -> Map<String, Value> {
        self.0
    }

    /// Whether `audience` is the `aud` or one of them.
    fn is_for(&self, audience: &str) -> bool {
        match self.0.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(several)) => several.iter().any(|one| one == audience),
            _ => false,
        }
    }

    /// The claim `name` as a NumericDate (RFC 7519, section 2) in whole seconds.
    fn date(&self, name: &str, round: Round) -> Option<u64> {
        let date = self.0.get(name)?;
        // A cast of a float saturates: what is beyond u64 is its maximum.
        date.as_u64().or_else(|| date.as_f64().map(|seconds| round.apply(seconds) as u64))
    }
}

/// Whether a registered claim has its type (RFC 7519, 4.1; OpenID Connect Core 1.0, section 2).
fn is_well_typed(name: &str, value: &Value) -> bool {
    match name {
        "iss" | "sub" | "jti" | "nonce" => value.is_string(),
        "exp" | "nbf" | "iat" => value.as_f64().is_some_and(|seconds| seconds >= 0.0),
        "aud" => match value {
            Value::String(_) => true,
            Value::Array(several) => several.iter().all(Value::is_string),
            _ => false,
        },
        _ => true,
    }
}

/// A JSON object in which no name occurs twice. Where one does, two readers could disagree about
/// what the token says.
struct Unique(Map<String, Value>);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unique, A::Error> {
        let mut claims = Map::new();
        while let Some((name, value)) = members.next_entry::<String, Value>()? {
            if claims.insert(name, value).is_some() {
                return Err(A::Error::custom("a claim occurs twice"));
            }
        }
        Ok(Unique(claims))
    }
}

/// Which way a fraction of a second goes: always against the token.
#[derive(Clone, Copy)]
enum Round {
    Down,
    Up,
}

impl Round {
    fn apply(self, seconds: f64) -> f64 {
        match self {
            Self::Down => seconds.floor(),
            Self::Up => seconds.ceil(),
        }
    }
}
