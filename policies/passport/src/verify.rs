//! Verifying passports.

use std::collections::HashSet;

use jwt_simple::{
    JWTError,
    prelude::{
        Duration, Ed25519PublicKey, EdDSAPublicKeyLike, Token, UnixTimeStamp, VerificationOptions,
    },
};

use crate::{ISSUER, KeyError, MAX_LIFETIME_SECS, Passport, TOKEN_TYPE};

/// The longest passport accepted, in bytes.
const MAX_PASSPORT_BYTES: usize = 2048;

/// Why a passport was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PassportError {
    /// It is not a passport, or no key of ours signed it.
    #[error("expected a passport signed by one of this deployment's keys: {reason}")]
    Invalid {
        /// What was wrong with it.
        reason: String,
    },
    /// Its `exp` has passed.
    #[error("expected a passport that is still valid, found one that has expired")]
    Expired,
}

impl PassportError {
    fn invalid(reason: impl ToString) -> Self {
        Self::Invalid { reason: reason.to_string() }
    }
}

/// The public half of a signing key, with its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    /// The key's id, the `kid` of its passports.
    pub id: String,
    /// The 32 bytes of the Ed25519 public key (RFC 8032).
    pub bytes: Vec<u8>,
}

/// Checks passports against the keys in force. During a rotation there are two.
#[derive(Debug, Clone)]
pub struct Verifier {
    keys: Vec<(String, Ed25519PublicKey)>,
}

