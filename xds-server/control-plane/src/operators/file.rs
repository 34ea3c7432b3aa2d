//! The operators' file.
//!
//! ```yaml
//! operators:
//!   - name: ci
//!     role: editor           # viewer | editor | admin | node
//!     tokenSha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ITSELF, LOOPBACK, Role, TokenDigest};

/// The longest name of an operator, in bytes: it is in every entry of the journal.
const MAX_NAME_BYTES: usize = 64;

/// The most operators that a file may name.
const MAX_OPERATORS: usize = 10_000;

/// Somebody who may use the interface.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Operator {
    /// What the journal calls them.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The digest of their token.
    pub token_sha256: TokenDigest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    operators: Vec<Operator>,
}

/// Why a file of operators is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorsError {
    /// It is no YAML of the expected shape.
    #[error(
        "expected `operators:` and a list of name, role (viewer, editor, admin or node) and \
         tokenSha256, found: {found}; `bulkhead operator token` prints an entry"
    )]
    Malformed {
        /// What the parser says.
        found: String,
    },
    /// It names nobody, or too many.
    #[error("expected 1 to {MAX_OPERATORS} operators, found {found}")]
    Count {
        /// How many it names.
        found: usize,
    },
    /// A name cannot be one.
    #[error(
        "expected a name of 1 to {MAX_NAME_BYTES} letters, digits, `.`, `_`, `-` or `@`, other \
         than `bulkhead` and `loopback`, found `{found}`"
    )]
    Name {
        /// The name.
        found: String,
    },
    /// One name has two roles.
    #[error(
        "expected one role for `{name}`, found {one} and {other}; give each role a name of its own"
    )]
    TwoRoles {
        /// The name.
        name: String,
        /// Its role.
        one: Role,
        /// Its other role.
        other: Role,
    },
    /// One token is given to two.
    #[error(
        "expected a token of its own for each operator, found the same for `{one}` and `{other}`; \
         make another with `bulkhead operator token`"
    )]
    SharedToken {
        /// Who has it.
        one: String,
        /// Who has it too.
        other: String,
    },
}

/// Reads a file of operators. One name may stand twice with one role and two tokens, so that a
/// token is replaced without a gap.
///
/// # Errors
/// [`OperatorsError`].
pub fn parse(text: &str) -> Result<Vec<Operator>, OperatorsError> {
    let options = serde_saphyr::options! { with_snippet: false };
    let Document { operators } = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| OperatorsError::Malformed { found: error.to_string() })?;
    if operators.is_empty() || operators.len() > MAX_OPERATORS {
        return Err(OperatorsError::Count { found: operators.len() });
    }
    let mut roles: BTreeMap<&str, Role> = BTreeMap::new();
    let mut owners: BTreeMap<&TokenDigest, &str> = BTreeMap::new();
    for operator in &operators {
        check_name(&operator.name)?;
        if let Some(one) = roles.insert(&operator.name, operator.role)
            && one != operator.role
        {
            let name = operator.name.clone();
            return Err(OperatorsError::TwoRoles { name, one, other: operator.role });
        }
        if let Some(one) = owners.insert(&operator.token_sha256, &operator.name) {
            let (one, other) = (one.to_owned(), operator.name.clone());
            return Err(OperatorsError::SharedToken { one, other });
        }
    }
    Ok(operators)
}

/// A name goes into logs and the journal as it is, so it holds nothing that could deceive there.
fn check_name(name: &str) -> Result<(), OperatorsError> {
    let fits = (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte))
        && ![ITSELF, LOOPBACK].contains(&name);
    if fits {
        return Ok(());
    }
    let found = name.chars().take(MAX_NAME_BYTES).collect::<String>().escape_debug().to_string();
    Err(OperatorsError::Name { found })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    fn entry(name: &str, role: &str, token: &str) -> String {
        let digest = TokenDigest::of(token);
        format!("- {{name: '{name}', role: {role}, tokenSha256: {digest}}}\n")
    }

    fn refusal(entries: &[String]) -> String {
        parse(&format!("operators:\n{}", entries.concat())).unwrap_err().to_string()
    }

    #[test]
    fn a_token_is_replaced_without_a_gap_under_one_name() {
        let text =
            format!("operators:\n{}{}", entry("ci", "editor", "a"), entry("ci", "editor", "b"));
        assert_eq!(parse(&text).unwrap().len(), 2);
    }

    #[test]
    fn what_could_deceive_is_refused_and_says_why() {
        let long = "x".repeat(65);
        for (entries, said) in [
            (vec![entry("bulkhead", "admin", "a")], "other than `bulkhead`"),
            (vec![entry("loopback", "admin", "a")], "other than `bulkhead`"),
            (vec![entry("", "admin", "a")], "1 to 64"),
            (vec![entry(&long, "admin", "a")], "1 to 64"),
            (vec![entry("a b", "admin", "a")], "found `a b`"),
            (vec![entry("ci", "root", "a")], "viewer, editor, admin or node"),
            (vec![entry("ci", "editor", "a"), entry("ci", "admin", "b")], "one role for `ci`"),
            (vec![entry("a", "node", "a"), entry("b", "node", "a")], "`a` and `b`"),
            (vec!["- {name: a, role: node, token: secret}\n".to_owned()], "tokenSha256"),
            (vec!["- {name: a, role: node, tokenSha256: abc}\n".to_owned()], "64 lower-case"),
        ] {
            let refusal = refusal(&entries);
            assert!(refusal.contains(said), "{entries:?}: {refusal}");
        }
        for nobody in ["operators: []", "", "operators:"] {
            assert!(parse(nobody).is_err(), "{nobody}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_the_reader(text in ".{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_document_panics_the_reader(name in ".{0,80}", digest in "[0-9a-f]{60,68}") {
            let text = format!("operators: [{{name: {name:?}, role: node, tokenSha256: {digest:?}}}]");
            if let Ok(operators) = parse(&text) {
                prop_assert!(operators[0].name.is_ascii());
            }
        }
    }
}
