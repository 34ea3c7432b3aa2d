//! Tokens and passports as a scenario describes them, the bad ones too.

use std::collections::BTreeMap;

use policy_model::spec::Algorithm;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A token. Everything that is not said is as a good token of the issuer's first org has it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    /// The Issuer's name in the deployment. It gives `iss` and the keys.
    #[serde(default)]
    pub issuer: Option<String>,
    /// The org claim. The issuer's first org where it is not said.
    #[serde(default)]
    pub org: Option<String>,
    /// The algorithm, and so which of the issuer's keys. `ES256` where it is not said.
    #[serde(default)]
    pub alg: Option<Algorithm>,
    /// Seconds from now to `exp`; negative has passed. 3600 where it is not said.
    #[serde(default)]
    pub expires_in: Option<i64>,
    /// The `aud`: a string, or a list. The issuer's first where it is not said.
    #[serde(default)]
    pub audience: Option<Value>,
    /// Claims to set, over all others; `null` leaves one out. A text `now+N` or `now-N` becomes
    /// that time in Unix seconds.
    #[serde(default)]
    pub claims: BTreeMap<String, Value>,
    /// The header's `kid`: another one, or `null` for none. The key's own where it is not said.
    #[serde(default, deserialize_with = "present")]
    pub kid: Option<Option<String>>,
    /// The header's `typ`. `JWT` where it is not said.
    #[serde(default)]
    pub typ: Option<String>,
    /// Sign with this issuer's key, under the header of the issuer above.
    #[serde(default)]
    pub signed_by: Option<String>,
    /// What is done to the token after it was made.
    #[serde(default)]
    pub tamper: Option<Tamper>,
    /// This very text instead of a token.
    #[serde(default)]
    pub raw: Option<String>,
    /// The `Authorization` scheme. `Bearer` where it is not said.
    #[serde(default)]
    pub scheme: Option<String>,
}

/// Tells a field that is `null` from one that is absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// What an attacker does to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tamper {
    /// The header says `alg: none` and there is no signature.
    AlgNone,
    /// The header says `HS256`, and the secret is the issuer's public RSA key as PEM.
    Hs256WithPublicKey,
    /// The payload says `sub: somebody-else`, under the old signature.
    ChangedPayload,
    /// The signature is gone.
    NoSignature,
    /// The signature has one bit changed.
    ChangedSignature,
    /// The header says that an extension must be understood (RFC 7515, 4.1.11).
    CriticalExtension,
    /// The header brings its own key along (`jwk`), with which the token is signed.
    EmbeddedKey,
}

/// A passport. Everything that is not said is as the gate would mint it for the tenant.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassportSpec {
    /// The tenant.
    pub tenant: String,
    /// The data plane that it is for. The tenant's where it is not said.
    #[serde(default)]
    pub data_plane: Option<String>,
    /// Seconds from now to `exp`; negative has passed. 60 where it is not said.
    #[serde(default)]
    pub expires_in: Option<i64>,
    /// Whose key signs it.
    #[serde(default)]
    pub signed_by: Signer,
    /// How often the header is sent. Once where it is not said.
    #[serde(default)]
    pub copies: Option<usize>,
}

/// Whose key signs a passport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signer {
    /// The deployment's.
    #[default]
    Deployment,
    /// A key of nobody's, under the id of the deployment's.
    Stranger,
}
