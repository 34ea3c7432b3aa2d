//! The recheck: what stands in front of every node.
//!
//! It holds a request to its passport and to the tenant's checks, and changes nothing: passport and request id travel on to
//! the sidecar, which verifies them again.

mod variables;

use std::{cell::RefCell, rc::Rc};

use passport::{PassportError, Verifier, VerifyingKey};
use policy_model::table::NodeTable;
use tenancy::{TenantId, headers, problem::Problem};

use crate::{
    CheckOutcome, ConfigureError, Headers, Host, Note, Verdict,
    cache::Generations,
    checks,
    denial::{Authority, Denial},
};
use variables::NodeVariables;

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
    verified: RefCell<Generations<Rc<Known>>>,
}

/// What a verified passport came to.
#[derive(Debug)]
struct Known {
    tenant: TenantId,
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
        match self.decide(host, &host.request_headers()) {
            Ok(()) => Verdict::Forward,
            Err(denial) => {
                let policy = Some((self.revision(), self.table.observe()));
                denial.send(host, &Authority { filter: FILTER, policy })
            }
        }
    }

    /// What each check of `tenant` says of the request at hand, at the host's time, if it came
    /// with a passport of `tenant` for this node; `None` where this node does not serve it.
    pub fn explain_as(&self, host: &impl Host, tenant: &TenantId) -> Option<Vec<CheckOutcome>> {
        let row = self.table.tenant(tenant)?;
        let headers = host.request_headers();
        let variables = NodeVariables::new(&headers, &self.table, row, host.now());
        Some(checks::explain(self.table.checks_of(row), &variables))
    }

    fn decide(&self, host: &impl Host, headers: &Headers) -> Result<(), Denial> {
        let now = host.now();
        let now_secs = now / NANOS_PER_SECOND;
        let passport = only_passport(headers)?;
        let known = match self.known(passport) {
            Some(known) => known,
            None => self.verify(passport, now_secs)?,
        };
        if now_secs >= known.expires_at {
            return Err(Problem::PassportExpired.into());
        }
        self.note(host, &known.tenant);
        if !known.is_for_here {
            return Err(Problem::WrongDataPlane.into());
        }
        // Of a tenant that the table does not know, nor does it know the checks.
        let row = self.table.tenant(&known.tenant).ok_or(Problem::WrongDataPlane)?;
        if row.checks.is_empty() {
            return Ok(());
        }
        let variables = NodeVariables::new(headers, &self.table, row, now);
        checks::hold(host, FILTER, &known.tenant, self.table.checks_of(row), &variables)
    }

    /// Leaves beside the request what the operator wants to see of it.
    fn note(&self, host: &impl Host, tenant: &TenantId) {
        if self.table.observe().access_log {
            host.note(Note::Tenant, tenant.as_str());
            host.note(Note::Revision, self.revision());
        }
    }

    fn known(&self, passport: &str) -> Option<Rc<Known>> {
        self.verified.borrow_mut().get(passport)
    }

    fn verify(&self, token: &str, now: u64) -> Result<Rc<Known>, Problem> {
        let (passport, expires_at) =
            self.verifier.verify(token, now).map_err(|error| match error {
                PassportError::Expired => Problem::PassportExpired,
                PassportError::Invalid { .. } => Problem::PassportInvalid,
            })?;
        let is_for_here = passport.data_plane.as_str() == self.table.data_plane;
        let known = Rc::new(Known { tenant: passport.tenant, is_for_here, expires_at });
        self.verified.borrow_mut().insert(token, Rc::clone(&known));
        Ok(known)
    }
}

/// The one passport among `headers`. Of two, somebody behind could read the other.
fn only_passport(headers: &Headers) -> Result<&str, Problem> {
    let mut found = headers.all(headers::PASSPORT);
    let passport = found.next().ok_or(Problem::PassportMissing)?;
    if found.next().is_some() {
        return Err(Problem::PassportInvalid);
    }
    std::str::from_utf8(passport).map_err(|_| Problem::PassportInvalid)
}

#[cfg(test)]
#[path = "recheck/tests.rs"]
mod tests;
