//! `kind: Issuer`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tenancy::TenantId;

use crate::schema::Name;

/// An OpenID Connect issuer and the orgs that it may speak for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IssuerSpec {
    /// The `iss` of its tokens, byte for byte. Its keys are found by discovery:
    /// `{issuer}/.well-known/openid-configuration` (OpenID Connect Discovery 1.0).
    pub issuer: String,
    /// Which `aud` values are accepted; a token needs one of them.
    pub audiences: Vec<String>,
    /// Which signature algorithms its tokens may use. `RS256` and `ES256` where it is not said.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// The orgs that it may speak for: the values of the org claim that are accepted from it.
    #[schemars(with = "Vec<Name>")]
    pub orgs: Vec<TenantId>,
    /// The claim that names the org. `org_id` where it is not said.
    #[serde(default = "default_org_claim")]
    pub org_claim: String,
}

fn default_algorithms() -> Vec<Algorithm> {
    vec![Algorithm::RS256, Algorithm::ES256]
}

fn default_org_claim() -> String {
    "org_id".to_owned()
}

/// A JWS signature algorithm (RFC 7518, section 3.1). `none` and the shared-secret ones are not
/// among them and cannot be configured.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
}

impl Algorithm {
    /// The algorithm's name in a JWT header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