impl Verifier {
    /// A verifier that accepts passports of `keys`.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] where a key is not one.
    pub fn new(keys: impl IntoIterator<Item = VerifyingKey>) -> Result<Self, KeyError> {
        let keys = keys
            .into_iter()
            .map(|key| match Ed25519PublicKey::from_bytes(&key.bytes) {
                Ok(public) => Ok((key.id, public)),
                Err(_) => Err(KeyError::Malformed {
                    what: "public key",
                    expected_bytes: 32,
                    found_bytes: key.bytes.len(),
                }),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// What `token` says, and the Unix second from which it says it no more.
    ///
    /// # Errors
    /// [`PassportError`] where it is no passport, none of ours, or expired at `now` (Unix seconds).
    pub fn verify(&self, token: &str, now: u64) -> Result<(Passport, u64), PassportError> {
        let key_id = (token.len() <= MAX_PASSPORT_BYTES)
            .then(|| Token::decode_metadata(token).ok())
            .flatten()
            .and_then(|metadata| metadata.key_id().map(str::to_owned))
            .ok_or_else(|| PassportError::invalid("its header cannot be read"))?;
        let (_, key) = self
            .keys
            .iter()
            .find(|(id, _)| *id == key_id)
            .ok_or_else(|| PassportError::invalid("its key is not one of ours"))?;
        let options = VerificationOptions {
            accept_future: true,
            required_signature_type: Some(TOKEN_TYPE.to_owned()),
            allowed_issuers: Some(HashSet::from([ISSUER.to_owned()])),
            time_tolerance: Some(Duration::from_secs(0)),
            max_token_length: Some(MAX_PASSPORT_BYTES),
            artificial_time: Some(UnixTimeStamp::from_secs(now)),
            ..VerificationOptions::default()
        };
        let claims =
            key.verify_token::<Passport>(token, Some(options)).map_err(|error| {
                match error.downcast_ref::<JWTError>() {
                    Some(JWTError::TokenHasExpired) => PassportError::Expired,
                    _ => PassportError::invalid(error),
                }
            })?;
        let (Some(issued), Some(expires)) = (claims.issued_at, claims.expires_at) else {
            return Err(PassportError::invalid("it has no `iat` or no `exp`"));
        };
        let (issued, expires) = (issued.as_secs(), expires.as_secs());
        if expires.saturating_sub(issued) > MAX_LIFETIME_SECS {
            return Err(PassportError::invalid("it claims to live longer than a passport may"));
        }
        if expires <= now {
            return Err(PassportError::Expired);
        }
        Ok((claims.custom, expires))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use jwt_simple::prelude::{Claims, Ed25519KeyPair, EdDSAKeyPairLike};
    use proptest::prelude::*;
    use tenancy::Tier;

    use super::*;
    use crate::SigningKey;

    const NOW: u64 = 1_780_000_000;

    fn passport() -> Passport {
        Passport {
            tenant: "org_ua".parse().unwrap(),
            tier: Tier::Bridge,
            data_plane: "shared".parse().unwrap(),
            revision: "0123456789abcdef".to_owned(),
        }
    }

    fn verifier(key: &SigningKey) -> Verifier {
        Verifier::new([key.verifying_key()]).unwrap()
    }

    #[test]
    fn a_minted_passport_says_what_was_minted_until_it_expires() {
        let key = SigningKey::generate();
        let token = key.mint(&passport(), NOW, 60).unwrap();
        assert_eq!(verifier(&key).verify(&token, NOW), Ok((passport(), NOW + 60)));
        assert_eq!(verifier(&key).verify(&token, NOW + 59), Ok((passport(), NOW + 60)));
        assert_eq!(verifier(&key).verify(&token, NOW + 60), Err(PassportError::Expired));
    }

    #[test]
    fn a_passport_lives_at_most_a_minute_whatever_is_asked() {
        let key = SigningKey::generate();
        let token = key.mint(&passport(), NOW, 86_400).unwrap();
        assert_eq!(verifier(&key).verify(&token, NOW + 60), Err(PassportError::Expired));
    }

    #[test]
    fn a_long_lived_token_of_our_own_key_is_no_passport() {
        let pair = Ed25519KeyPair::generate();
        let key = SigningKey::from_bytes(&pair.to_bytes()).unwrap();
        let pair = pair.with_key_id(key.id());
        let mut claims =
            Claims::with_custom_claims(passport(), Duration::from_hours(1)).with_issuer(ISSUER);
        claims.issued_at = Some(UnixTimeStamp::from_secs(NOW));
        claims.invalid_before = None;
        claims.expires_at = Some(UnixTimeStamp::from_secs(NOW + 3600));
        let options = jwt_simple::prelude::HeaderOptions {
            signature_type: Some(TOKEN_TYPE.to_owned()),
            content_type: None,
        };
        let long = pair.sign_with_options(claims.clone(), &options).unwrap();
        assert!(matches!(verifier(&key).verify(&long, NOW), Err(PassportError::Invalid { .. })));
        let untyped = pair.sign(claims).unwrap();
        assert!(matches!(verifier(&key).verify(&untyped, NOW), Err(PassportError::Invalid { .. })));
    }

    #[test]
    fn a_passport_of_another_deployment_is_refused() {
        let (ours, theirs) = (SigningKey::generate(), SigningKey::generate());
        let token = theirs.mint(&passport(), NOW, 60).unwrap();
        assert!(matches!(verifier(&ours).verify(&token, NOW), Err(PassportError::Invalid { .. })));
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = SigningKey::generate();
        let shown = format!("{key:?}");
        assert!(!shown.contains(&hex::encode(key.to_bytes())));
        assert!(shown.contains(key.id()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_changed_byte_is_noticed(at in 0usize..400, to in any::<u8>()) {
            let key = SigningKey::from_bytes(&Ed25519KeyPair::generate().to_bytes()).unwrap();
            let token = key.mint(&passport(), NOW, 60).unwrap();
            let mut bytes = token.clone().into_bytes();
            let at = at % bytes.len();
            prop_assume!(bytes[at] != to);
            bytes[at] = to;
            if let Ok(changed) = String::from_utf8(bytes) {
                prop_assert!(verifier(&key).verify(&changed, NOW).is_err());
            }
        }

        #[test]
        fn any_text_is_refused_without_a_panic(text in ".{0,300}") {
            let key = SigningKey::generate();
            prop_assert!(verifier(&key).verify(&text, NOW).is_err());
        }
    }
}
