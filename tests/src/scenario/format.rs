//! What a scenario says. Unknown fields are refused, so a misspelt expectation cannot pass.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

/// One promise, with the requests that show it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The file's name, without its ending.
    #[serde(skip)]
    pub name: String,
    /// The promise, in one sentence.
    pub promise: String,
    /// Why it matters, where the promise does not say it.
    #[serde(default)]
    pub why: Option<String>,
    /// Sent one after another.
    pub requests: Vec<Step>,
}

/// A request and what must become of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Where it is sent: `gate`, or `{ node: <data plane> }` past the gate.
    #[serde(default)]
    pub to: Target,
    /// The bearer token, made for this request. None where it is not said.
    #[serde(default)]
    pub token: Option<TokenSpec>,
    /// A passport as its sender claims it, for requests to a node.
    #[serde(default)]
    pub passport: Option<PassportSpec>,
    /// Further headers, as a list of name and value, in this order. In a value, `${token}` and
    /// `${passport}` stand for the ones above.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The path. `/v2/models/eta/infer` where it is not said.
    #[serde(default)]
    pub path: Option<String>,
    /// How often the same request is sent. Once where it is not said.
    #[serde(default)]
    pub repeat: Option<usize>,
    /// What must become of it, every time.
    pub expect: Expectation,
}

/// Where a request is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The ingress.
    #[default]
    Gate,
    /// The node of this data plane, as somebody inside the network would.
    Node(String),
}

/// A token. Everything that is not said is as a good token of the issuer's first org has it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    /// The issuer's short name in the deployment. It gives `iss` and the keys.
    #[serde(default)]
    pub issuer: Option<String>,
    /// The org claim. The issuer's first org where it is not said.
    #[serde(default)]
    pub org: Option<String>,
    /// The algorithm, and so which of the issuer's keys. `ES256` where it is not said.
    #[serde(default)]
    pub alg: Option<Alg>,
    /// Seconds from now to `exp`; negative has passed. 3600 where it is not said.
    #[serde(default)]
    pub expires_in: Option<i64>,
    /// The `aud`: a string, or a list. The deployment's where it is not said.
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
fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A signature algorithm that tokens are made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Alg {
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
}

impl Alg {
    /// The algorithm's name in a JWT header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ES256 => "ES256",
            Self::RS256 => "RS256",
        }
    }
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

/// What must become of a request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expectation {
    /// It reaches the node.
    Forwarded(Forwarded),
    /// A filter answers it.
    Denied(Denied),
    /// Of the repetitions this many reach the node, and all others are denied.
    Limited(Limited),
}

/// A request that reaches the node.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forwarded {
    /// The tenant in the passport that it arrives with.
    pub tenant: String,
    /// The tier in it.
    #[serde(default)]
    pub tier: Option<String>,
    /// The data plane in it, whose node it reached.
    pub data_plane: String,
    /// The passport's longest life from now, in seconds.
    #[serde(default)]
    pub passport_expires_within: Option<u64>,
    /// Headers that must arrive exactly once and as said.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Headers that must not arrive.
    #[serde(default)]
    pub without: Vec<String>,
    /// A text that no header's value may contain.
    #[serde(default)]
    pub nowhere: Option<String>,
}

/// A request that is answered by a filter, as a problem (RFC 9457).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denied {
    /// The HTTP status.
    pub status: u16,
    /// The problem's stable code.
    pub code: String,
    /// Headers that the answer must have, as said.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Headers that the answer must have, whatever they say.
    #[serde(default)]
    pub with: Vec<String>,
}

/// Repetitions of which only some pass.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limited {
    /// How many reach the node.
    pub forwarded: usize,
    /// What all others get.
    pub others: Denied,
}

impl Scenario {
    /// Reads the scenario in `file`.
    ///
    /// # Errors
    /// Where it cannot be read or is no scenario.
    pub fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let mut scenario: Self = serde_saphyr::from_str(&text)
            .with_context(|| format!("{} is no scenario", file.display()))?;
        scenario.name =
            file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(scenario)
    }
}
