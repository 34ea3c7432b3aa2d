//! A way to send requests, and what becomes of them.

use std::collections::BTreeMap;

use policy_model::{
    compile::compile,
    diagnostic::{Diagnostic, Diagnostics, Severity},
    spec::{Kind, Resource},
};

use crate::{
    Deployment, Error,
    format::{Target, Way},
};

/// A header, as it is sent or as it arrived.
pub type Header = (String, Vec<u8>);

/// A request that is ready to be sent.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Where it is sent.
    pub target: Target,
    /// All of its headers, pseudo headers (`:method`, `:path`, `:scheme`, `:authority`) first.
    pub headers: Vec<Header>,
    /// How long its body is, in bytes.
    pub body_bytes: u64,
    /// Whether the body is sent in chunks; then no header says how long it is.
    pub chunked: bool,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// It reached what stands behind the node's recheck, with these headers.
    Forwarded {
        /// The data plane whose node it reached.
        data_plane: String,
        /// The headers as they arrived there.
        headers: Vec<Header>,
    },
    /// A filter answered it, or a check of the sidecar did.
    Denied {
        /// The HTTP status.
        status: u16,
        /// The answer's headers.
        headers: Vec<Header>,
        /// The answer's body.
        body: Vec<u8>,
    },
    /// The promotion was let through. What checks in shadow said of it.
    Promoted(Vec<Said>),
    /// The promotion was refused: by what, and in which words.
    Refused(Vec<Said>),
}

/// What was said of a promotion.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    /// The check that said it; nothing where it is a rule of the compiler.
    pub check: Option<String>,
    /// Word for word.
    pub message: String,
}

impl Said {
    /// What `diagnostics` say, in an order of its own.
    pub fn all<'a>(diagnostics: impl IntoIterator<Item = &'a Diagnostic>) -> Vec<Self> {
        let said = diagnostics.into_iter();
        let said = said.map(|it| Self { check: it.check.clone(), message: it.message.clone() });
        let mut said: Vec<Self> = said.collect();
        said.sort();
        said
    }
}

/// What becomes of applying `resources`, by the compiler that the control plane applies with.
fn compiled(resources: &[Resource], tenant: &str) -> Observed {
    match compile(resources) {
        Ok(compiled) => {
            let of_it = format!("{}/{tenant}", Kind::Tenant.as_str());
            let warnings = compiled.warnings.iter();
            Observed::Promoted(Said::all(warnings.filter(|it| it.resource == of_it)))
        }
        Err(Diagnostics(mistakes)) => Observed::Refused(Said::all(
            mistakes.iter().filter(|it| it.severity == Severity::Error),
        )),
    }
}

/// A way to run the filters: an ingress with the gate, which routes by the header
/// `x-bulkhead-cluster`, and a node with the recheck for each data plane.
///
/// The runner starts them with the tables of [`Deployment::gate_table`] and
/// [`Deployment::node_table`] and with [`Deployment::seal_key`] in the gate's environment.
/// Requests to the gate should be spread over at least two workers. A runner knows nothing of
/// what is expected, so two of them cannot disagree in silence.
pub trait Runner {
    /// Which way it is.
    fn way(&self) -> Way;

    /// Puts `deployment` in force for a scenario that begins at `at` (Unix seconds), where the
    /// clock can be set. What an earlier scenario left behind must not be felt.
    ///
    /// # Errors
    /// Where a filter refuses it.
    fn begin(&mut self, deployment: &Deployment, at: u64) -> Result<(), Error>;

    /// Puts `deployment` in force while everything runs, as a push does.
    ///
    /// # Errors
    /// Where a filter refuses it.
    fn push(&mut self, deployment: &Deployment) -> Result<(), Error>;

    /// The time that the filters see, in Unix seconds.
    fn now(&self) -> u64;

    /// Lets time pass until `at` (Unix seconds).
    ///
    /// # Errors
    /// Where the clock cannot be set and it would take too long.
    fn go_to(&mut self, at: u64) -> Result<(), Error>;

    /// Sends one request and waits for what becomes of it.
    ///
    /// # Errors
    /// Where nothing can be said about it: a connection that failed, a filter that crashed.
    fn send(&mut self, request: &Prepared) -> Result<Observed, Error>;

    /// Asks whether `resources` may be applied, in which `tenant` is given a model version. Whoever
    /// decides is native code everywhere: the control plane's compiler, which is asked itself where
    /// a runner has no control plane.
    ///
    /// # Errors
    /// Where nobody says.
    fn promote(&mut self, resources: &[Resource], tenant: &str) -> Result<Observed, Error> {
        Ok(compiled(resources, tenant))
    }

    /// How often, since the runner was made, each check in shadow would have denied a request,
    /// over all filters and tenants. A check that would not have may be missing.
    ///
    /// # Errors
    /// Where that cannot be told.
    fn shadow_failures(&mut self) -> Result<BTreeMap<String, u64>, Error>;

    /// How many requests, since the runner was made, reached what stands behind the nodes and were
    /// denied by no check there.
    ///
    /// # Errors
    /// Where that cannot be told.
    fn reached(&mut self) -> Result<u64, Error>;
}
