//! The recheck: what stands in front of every node.
//!
//! It holds a request to its passport and changes nothing: passport and request id travel on to
//! the sidecar, which verifies them again.

use std::cell::RefCell;

use passport::{PassportError, Verifier, VerifyingKey};
use policy_model::table::NodeTable;
use tenancy::{headers, problem::Problem};

use crate::{ConfigureError, Header, Host, Verdict, cache::Generations, denial::Denial};

const FILTER: &str = "recheck";
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Bounds of what is remembered: twice this many passports, twice this many bytes.
const MAX_PASSPORTS: usize = 5_000;
const MAX_PASSPORT_BYTES: usize = 4 << 20;

/// A node's policy, and the passports that it has verified under it.
///
/// Verifying Ed25519 inside a VM takes some hundred microseconds and a passport comes back for a
/// minute, so those that verified are remembered until they expire. What did not is not: it
/// would let an attacker choose what is remembered.
#[derive(Debug)]
pub struct Recheck {
    table: NodeTable,
    verifier: Verifier,
    verified: RefCell<Generations<Known>>,
}

/// What a verified passport came to.
#[derive(Debug, Clone, Copy)]
struct Known {
    is_for_here: bool,
    expires_at: u64,
}

impl Recheck {
    /// A recheck that decides by the table in `bytes`.
    ///
    /// # Errors
    /// [`ConfigureError`] where it is no usable table; the last good one must stay in force.
    pub fn configure(bytes: &[u8]) -> Result<Self, ConfigureError> {
        let table = NodeTable::decode(bytes)?;
        if table.passport_keys.is_empty() {
            return Err(ConfigureError::NoPassportKeys);
        }
        let keys = table
            .passport_keys
            .iter()
            .map(|key| VerifyingKey { id: key.id.clone(), bytes: key.public_key.clone() });
        let verifier = Verifier::new(keys)?;
        let verified = RefCell::new(Generations::new(MAX_PASSPORTS, MAX_PASSPORT_BYTES));
        Ok(Self { table, verifier, verified })
    }

    /// The revision of the table in force.
    pub fn revision(&self) -> &str {
        &self.table.revision
    }

    /// Decides on the request at hand, and answers it where it is denied.
    pub fn on_request_headers(&self, host: &impl Host) -> Verdict {
        match self.decide(&host.request_headers(), host.now() / NANOS_PER_SECOND) {
            Ok(()) => Verdict::Forward,
            Err(problem) => Denial::from(problem).send(host, FILTER),
        }
    }

    fn decide(&self, headers: &[Header], now: u64) -> Result<(), Problem> {
        let passport = only_passport(headers)?;
        let known = self.known(passport).map_or_else(|| self.verify(passport, now), Ok)?;
        if now >= known.expires_at {
            return Err(Problem::PassportExpired);
        }
        if known.is_for_here { Ok(()) } else { Err(Problem::WrongDataPlane) }
    }

    fn known(&self, passport: &str) -> Option<Known> {
        self.verified.borrow_mut().get(passport)
    }

    fn verify(&self, token: &str, now: u64) -> Result<Known, Problem> {
        let (passport, expires_at) =
            self.verifier.verify(token, now).map_err(|error| match error {
                PassportError::Expired => Problem::PassportExpired,
                PassportError::Invalid { .. } => Problem::PassportInvalid,
            })?;
        let is_for_here = passport.data_plane.as_str() == self.table.data_plane;
        let known = Known { is_for_here, expires_at };
        self.verified.borrow_mut().insert(token, known);
        Ok(known)
    }
}

/// The one passport among `headers`. Of two, somebody behind could read the other.
fn only_passport(headers: &[Header]) -> Result<&str, Problem> {
    let mut found = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(headers::PASSPORT));
    let (_, passport) = found.next().ok_or(Problem::PassportMissing)?;
    if found.next().is_some() {
        return Err(Problem::PassportInvalid);
    }
    std::str::from_utf8(passport).map_err(|_| Problem::PassportInvalid)
}

#[cfg(test)]
#[path = "recheck/tests.rs"]
mod tests;
