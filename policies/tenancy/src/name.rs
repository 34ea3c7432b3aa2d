//! Names that came from outside and were checked: a value of one of these types is well formed.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The longest name accepted, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a {what} of 1 to {MAX_NAME_BYTES} characters, starting with a letter or digit, \
     of letters, digits, '-', '_' and '.', found `{found}`"
)]
pub struct NameError {
    /// What the name was to be, for instance `tenant id`.
    pub what: &'static str,
    /// The refused text, shortened.
    pub found: String,
}

fn is_well_formed(name: &str) -> bool {
    let Some(first) = name.bytes().next() else {
        return false;
    };
    name.len() <= MAX_NAME_BYTES
        && first.is_ascii_alphanumeric()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                if is_well_formed(&name) {
                    Ok(Self(name))
                } else {
                    Err(NameError { what: $what, found: name.chars().take(MAX_NAME_BYTES).collect() })
                }
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                // The bound is checked before the copy, so that a long name costs nothing.
                if is_well_formed(name) {
                    Ok(Self(name.to_owned()))
                } else {
                    Err(NameError { what: $what, found: name.chars().take(MAX_NAME_BYTES).collect() })
                }
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// A tenant: the `org_id` claim of the customer's own identity provider.
    ///
    /// Bulkhead never invents one. Comparison is by bytes: `Org_a` and `org_a` are two tenants.
    TenantId, "tenant id"
}

name! {
    /// A data plane: a set of nodes that serve the same tenants, in one region.
    DataPlaneId, "data plane name"
}

name! {
    /// A model's name, as in the path `/v2/models/{name}`.
    ModelName, "model name"
}

name! {
    /// A model's version, as in the path `/v2/models/{name}/versions/{version}`.
    Version, "version"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tenant_id_that_could_leave_its_place_is_refused() {
        for hostile in ["", ".", "..", "-x", "a/b", "a b", "org\n", "ö", "a%2f", &"x".repeat(65)] {
            assert!(hostile.parse::<TenantId>().is_err(), "{hostile:?} was accepted");
        }
        assert!("org_ua".parse::<TenantId>().is_ok());
        assert!("7eleven.eu-1".parse::<TenantId>().is_ok());
    }

    proptest! {
        #[test]
        fn an_accepted_name_survives_json(name in "[a-z0-9][a-zA-Z0-9_.-]{0,63}") {
            let id: TenantId = name.parse().map_err(|e| TestCaseError::fail(format!("{e}")))?;
            let json = serde_json::to_string(&id).map_err(|e| TestCaseError::fail(format!("{e}")))?;
            prop_assert_eq!(serde_json::from_str::<TenantId>(&json).ok(), Some(id));
        }

        #[test]
        fn json_cannot_smuggle_a_malformed_name(name in ".*") {
            let json = serde_json::Value::String(name.clone());
            let parsed = serde_json::from_value::<TenantId>(json).is_ok();
            prop_assert_eq!(parsed, name.parse::<TenantId>().is_ok());
        }
    }
}
