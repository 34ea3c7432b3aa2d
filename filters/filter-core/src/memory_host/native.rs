//! What Envoy's native `verify_signature` does, in Rust.

use p256::ecdsa::signature::Verifier as _;
use p256::pkcs8::DecodePublicKey as _;
use rsa::pkcs8::DecodePublicKey as _;
use rsa::signature::Verifier as _;

/// Whether `signature` over `message` is by the key in `spki_der`, with the arguments of Envoy's
/// foreign function: `hash` is `sha256`, `sha384` or `sha512`, ECDSA signatures are in DER.
pub fn verify_signature(hash: &str, spki_der: &[u8], signature: &[u8], message: &[u8]) -> bool {
    rsa(hash, spki_der, signature, message)
        .or_else(|| p256(hash, spki_der, signature, message))
        .or_else(|| p384(hash, spki_der, signature, message))
        .unwrap_or(false)
}

/// `None` where the key is no RSA key.
fn rsa(hash: &str, spki: &[u8], signature: &[u8], message: &[u8]) -> Option<bool> {
    use rsa::{
        pkcs1v15::{Signature, VerifyingKey},
        sha2::{Sha256, Sha384, Sha512},
    };
    let key = rsa::RsaPublicKey::from_public_key_der(spki).ok()?;
    let Ok(signature) = Signature::try_from(signature) else { return Some(false) };
    Some(match hash {
        "sha256" => VerifyingKey::<Sha256>::new(key).verify(message, &signature).is_ok(),
        "sha384" => VerifyingKey::<Sha384>::new(key).verify(message, &signature).is_ok(),
        "sha512" => VerifyingKey::<Sha512>::new(key).verify(message, &signature).is_ok(),
        _ => false,
    })
}

/// `None` where the key is not on this curve. The curve's own hash is the only one supported.
fn p256(hash: &str, spki: &[u8], signature: &[u8], message: &[u8]) -> Option<bool> {
    use p256::ecdsa::{Signature, VerifyingKey};
    let key = VerifyingKey::from_public_key_der(spki).ok()?;
    let signature = Signature::from_der(signature);
    Some(hash == "sha256" && signature.is_ok_and(|s| key.verify(message, &s).is_ok()))
}

/// As [`p256`].
fn p384(hash: &str, spki: &[u8], signature: &[u8], message: &[u8]) -> Option<bool> {
    use p384::ecdsa::{Signature, VerifyingKey};
    let key = VerifyingKey::from_public_key_der(spki).ok()?;
    let signature = Signature::from_der(signature);
    Some(hash == "sha384" && signature.is_ok_and(|s| key.verify(message, &s).is_ok()))
}
