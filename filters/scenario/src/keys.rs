//! The keys of a scenario's identity providers.
//!
//! They are derived from the providers' names, so that making them costs nothing and every run
//! signs with the same ones. They are no secrets: nobody but a scenario believes them.

use p256::{SecretKey, ecdsa::SigningKey, pkcs8::EncodePublicKey as _};
use policy_model::{
    resolved::{Issuer, Resolved},
    spec::Algorithm,
    table::KeyRow,
};
use rsa::{
    RsaPrivateKey,
    pkcs8::{DecodePrivateKey as _, EncodePublicKey as _, LineEnding},
    signature::{SignatureEncoding as _, Signer as _},
};
use sha2::{Digest as _, Sha256, Sha384};

use crate::Error;

/// An RSA key takes long to make, so these were made once.
const RSA_KEYS: [&str; 3] = [
    include_str!("../keys/rsa-1.pem"),
    include_str!("../keys/rsa-2.pem"),
    include_str!("../keys/rsa-3.pem"),
];

/// A key of an issuer.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// The `kid`: the issuer's name and the algorithm, `ua-es256`.
    pub(crate) id: String,
    pub(crate) algorithm: Algorithm,
    pair: KeyPair,
}

#[derive(Debug, Clone)]
enum KeyPair {
    P256(SigningKey),
    P384(p384::ecdsa::SigningKey),
    Rsa(RsaPrivateKey),
}

impl Key {
    /// The key of `issuer` for `algorithm`. `rsa` is which of the RSA keys is the issuer's.
    fn derive(issuer: &Issuer, algorithm: Algorithm, rsa: usize) -> Result<Self, Error> {
        let seed = format!("bulkhead scenario {} {algorithm}", issuer.name);
        let pair = match algorithm {
            Algorithm::ES256 => KeyPair::P256(p256_key(&seed)?),
            Algorithm::ES384 => {
                let secret = p384::SecretKey::from_slice(&Sha384::digest(seed));
                KeyPair::P384(secret.map_err(Error::key)?.into())
            }
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => {
                let pem = RSA_KEYS.get(rsa).ok_or_else(|| too_many(issuer))?;
                KeyPair::Rsa(RsaPrivateKey::from_pkcs8_pem(pem).map_err(Error::key)?)
            }
        };
        let id = format!("{}-{}", issuer.name, algorithm.as_str().to_ascii_lowercase());
        Ok(Self { id, algorithm, pair })
    }

    /// A key that no issuer publishes, and its public half as a JWK (RFC 7517).
    pub(crate) fn strange() -> Result<(Self, serde_json::Value), Error> {
        let key = p256_key("bulkhead scenario stranger")?;
        let point = key.verifying_key().to_sec1_point(false);
        let part = |bytes: Option<&p256::FieldBytes>| {
            bytes.map(|bytes| crate::base64url(bytes.as_slice())).unwrap_or_default()
        };
        let jwk = serde_json::json!({
            "kty": "EC", "crv": "P-256", "x": part(point.x()), "y": part(point.y()),
        });
        let (id, algorithm) = ("stranger-es256".to_owned(), Algorithm::ES256);
        Ok((Self { id, algorithm, pair: KeyPair::P256(key) }, jwk))
    }

    /// The signature over `message`, as a JWS has it (RFC 7518, 3.3 and 3.4).
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        use p256::ecdsa::signature::Signer as _;
        Ok(match (&self.pair, self.algorithm) {
            (KeyPair::P256(key), _) => {
                let signature: p256::ecdsa::Signature =
                    key.try_sign(message).map_err(Error::key)?;
                signature.to_bytes().to_vec()
            }
            (KeyPair::P384(key), _) => {
                let signature: p384::ecdsa::Signature =
                    key.try_sign(message).map_err(Error::key)?;
                signature.to_bytes().to_vec()
            }
            (KeyPair::Rsa(key), algorithm) => rsa_signature(key, algorithm, message)?,
        })
    }

    /// The public half as PEM.
    pub(crate) fn public_pem(&self) -> Result<String, Error> {
        match &self.pair {
            KeyPair::Rsa(key) => {
                key.to_public_key().to_public_key_pem(LineEnding::LF).map_err(Error::key)
            }
            KeyPair::P256(_) | KeyPair::P384(_) => Err(Error::key("expected an RSA key")),
        }
    }

    pub(crate) fn row(&self) -> Result<KeyRow, Error> {
        let spki = match &self.pair {
            KeyPair::P256(key) => {
                key.verifying_key().to_public_key_der().map_err(Error::key)?.into_vec()
            }
            KeyPair::P384(key) => {
                key.verifying_key().to_public_key_der().map_err(Error::key)?.into_vec()
            }
            KeyPair::Rsa(key) => {
                key.to_public_key().to_public_key_der().map_err(Error::key)?.into_vec()
            }
        };
        let algorithm = self.algorithm.as_str().to_owned();
        Ok(KeyRow { id: self.id.clone(), algorithm, spki })
    }
}

/// The keys of every issuer of `resolved`: one for each algorithm that is agreed for it. Of the
/// issuers with RSA, the first three by `iss` have one.
pub(crate) fn of(resolved: &Resolved) -> Result<Vec<(String, Vec<Key>)>, Error> {
    let mut keys = Vec::new();
    let mut rsa = 0;
    for issuer in resolved.issuers.values() {
        let algorithms =
            issuer.algorithms.iter().filter(|it| rsa < RSA_KEYS.len() || !is_rsa(**it));
        let own: Vec<Key> = algorithms
            .map(|algorithm| Key::derive(issuer, *algorithm, rsa))
            .collect::<Result<_, _>>()?;
        rsa += usize::from(own.iter().any(|key| is_rsa(key.algorithm)));
        keys.push((issuer.name.clone(), own));
    }
    Ok(keys)
}

fn is_rsa(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512)
}

fn too_many(issuer: &Issuer) -> Error {
    Error::key(format!(
        "expected at most {} issuers with RSA, found {}",
        RSA_KEYS.len(),
        issuer.name
    ))
}

fn p256_key(seed: &str) -> Result<SigningKey, Error> {
    Ok(SecretKey::from_slice(&Sha256::digest(seed)).map_err(Error::key)?.into())
}

fn rsa_signature(
    key: &RsaPrivateKey,
    algorithm: Algorithm,
    message: &[u8],
) -> Result<Vec<u8>, Error> {
    use rsa::{
        pkcs1v15::SigningKey,
        sha2::{Sha256, Sha384, Sha512},
    };
    let key = key.clone();
    let signature = match algorithm {
        Algorithm::RS384 => SigningKey::<Sha384>::new(key).try_sign(message),
        Algorithm::RS512 => SigningKey::<Sha512>::new(key).try_sign(message),
        _ => SigningKey::<Sha256>::new(key).try_sign(message),
    };
    Ok(signature.map_err(Error::key)?.to_vec())
}
