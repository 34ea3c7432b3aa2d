//! One identity provider, its tenants, their tokens, and the gate's table of all that.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jwt_simple::prelude::{
    Claims, Duration as Lifetime, RS256KeyPair, RSAKeyPairLike, UnixTimeStamp,
};
use passport::{SigningKey, seal::SealKey};
use policy_model::table::{GateRows, IssuerRow, KeyRow, SealedKeyRow, TenantRow};
use serde_json::{Map, Value, json};
use tenancy::Tier;

/// How many tenants there are.
pub(crate) const TENANTS: usize = 64;

/// The clusters that they are spread over.
pub(crate) const CLUSTERS: [&str; 4] = ["plane-0", "plane-1", "plane-2", "plane-3"];

pub(crate) const ISSUER: &str = "https://login.example.com/oauth2/default";
pub(crate) const AUDIENCE: &str = "https://predictions.example.com";

/// The claim that names the tenant.
pub(crate) const ORG_CLAIM: &str = "org_id";

/// The claim that names the cluster, for the peer: see `bootstrap`.
pub(crate) const CLUSTER_CLAIM: &str = "data_plane";

const KEY_ID: &str = "bench-2026-11";
const RSA_BITS: usize = 2048;
const LIFETIME: Duration = Duration::from_secs(8 * 3600);

/// Everybody's keys and the tenants' tokens.
pub(crate) struct Fixture {
    pair: RS256KeyPair,
    pub(crate) passport_key: SigningKey,
    pub(crate) seal_key: SealKey,
    /// One valid token for each tenant.
    pub(crate) tokens: Vec<String>,
}

pub(crate) fn tenant(number: usize) -> String {
    format!("org_customer_{number:03}")
}

pub(crate) fn cluster(number: usize) -> &'static str {
    CLUSTERS.get(number % CLUSTERS.len()).copied().unwrap_or_default()
}

pub(crate) fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Fixture {
    pub(crate) fn generate() -> Result<Self> {
        let pair = RS256KeyPair::generate(RSA_BITS).context("could not make an RSA key")?;
        let pair = pair.with_key_id(KEY_ID);
        let tokens = (0..TENANTS).map(|number| sign(&pair, number)).collect::<Result<_>>()?;
        let passport_key = SigningKey::generate();
        // No secret: these keys die with the run.
        let seal_key = SealKey::from_bytes([7; 32]);
        Ok(Self { pair, passport_key, seal_key, tokens })
    }

    /// The provider's key set (RFC 7517).
    pub(crate) fn jwks(&self) -> Result<String> {
        let mut key: Map<String, Value> = serde_json::from_str(&self.pair.public_key().to_jwk())?;
        key.insert("use".to_owned(), "sig".into());
        key.insert("kid".to_owned(), KEY_ID.into());
        key.insert("alg".to_owned(), "RS256".into());
        Ok(json!({ "keys": [key] }).to_string())
    }

    /// The gate's table, with limits that nothing here reaches.
    pub(crate) fn table(&self) -> Result<Vec<u8>> {
        let sealed = self.seal_key.seal(&self.passport_key)?;
        let spki = self.pair.public_key().to_der().context("could not encode the public key")?;
        let issuer = IssuerRow {
            issuer: ISSUER.to_owned(),
            audiences: vec![AUDIENCE.to_owned()],
            algorithms: vec!["RS256".to_owned()],
            orgs: (0..TENANTS).map(tenant).collect(),
            org_claim: ORG_CLAIM.to_owned(),
            keys: vec![KeyRow { id: KEY_ID.to_owned(), algorithm: "RS256".to_owned(), spki }],
        };
        let row = |number: usize| TenantRow {
            id: tenant(number),
            tier: TenantRow::tier_index(Tier::Pool),
            data_plane: cluster(number).to_owned(),
            cluster: cluster(number).to_owned(),
            interval_ns: 1_000,
            burst: 1_000_000,
            suspended: false,
            ..TenantRow::default()
        };
        let rows = GateRows {
            passport_key: SealedKeyRow {
                key_id: sealed.key_id,
                nonce: sealed.nonce,
                ciphertext: sealed.ciphertext,
            },
            issuers: vec![issuer],
            tenants: (0..TENANTS).map(row).collect(),
            ..GateRows::default()
        };
        Ok(rows.encode()?)
    }
}

fn claims(number: usize, subject: &str) -> Map<String, Value> {
    let claims = json!({
        "sub": subject,
        ORG_CLAIM: tenant(number),
        CLUSTER_CLAIM: cluster(number),
        "scope": "predictions:read predictions:write",
        "azp": "0oa1b2c3d4e5f6g7h8i9",
    });
    claims.as_object().cloned().unwrap_or_default()
}

fn sign(pair: &RS256KeyPair, number: usize) -> Result<String> {
    let mut claims = claims(number, "shipping-service");
    // The library has its own member for it.
    claims.remove("sub");
    let mut claims = Claims::with_custom_claims(claims, Lifetime::from_secs(LIFETIME.as_secs()))
        .with_issuer(ISSUER)
        .with_subject("shipping-service")
        .with_audience(AUDIENCE);
    claims.issued_at = Some(UnixTimeStamp::from_secs(now_secs()));
    pair.sign(claims).context("could not sign a token")
}

/// Tokens that are right in everything but their signature, each one different.
#[derive(Debug)]
pub(crate) struct BadTokens {
    header: String,
    issued_at: u64,
    state: u64,
}

impl BadTokens {
    pub(crate) fn new() -> Self {
        let header = json!({ "alg": "RS256", "kid": KEY_ID, "typ": "JWT" }).to_string();
        let issued_at = now_secs();
        // Differs from run to run and slot to slot, so that no token ever comes twice.
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos());
        Self { header: BASE64_URL_SAFE_NO_PAD.encode(header), issued_at, state: nanos as u64 | 1 }
    }

    pub(crate) fn next(&mut self) -> String {
        let mut claims = claims(0, &format!("{:016x}", self.random()));
        let registered = json!({
            "iss": ISSUER, "aud": AUDIENCE, "iat": self.issued_at,
            "exp": self.issued_at + LIFETIME.as_secs(),
        });
        claims.extend(registered.as_object().cloned().unwrap_or_default());
        let payload = BASE64_URL_SAFE_NO_PAD.encode(Value::Object(claims).to_string());
        let mut signature = [0; RSA_BITS / 8];
        for bytes in signature.chunks_exact_mut(8) {
            bytes.copy_from_slice(&self.random().to_be_bytes());
        }
        // Below the modulus: a greater number would be refused without any arithmetic.
        if let Some(first) = signature.first_mut() {
            *first = 0;
        }
        format!("{}.{payload}.{}", self.header, BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    /// xorshift64 (Marsaglia, "Xorshift RNGs", 2003).
    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_bad_token_comes_twice() {
        let mut bad = BadTokens::new();
        let seen: HashSet<String> = (0..2_000).map(|_| bad.next()).collect();
        assert_eq!(seen.len(), 2_000);
    }
}
