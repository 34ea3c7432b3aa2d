//! Who may load and unload models at the node's own address: whoever shows a token whose digest
//! the node was started with. No tenant's passport does.

use std::str::FromStr;

use http::{HeaderMap, header};
use tenancy::{Digest, problem::Problem};

use crate::answer::Refusal;

/// The SHA-256 of an operator's token, as `bulkhead operator token` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorDigest(Digest);

/// A digest that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected the SHA-256 of an operator's token in 64 hexadecimal digits, as `bulkhead operator \
     token` prints it, found `{found}`"
)]
pub struct OperatorDigestError {
    /// The refused text, shortened.
    pub found: String,
}

impl FromStr for OperatorDigest {
    type Err = OperatorDigestError;

    fn from_str(text: &str) -> Result<Self, OperatorDigestError> {
        format!("sha256:{text}")
            .parse()
            .map(Self)
            .map_err(|_| OperatorDigestError { found: text.chars().take(80).collect() })
    }
}

/// Refuses whoever shows no token of one of `operators`.
pub(crate) fn check(operators: &[OperatorDigest], headers: &HeaderMap) -> Result<(), Refusal> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    // What is compared is a digest of 256 random bits, whose digits say nothing of the token.
    let known = token.map(|token| OperatorDigest(Digest::of(token.as_bytes())));
    if known.is_some_and(|known| operators.contains(&known)) {
        return Ok(());
    }
    let detail = "expected the token of an operator of this node (`--operator`), found none";
    Err(Refusal::new(Problem::MissingCredentials, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_of_a_known_digest_is_an_operators() {
        let digest = Digest::of(b"bulkhead_secret").hex().parse().unwrap();
        let shown =
            |value: &str| HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        assert!(check(&[digest], &shown("Bearer bulkhead_secret")).is_ok());
        let digest: OperatorDigest = Digest::of(b"bulkhead_secret").hex().parse().unwrap();
        for headers in [shown("Bearer other"), shown("bulkhead_secret"), HeaderMap::new()] {
            let refused = check(std::slice::from_ref(&digest), &headers).unwrap_err();
            assert_eq!(refused.problem, Problem::MissingCredentials);
        }
        assert!(check(&[], &shown("Bearer bulkhead_secret")).is_err());
        assert!("sha256:00".parse::<OperatorDigest>().is_err());
    }
}
