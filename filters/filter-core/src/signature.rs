//! Whether an issuer's key signed a token.

use jwt_simple::prelude::{
    Duration, ECDSAP256PublicKeyLike, ECDSAP384PublicKeyLike, ES256PublicKey, ES384PublicKey,
    NoCustomClaims, RS256PublicKey, RS384PublicKey, RS512PublicKey, RSAPublicKeyLike,
    UnixTimeStamp, VerificationOptions,
};

use crate::{Host, MAX_TOKEN_BYTES, jwt::Jwt};

/// The signature algorithms (RFC 7518, section 3.1) that an issuer can be allowed. `none` and the
/// shared-secret ones are absent, so no table can allow them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
}

impl Algorithm {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "RS384" => Some(Self::Rs384),
            "RS512" => Some(Self::Rs512),
            "ES256" => Some(Self::Es256),
            "ES384" => Some(Self::Es384),
            _ => None,
        }
    }

    fn hash(self) -> &'static str {
        match self {
            Self::Rs256 | Self::Es256 => "sha256",
            Self::Rs384 | Self::Es384 => "sha384",
            Self::Rs512 => "sha512",
        }
    }

    /// The signature as the host takes it, where it has the length that the algorithm says.
    fn for_host(self, signature: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Es256 => ecdsa_der(signature, 32),
            Self::Es384 => ecdsa_der(signature, 48),
            Self::Rs256 | Self::Rs384 | Self::Rs512 => Some(signature.to_vec()),
        }
    }
}

/// Whether the key in `spki` signed `jwt` with `algorithm`.
///
/// The host's native function is asked once; inside a WebAssembly VM our own arithmetic takes
/// ten to fifty times as long, which a flood of bad tokens would turn into an outage. It is the
/// fallback for hosts that have no such function.
pub(crate) fn verifies(host: &impl Host, algorithm: Algorithm, spki: &[u8], jwt: &Jwt<'_>) -> bool {
    let Some(signature) = algorithm.for_host(&jwt.signature) else { return false };
    host.verify_signature(algorithm.hash(), spki, &signature, jwt.signed.as_bytes())
        .unwrap_or_else(|| verifies_here(algorithm, spki, jwt.text))
}

fn verifies_here(algorithm: Algorithm, spki: &[u8], token: &str) -> bool {
    macro_rules! verified {
        ($key:ident) => {
            $key::from_der(spki).is_ok_and(|key| {
                key.verify_token::<NoCustomClaims>(token, signature_only()).is_ok()
            })
        };
    }
    match algorithm {
        Algorithm::Rs256 => verified!(RS256PublicKey),
        Algorithm::Rs384 => verified!(RS384PublicKey),
        Algorithm::Rs512 => verified!(RS512PublicKey),
        Algorithm::Es256 => verified!(ES256PublicKey),
        Algorithm::Es384 => verified!(ES384PublicKey),
    }
}

/// Options under which no claim is judged: [`crate::claims`] judges them, the same for every host.
fn signature_only() -> Option<VerificationOptions> {
    Some(VerificationOptions {
        accept_future: true,
        artificial_time: Some(UnixTimeStamp::from_secs(0)),
        time_tolerance: Some(Duration::from_secs(0)),
        max_token_length: Some(MAX_TOKEN_BYTES),
        ..VerificationOptions::default()
    })
}

/// An ECDSA signature from `r` and `s` side by side (RFC 7518, 3.4) to a DER sequence of two
/// integers (RFC 3279, 2.2.3). `width` is the length of each, in bytes, at most 48, so every
/// length fits DER's short form.
fn ecdsa_der(signature: &[u8], width: usize) -> Option<Vec<u8>> {
    if signature.len() != width.checked_mul(2)? {
        return None;
    }
    let (r, s) = signature.split_at_checked(width)?;
    let mut integers = Vec::with_capacity(signature.len().saturating_add(6));
    for number in [r, s] {
        push_der_integer(&mut integers, number)?;
    }
    let mut der = vec![0x30, u8::try_from(integers.len()).ok()?];
    der.append(&mut integers);
    Some(der)
}

fn push_der_integer(der: &mut Vec<u8>, number: &[u8]) -> Option<()> {
    let first = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let digits = number.get(first..)?;
    // Without a leading zero, a first bit that is set would make the number negative.
    let padded = digits.first().is_none_or(|byte| byte & 0x80 != 0);
    let length = digits.len().checked_add(usize::from(padded))?;
    der.extend([0x02, u8::try_from(length).ok()?]);
    der.extend(padded.then_some(0));
    der.extend_from_slice(digits);
    Some(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_are_shortest_and_never_negative() {
        let mut signature = [0; 64];
        signature[31] = 0x80;
        signature[32] = 0x01;
        let der = ecdsa_der(&signature, 32).unwrap();
        assert_eq!(der[..6], [0x30, 2 + 2 + 2 + 32, 0x02, 2, 0x00, 0x80]);
        assert_eq!(der[6..9], [0x02, 32, 0x01]);
        assert_eq!(ecdsa_der(&[0; 64], 32).unwrap(), [0x30, 6, 2, 1, 0, 2, 1, 0]);
    }

    #[test]
    fn a_signature_of_another_length_is_refused() {
        for length in [0, 1, 63, 65, 70, 72, 96] {
            assert_eq!(ecdsa_der(&vec![1; length], 32), None, "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn der_says_the_same_numbers(raw in prop::collection::vec(any::<u8>(), 96)) {
            let der = ecdsa_der(&raw, 48).unwrap();
            let parsed = p384::ecdsa::DerSignature::from_bytes(&der);
            if let Ok(expected) = p384::ecdsa::Signature::from_slice(&raw) {
                let parsed = p384::ecdsa::Signature::from_der(parsed.unwrap().as_bytes()).unwrap();
                prop_assert_eq!(parsed, expected);
            }
        }
    }
}
