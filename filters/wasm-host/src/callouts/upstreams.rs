//! The clusters that a guest can call.

use std::collections::HashMap;

use crate::Status;

/// Clusters by name. Where none is named, all names are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Upstreams {
    by_name: HashMap<String, Reach>,
    any_known: bool,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Sends,
    /// The host cannot send to it.
    Fails,
}

impl Upstreams {
    pub(crate) fn know(&mut self, name: String) {
        self.any_known = true;
        self.by_name.insert(name, Reach::Sends);
    }

    pub(crate) fn fail(&mut self, name: String) {
        self.by_name.insert(name, Reach::Fails);
    }

    /// `unknown` is what the ABI answers for a name that is not there: it differs by function.
    pub(crate) fn check(&self, name: &str, unknown: Status) -> Result<(), Status> {
        match self.by_name.get(name) {
            Some(Reach::Sends) => Ok(()),
            Some(Reach::Fails) => Err(Status::InternalFailure),
            None if self.any_known => Err(unknown),
            None => Ok(()),
        }
    }
}
