//! The claims of a token (RFC 7519, section 4.1) and whether they admit it.

use policy_model::table::ArchivedIssuerRow;
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
    pub(crate) fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().map(Self)
    }

    /// The claim `name`, where it is a string.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// Holds the claims against `issuer`'s row at `now` (Unix seconds). The signature must have
    /// been verified before.
    pub(crate) fn admit(&self, issuer: &ArchivedIssuerRow, now: u64) -> Result<Admitted, Problem> {
        let expires_at = self.date("exp", Round::Down)?.ok_or(Problem::TokenExpired)?;
        if now >= expires_at {
            return Err(Problem::TokenExpired);
        }
        for name in ["nbf", "iat"] {
            let from = self.date(name, Round::Up)?.unwrap_or(0);
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

    /// Whether `audience` is the `aud` or one of them.
    fn is_for(&self, audience: &str) -> bool {
        match self.0.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(several)) => several.iter().any(|one| one == audience),
            _ => false,
        }
    }

    /// The claim `name` as a NumericDate (RFC 7519, section 2) in whole seconds. A date that is
    /// there and is none makes the token malformed rather than dateless.
    fn date(&self, name: &str, round: Round) -> Result<Option<u64>, Problem> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => {
                if let Some(seconds) = number.as_u64() {
                    return Ok(Some(seconds));
                }
                let seconds = number.as_f64().ok_or(Problem::MalformedToken)?;
                // A cast of a float saturates: before the epoch is 0, beyond u64 is its maximum.
                Ok(Some(round.apply(seconds) as u64))
            }
            Some(_) => Err(Problem::MalformedToken),
        }
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
