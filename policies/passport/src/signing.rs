//! Minting passports.

use std::fmt;

use jwt_simple::prelude::{
    Claims, Duration, Ed25519KeyPair, EdDSAKeyPairLike, HeaderOptions, UnixTimeStamp,
};
use sha2::{Digest, Sha256};

use crate::{ISSUER, MAX_LIFETIME_SECS, Passport, TOKEN_TYPE, VerifyingKey};

/// Why a key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes are not a key.
    #[error("expected an ed25519 {what} of {expected_bytes} bytes, found {found_bytes} bytes")]
    Malformed {
        /// Which kind of key was expected.
        what: &'static str,
        /// Its length in bytes.
        expected_bytes: usize,
        /// The length found, in bytes; the same as expected where the content is at fault.
        found_bytes: usize,
    },
    /// Signing failed.
    #[error("the passport could not be signed: {0}")]
    Signing(String),
}

/// An Ed25519 key pair that mints passports. Its `Debug` shows only the key's id.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    id: String,
}

impl SigningKey {
    /// How many bytes [`SigningKey::to_bytes`] gives: seed and public key.
    pub const BYTES: usize = 64;

    /// A new random key.
    pub fn generate() -> Self {
        Self::of(Ed25519KeyPair::generate())
    }

    /// The key that [`SigningKey::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] where the bytes are not a key pair.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed {
            what: "key pair",
            expected_bytes: Self::BYTES,
            found_bytes: bytes.len(),
        };
        if bytes.len() != Self::BYTES {
            return Err(malformed());
        }
        Ed25519KeyPair::from_bytes(bytes).map(Self::of).map_err(|_| malformed())
    }

    fn of(pair: Ed25519KeyPair) -> Self {
        // The id is derived, so that both ends name a key alike without agreeing on anything.
        let id = hex::encode(&Sha256::digest(pair.public_key().to_bytes())[..8]);
        Self { pair: pair.with_key_id(&id), id }
    }

    /// The secret bytes. They must reach the gate by a sealed channel only, see [`crate::seal`].
    pub fn to_bytes(&self) -> Vec<u8> {
        self.pair.to_bytes()
    }

    /// The key's id, the `kid` of its passports.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What verifies this key's passports.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey { id: self.id.clone(), bytes: self.pair.public_key().to_bytes() }
    }

    /// Signs `passport` for `lifetime_secs` from `now` (Unix seconds). A lifetime above
    /// [`MAX_LIFETIME_SECS`] is cut to it.
    ///
    /// # Errors
    /// [`KeyError::Signing`] where the signature library fails.
    pub fn mint(
        &self,
        passport: &Passport,
        now: u64,
        lifetime_secs: u64,
    ) -> Result<String, KeyError> {
        let lifetime = Duration::from_secs(lifetime_secs.min(MAX_LIFETIME_SECS));
        let now = UnixTimeStamp::from_secs(now);
        let mut claims = Claims::with_custom_claims(passport, lifetime).with_issuer(ISSUER);
        claims.issued_at = Some(now);
        claims.invalid_before = None;
        claims.expires_at = Some(now + lifetime);
        let options =
            HeaderOptions { signature_type: Some(TOKEN_TYPE.to_owned()), content_type: None };
        self.pair
            .sign_with_options(claims, &options)
            .map_err(|error| KeyError::Signing(error.to_string()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}
