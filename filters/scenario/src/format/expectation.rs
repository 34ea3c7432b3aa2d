//! What must become of a request.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What must become of a request: one of the outcomes, and what is counted beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// What its sender sees.
    pub outcome: Outcome,
    /// How often each check in shadow would have denied it. A check that is not named would not.
    pub shadow: BTreeMap<String, u64>,
    /// How many of the repetitions reach a sidecar, where they are counted and billed. Whether it
    /// is said or not, as many must as are forwarded.
    pub metered: Option<u64>,
}

/// What the sender of a request sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It reaches the node.
    Forwarded(Forwarded),
    /// A filter answers it.
    Denied(Denied),
    /// Of the repetitions this many reach the node, and all others are denied.
    Limited(Limited),
}

/// A request that reaches the node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forwarded {
    /// The tenant in the passport that it arrives with.
    pub tenant: String,
    /// The tier in it.
    #[serde(default)]
    pub tier: Option<String>,
    /// The data plane in it, whose node it reached.
    pub data_plane: String,
    /// The passport's longest life from now, in seconds.
    #[serde(default)]
    pub passport_expires_within: Option<u64>,
    /// Headers that must arrive exactly once and as said.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Headers that must not arrive.
    #[serde(default)]
    pub without: Vec<String>,
    /// A text that no header's value may contain.
    #[serde(default)]
    pub nowhere: Option<String>,
}

/// A request that is answered by a filter, as a problem (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denied {
    /// The HTTP status.
    pub status: u16,
    /// The problem's stable code.
    pub code: String,
    /// The check that denied it. Where it is not said, no check did: the filters' own rules came
    /// first.
    #[serde(default)]
    pub check: Option<String>,
    /// What the denial tells its receiver, word for word.
    #[serde(default)]
    pub message: Option<String>,
    /// Headers that the answer must have, as said.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Headers that the answer must have, whatever they say.
    #[serde(default)]
    pub with: Vec<String>,
}

/// Repetitions of which only some pass.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limited {
    /// How many reach the node.
    pub forwarded: usize,
    /// What all others get.
    pub others: Denied,
}

/// An expectation as it is written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectationSpec {
    #[serde(default)]
    forwarded: Option<Forwarded>,
    #[serde(default)]
    denied: Option<Denied>,
    #[serde(default)]
    limited: Option<Limited>,
    #[serde(default)]
    shadow: BTreeMap<String, u64>,
    #[serde(default)]
    metered: Option<u64>,
}

impl TryFrom<ExpectationSpec> for Expectation {
    type Error = &'static str;

    fn try_from(spec: ExpectationSpec) -> Result<Self, &'static str> {
        let outcome = match (spec.forwarded, spec.denied, spec.limited) {
            (Some(forwarded), None, None) => Outcome::Forwarded(forwarded),
            (None, Some(denied), None) => Outcome::Denied(denied),
            (None, None, Some(limited)) => Outcome::Limited(limited),
            _ => {
                return Err("expected one of `forwarded`, `denied` and `limited` under `expect`");
            }
        };
        Ok(Self { outcome, shadow: spec.shadow, metered: spec.metered })
    }
}
