//! The messages of Envoy's foreign function [`NAME`] (`source/extensions/common/wasm/ext/
//! verify_signature.proto` in Envoy's repository).

use prost::Message;

/// The function's name.
pub const NAME: &str = "verify_signature";

/// What the function is asked.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct VerifySignatureArguments {
    /// `sha256`, `sha384` or `sha512`.
    #[prost(string, tag = "1")]
    pub hash_function: String,
    /// DER `SubjectPublicKeyInfo` (RFC 5280, 4.1).
    #[prost(bytes = "vec", tag = "2")]
    pub public_key: Vec<u8>,
    /// The signature, for ECDSA in DER.
    #[prost(bytes = "vec", tag = "3")]
    pub signature: Vec<u8>,
    /// What was signed.
    #[prost(bytes = "vec", tag = "4")]
    pub text: Vec<u8>,
}

/// What the function answers.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct VerifySignatureResult {
    /// Whether the signature verifies.
    #[prost(bool, tag = "1")]
    pub result: bool,
    /// Why not.
    #[prost(string, tag = "2")]
    pub error: String,
}

/// The arguments, encoded.
pub fn arguments(hash: &str, spki_der: &[u8], signature: &[u8], message: &[u8]) -> Vec<u8> {
    VerifySignatureArguments {
        public_key: spki_der.to_vec(),
        text: message.to_vec(),
        signature: signature.to_vec(),
        hash_function: hash.to_owned(),
    }
    .encode_to_vec()
}

/// The answer, decoded. An answer that cannot be read is a no; so is an empty one, which is how
/// Protocol Buffers write `false`.
pub fn result(answer: &[u8]) -> bool {
    VerifySignatureResult::decode(answer).is_ok_and(|answer| answer.result)
}

/// The host's side, for hosts that are not Envoy: what `verify` says to `arguments`, encoded;
/// `None` where they cannot be read. `verify` is given hash, key, signature and message.
pub fn answer(
    arguments: &[u8],
    verify: impl FnOnce(&str, &[u8], &[u8], &[u8]) -> bool,
) -> Option<Vec<u8>> {
    let arguments = VerifySignatureArguments::decode(arguments).ok()?;
    let VerifySignatureArguments { public_key, text, signature, hash_function } = arguments;
    let result = verify(&hash_function, &public_key, &signature, &text);
    Some(VerifySignatureResult { result, error: String::new() }.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn arguments_have_the_layout_of_the_message() {
        let bytes = arguments("sha256", b"K", b"SS", b"T");
        assert_eq!(bytes, b"\x0a\x06sha256\x12\x01K\x1a\x02SS\x22\x01T");
    }

    #[test]
    fn a_question_arrives_as_it_was_asked_and_so_does_its_answer() {
        for yes in [true, false] {
            let asked = arguments("sha384", b"key", b"signature", b"message");
            let answered = answer(&asked, |hash, key, signature, message| {
                assert_eq!((hash, key), ("sha384", b"key".as_slice()));
                assert_eq!((signature, message), (b"signature".as_slice(), b"message".as_slice()));
                yes
            });
            assert_eq!(answered.map(|bytes| result(&bytes)), Some(yes));
        }
        assert_eq!(answer(b"\xff", |_, _, _, _| true), None);
    }

    #[test]
    fn only_a_readable_yes_is_a_yes() {
        assert!(result(b"\x08\x01"));
        assert!(!result(b""));
        assert!(!result(b"\x08\x00\x12\x02no"));
        assert!(!result(b"\x08"));
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = result(&bytes);
        }
    }
}
