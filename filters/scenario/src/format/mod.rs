//! What a scenario says. Unknown fields are refused, so a misspelt expectation cannot pass.

mod changes;
mod credentials;
mod expectation;
mod promotion;
mod read;

use std::{collections::BTreeMap, path::PathBuf};

use jiff::{SignedDuration, Timestamp};
use policy_model::{
    diagnostic::Origin,
    spec::{Mode, Resource},
};
use serde::Deserialize;

pub use credentials::{PassportSpec, Signer, Tamper, TokenSpec};
pub use expectation::{Denied, Expectation, Forwarded, Limited, Outcome, Refused};
pub use promotion::Promotion;
pub use read::LONGEST_WAIT;

/// One promise, with the requests that show it.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The file's name, without its ending.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// What the file holds.
    pub text: String,
    /// The promise, in one sentence.
    pub promise: String,
    /// Why it matters, where the promise does not say it.
    pub why: Option<String>,
    /// Which of the README's promises it guards, by their numbers.
    pub guards: Vec<u8>,
    /// When the first request is sent, in Unix seconds.
    pub at: Option<Timestamp>,
    /// Where it cannot be run, and why.
    pub skip: BTreeMap<Way, String>,
    /// What is changed in the deployment before the first request.
    pub given: Vec<Change>,
    /// Sent one after another.
    pub requests: Vec<Step>,
}

/// A way to run scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// The filters' code as it is, without a proxy.
    Native,
    /// The WebAssembly that Envoy loads, in wasmtime.
    Wasm,
    /// Envoy.
    Envoy,
}

impl Way {
    /// The way's name, as scenarios write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Wasm => "wasm",
            Self::Envoy => "envoy",
        }
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A change of the deployment, as `given` and `apply` list them.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// `check: <name>`, with `mode: <mode>` where it is not to be the check's own: a check of the
    /// catalog, or of the resources beside the scenario.
    Named {
        /// The check's name.
        check: String,
        /// What holds in place of what the check says.
        mode: Option<Mode>,
        /// Where this is written.
        origin: Origin,
    },
    /// `remove: <Kind>/<name>`.
    Remove {
        /// The resource's id.
        id: String,
        /// Where this is written.
        origin: Origin,
    },
    /// A resource, in the place of one of the same kind and name where there is one.
    Resource(Box<Resource>),
    /// `told: <tenant>` with `trained_on`: what the tenant's nodes are told of its models, in place
    /// of what is registered. No sound control plane sends it; what a node makes of it is shown.
    Told {
        /// The tenant's id.
        tenant: String,
        /// Whose data its models were trained on, as its nodes are told.
        trained_on: Vec<String>,
        /// Where this is written.
        origin: Origin,
    },
}

/// A request or a promotion, and what must become of it.
#[derive(Debug, Clone)]
pub struct Step {
    /// The line of the file that it begins at.
    pub line: u64,
    /// The line and column of what it expects, from 1.
    pub expect_at: (u64, u64),
    /// What is applied before it is sent, while the proxies run.
    pub apply: Vec<Change>,
    /// When it is sent.
    pub time: Time,
    /// What is done.
    pub ask: Ask,
    /// How often it is sent.
    pub repeat: usize,
    /// What must become of it, every time.
    pub expect: Expectation,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Ask {
    /// A request is sent.
    Send(Box<Request>),
    /// The request before it is sent again, byte for byte.
    Again,
    /// A model version is to be given to a tenant.
    Promote(Promotion),
}

/// When a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Time {
    /// At once.
    #[default]
    Now,
    /// So long after the one before it.
    After(SignedDuration),
    /// At this time.
    At(Timestamp),
}

/// A request. What is not said is as an honest client of tenant's has it.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Where it is sent: `gate`, or `{ node: <data plane> }` past the gate.
    pub to: Target,
    /// The bearer token, made for this request. None where it is not said.
    pub token: Option<TokenSpec>,
    /// A passport as its sender claims it, for requests to a node.
    pub passport: Option<PassportSpec>,
    /// Further headers, as a list of name and value, in this order. In a value, `${token}` and
    /// `${passport}` stand for the ones above.
    pub headers: Vec<(String, String)>,
    /// The method. `POST` where it is not said.
    pub method: Option<String>,
    /// The path. `/v2/models/eta/infer` where it is not said.
    pub path: Option<String>,
    /// The authority. `api.bulkhead.example` where it is not said.
    pub host: Option<String>,
    /// The body's size in bytes. A POST, PUT or PATCH has an empty one where it is not said.
    pub body_bytes: Option<u64>,
    /// Whether the body is sent in chunks, so that nothing says its size beforehand.
    pub chunked: bool,
}

/// Where a request is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The ingress.
    #[default]
    Gate,
    /// The node of this data plane, as somebody inside the network would.
    Node(String),
}
