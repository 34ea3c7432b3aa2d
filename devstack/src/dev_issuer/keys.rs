//! An org's signing keys.

use anyhow::{Context, Result};
use jwt_simple::prelude::*;
use serde_json::{Map, Value};

use super::Org;

const RSA_BITS: usize = 2048;

/// A kind of signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 and 2048 bits.
    Rs256,
}

/// The key that signs, and the one before it.
#[derive(Debug)]
pub(super) struct OrgKeys {
    org: Org,
    made: u32,
    signing: SigningKey,
    before: Option<SigningKey>,
}

/// A key pair with its public half as a JWK (RFC 7517).
#[derive(Debug)]
pub(super) struct SigningKey {
    pub(super) id: String,
    pair: Pair,
    public: Value,
}

#[derive(Debug)]
enum Pair {
    Es256(Box<ES256KeyPair>),
    Rs256(Box<RS256KeyPair>),
}

impl OrgKeys {
    pub(super) fn generate(org: &Org) -> Result<Self> {
        let signing = SigningKey::generate(org, 1)?;
        Ok(Self { org: org.clone(), made: 1, signing, before: None })
    }

    pub(super) fn rotate(&mut self) -> Result<()> {
        let next = SigningKey::generate(&self.org, self.made + 1)?;
        self.made += 1;
        self.before = Some(std::mem::replace(&mut self.signing, next));
        Ok(())
    }

    pub(super) fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// The public keys, the newest first.
    pub(super) fn public(&self) -> Vec<Value> {
        std::iter::once(&self.signing).chain(&self.before).map(|key| key.public.clone()).collect()
    }
}

impl SigningKey {
    fn generate(org: &Org, number: u32) -> Result<Self> {
        let id = format!("{}-{number}", org.id);
        let (pair, public) = match org.keys {
            KeyKind::Es256 => {
                let pair = ES256KeyPair::generate().with_key_id(&id);
                let public = pair.public_key().to_jwk();
                (Pair::Es256(Box::new(pair)), public)
            }
            KeyKind::Rs256 => {
                let pair = RS256KeyPair::generate(RSA_BITS)
                    .context("could not make an RSA key")?
                    .with_key_id(&id);
                let public = pair.public_key().to_jwk();
                (Pair::Rs256(Box::new(pair)), public)
            }
        };
        Ok(Self { public: published(&public, &id)?, id, pair })
    }

    pub(super) fn sign(&self, claims: JWTClaims<Map<String, Value>>) -> Result<String> {
        match &self.pair {
            Pair::Es256(pair) => pair.sign(claims),
            Pair::Rs256(pair) => pair.sign(claims),
        }
        .context("could not sign the token")
    }
}

/// As identity providers publish it: with `use`, and with the `kid` whatever wrote the JWK.
fn published(jwk: &str, id: &str) -> Result<Value> {
    let mut jwk: Map<String, Value> = serde_json::from_str(jwk).context("the key's own JWK")?;
    jwk.insert("use".to_owned(), "sig".into());
    jwk.insert("kid".to_owned(), id.into());
    Ok(jwk.into())
}
