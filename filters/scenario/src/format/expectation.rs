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
    /// A filter answers it, or a check of the sidecar does.
    Denied(Denied),
    /// Of the repetitions this many reach the node, and all others are denied.
    Limited(Limited),
    /// The promotion is let through.
    Promoted,
    /// The promotion is refused.
    Refused(Refused),
}

/// A request that reaches what stands behind the node, where no check of the sidecar denies it.
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

/// A request that is answered by a filter or by a check of the sidecar, as a problem (RFC 9457).
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

/// A promotion that is refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// A check that refuses it. Where it is not said, no check did: the compiler's own rules do.
    #[serde(default)]
    pub check: Option<String>,
    /// What that check says, or one of those rules: word for word.
    #[serde(default)]
    pub message: Option<String>,
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
    promoted: Option<True>,
    #[serde(default)]
    refused: Option<Refused>,
    #[serde(default)]
    shadow: BTreeMap<String, u64>,
    #[serde(default)]
    metered: Option<u64>,
}

impl TryFrom<ExpectationSpec> for Expectation {
    type Error = &'static str;

    fn try_from(spec: ExpectationSpec) -> Result<Self, &'static str> {
        let said = [
            spec.forwarded.map(Outcome::Forwarded),
            spec.denied.map(Outcome::Denied),
            spec.limited.map(Outcome::Limited),
            spec.promoted.map(|_| Outcome::Promoted),
            spec.refused.map(Outcome::Refused),
        ];
        let mut said = said.into_iter().flatten();
        let (Some(outcome), None) = (said.next(), said.next()) else {
            return Err(
                "expected one of `forwarded`, `denied`, `limited`, `promoted` and `refused` \
                        under `expect`",
            );
        };
        Ok(Self { outcome, shadow: spec.shadow, metered: spec.metered })
    }
}

/// What is said with `true` and not said otherwise.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "bool")]
struct True;

impl TryFrom<bool> for True {
    type Error = &'static str;

    fn try_from(said: bool) -> Result<Self, &'static str> {
        said.then_some(Self).ok_or("expected `true`; what is not promised is not said")
    }
}
