//! Hides the passport signing key on its way to the gate.
//!
//! The key travels inside the filter's configuration, which Envoy's admin interface shows
//! (`/config_dump`), so it is sealed with ChaCha20-Poly1305 (RFC 8439) under a key that only the
//! control plane and the gateway's process environment hold; Envoy hands it to the filter's VM by
//! the variable's name, and shows only the name.

use chacha20poly1305::{
    ChaCha20Poly1305, Key, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use sha2::{Digest, Sha256};

use crate::{KeyError, SigningKey};

/// The environment variable that carries the seal key to the gateway's Envoy, 64 hexadecimal
/// digits.
pub const ENVIRONMENT_VARIABLE: &str = "BULKHEAD_SEAL_KEY";

/// The key under which signing keys are sealed: 32 random bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey([u8; 32]);

/// A sealed signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The id of the key inside.
    pub key_id: String,
    /// 12 bytes.
    pub nonce: Vec<u8>,
    /// The sealed bytes and their tag.
    pub ciphertext: Vec<u8>,
}

/// Why a sealed key could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The seal key is not one.
    #[error(
        "expected {ENVIRONMENT_VARIABLE} to hold 64 hexadecimal digits, the seal key that the \
         control plane was given"
    )]
    MalformedSealKey,
    /// Sealed under another key, or altered.
    #[error(
        "the passport key could not be opened: {ENVIRONMENT_VARIABLE} of this proxy is not the \
         control plane's, or the table was altered"
    )]
    WrongSealKey,
    /// What was inside is no signing key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl SealKey {
    /// A seal key of these bytes; they must be random.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The seal key written as 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`SealError::MalformedSealKey`] where it is not that.
    pub fn from_hex(digits: &str) -> Result<Self, SealError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits.trim(), &mut bytes).map_err(|_| SealError::MalformedSealKey)?;
        Ok(Self(bytes))
    }

    /// The 64 hexadecimal digits, for the gateway's environment.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Seals `key`. The same key seals to the same bytes, so that a push without a change is none.
    ///
    /// # Errors
    /// [`SealError::WrongSealKey`] where the cipher fails, which it does only out of memory.
    pub fn seal(&self, key: &SigningKey) -> Result<Sealed, SealError> {
        let secret = key.to_bytes();
        // A nonce drawn from the secret itself repeats only for the same message, which is the
        // one case where repeating is harmless (as in SIV modes, RFC 8452).
        let mut hash = Sha256::new();
        hash.update(b"bulkhead passport key nonce");
        hash.update(self.0);
        hash.update(&secret);
        let nonce = hash.finalize()[..12].to_vec();
        let ciphertext = self
            .cipher()
            .encrypt(Nonce::from_slice(&nonce), Payload { msg: &secret, aad: key.id().as_bytes() })
            .map_err(|_| SealError::WrongSealKey)?;
        Ok(Sealed { key_id: key.id().to_owned(), nonce, ciphertext })
    }

    /// Opens what [`SealKey::seal`] sealed.
    ///
    /// # Errors
    /// [`SealError`] where it was sealed under another key or altered.
    pub fn open(
        &self,
        key_id: &str,
        nonce: &[u8],
        ciphertext: &[u8],
    ) -> Result<SigningKey, SealError> {
        if nonce.len() != 12 {
            return Err(SealError::WrongSealKey);
        }
        let secret = self
            .cipher()
            .decrypt(Nonce::from_slice(nonce), Payload { msg: ciphertext, aad: key_id.as_bytes() })
            .map_err(|_| SealError::WrongSealKey)?;
        let key = SigningKey::from_bytes(&secret)?;
        if key.id() == key_id { Ok(key) } else { Err(SealError::WrongSealKey) }
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(Key::from_slice(&self.0))
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(..)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_seal_key_opens() {
        let key = SigningKey::generate();
        let (ours, theirs) = (SealKey::from_bytes([1; 32]), SealKey::from_bytes([2; 32]));
        let sealed = ours.seal(&key).unwrap();
        let opened = ours.open(&sealed.key_id, &sealed.nonce, &sealed.ciphertext).unwrap();
        assert_eq!(opened.to_bytes(), key.to_bytes());
        let refused = theirs.open(&sealed.key_id, &sealed.nonce, &sealed.ciphertext);
        assert_eq!(refused.err(), Some(SealError::WrongSealKey));
    }

    #[test]
    fn an_altered_seal_or_a_renamed_key_is_refused() {
        let seal_key = SealKey::from_bytes([1; 32]);
        let sealed = seal_key.seal(&SigningKey::generate()).unwrap();
        let mut altered = sealed.ciphertext.clone();
        altered[3] ^= 1;
        assert!(seal_key.open(&sealed.key_id, &sealed.nonce, &altered).is_err());
        assert!(seal_key.open("0000000000000000", &sealed.nonce, &sealed.ciphertext).is_err());
        assert!(seal_key.open(&sealed.key_id, &[], &sealed.ciphertext).is_err());
    }

    #[test]
    fn the_sealed_form_shows_no_secret_and_is_stable() {
        let key = SigningKey::generate();
        let seal_key = SealKey::from_bytes([7; 32]);
        let sealed = seal_key.seal(&key).unwrap();
        let secret = key.to_bytes();
        assert!(!sealed.ciphertext.windows(16).any(|w| secret.windows(16).any(|s| s == w)));
        assert_eq!(seal_key.seal(&key).unwrap(), sealed);
    }
}
