//! The gate: what stands at the edge.
//!
//! It settles once who is calling, from a token that the customer's own identity provider signed,
//! holds the request to the tenant's checks, takes it from the tenant's rate, and sends it on under
//! a passport to the tenant's data plane. Nothing that the client says beyond that token chooses anything.

mod explain;
mod identity;
mod rewrite;
#[cfg(test)]
mod tests;
mod variables;

use std::{cell::RefCell, rc::Rc};

use passport::{
    Passport, SigningKey,
    seal::{SealError, SealKey},
};
use policy_model::table::{ArchivedCheckRow, ArchivedTenantRow, GateTable};
use tenancy::{TenantId, problem::Problem};

use crate::{
    ConfigureError, Headers, Host, Level, Note, Verdict, bearer,
    cache::Generations,
    checks,
    denial::{Authority, Denial},
    rate::{Buckets, Limit},
    request_id::RequestIds,
};
use identity::{Identity, Minted};
use variables::GateVariables;

pub use explain::{Caller, Explanation};

const FILTER: &str = "gate";
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Bounds of what is remembered: twice this many tokens, twice this many bytes of them.
const MAX_TOKENS: usize = 5_000;
const MAX_REMEMBERED_BYTES: usize = 8 << 20;

/// A passport with less than this to live is minted anew, so that a request that waits on its way
/// does not arrive with an expired one. In seconds.
const RENEW_BEFORE_SECS: u64 = 10;

/// What lives as long as the VM and so outlives pushed tables: verified tokens, the tenants'
/// buckets, the generator of request ids, and the policy that was pushed last. Make one for each VM.
#[derive(Debug, Default)]
pub struct Vm {
    state: RefCell<VmState>,
    buckets: Buckets,
}

#[derive(Debug)]
struct VmState {
    tokens: Generations<Rc<Identity>>,
    request_ids: Option<RequestIds>,
    policy: Option<Rc<Policy>>,
}

impl Default for VmState {
    fn default() -> Self {
        Self {
            tokens: Generations::new(MAX_TOKENS, MAX_REMEMBERED_BYTES),
            request_ids: None,
            policy: None,
        }
    }
}

/// A table with its passport key opened.
#[derive(Debug)]
struct Policy {
    table: GateTable,
    /// The table's, in the one place by which what was verified under it is known.
    revision: Rc<str>,
    key: SigningKey,
    /// Whether any check reads the token, so that it is worth remembering.
    reads_tokens: bool,
}

/// One pushed configuration at work in one VM.
#[derive(Debug)]
pub struct Gate {
    vm: Rc<Vm>,
    policy: Rc<Policy>,
}

/// What an admitted request travels on with.
struct Admission {
    passport: Rc<str>,
    request_id: String,
}

impl Gate {
    /// A gate that decides by the table in `bytes`. `seal_key` is what the VM's environment holds
    /// under [`passport::seal::ENVIRONMENT_VARIABLE`].
    ///
    /// # Errors
    /// [`ConfigureError`] where it is no usable table; the last good one must stay in force.
    pub fn configure(
        vm: &Rc<Vm>,
        host: &impl Host,
        bytes: &[u8],
        seal_key: Option<&str>,
    ) -> Result<Self, ConfigureError> {
        let policy = Policy::open(bytes, seal_key)?;
        let mut state = vm.state.borrow_mut();
        if state.request_ids.is_none() {
            let seed = host.random_seed().ok_or(ConfigureError::NoRandomness)?;
            state.request_ids = Some(RequestIds::seeded(seed));
        }
        // Several listeners with one configuration hold one table: a VM's memory never shrinks.
        let policy = match &state.policy {
            Some(held) if held.table.revision() == policy.table.revision() => Rc::clone(held),
            _ => Rc::new(policy),
        };
        state.policy = Some(Rc::clone(&policy));
        vm.buckets.keep(|tenant| policy.table.tenant(tenant).is_some());
        host.log(
            Level::Info,
            &format!(
                "table {} in force: {} tenants",
                policy.table.revision(),
                policy.table.tenants()
            ),
        );
        Ok(Self { vm: Rc::clone(vm), policy })
    }

    /// The revision of the table in force.
    pub fn revision(&self) -> &str {
        &self.policy.revision
    }

    /// Decides on the request at hand: answers it where it is denied, and otherwise takes from its
    /// headers what may not travel on and adds the gate's own.
    pub fn on_request_headers(&self, host: &impl Host) -> Verdict {
        let headers = host.request_headers();
        match self.decide(host, &headers) {
            Ok((row, admission)) => {
                host.change_request_headers(
                    &rewrite::withheld(&headers),
                    &rewrite::added(row, &admission),
                );
                Verdict::Forward
            }
            Err(denial) => denial.send(host, &self.authority()),
        }
    }

    fn authority(&self) -> Authority<'_> {
        let table = &self.policy.table;
        Authority { filter: FILTER, policy: Some((table.revision(), table.observe())) }
    }

    fn decide(
        &self,
        host: &impl Host,
        headers: &Headers,
    ) -> Result<(&ArchivedTenantRow, Admission), Denial> {
        let token = bearer::token(headers)?;
        let now = host.now();
        let now_secs = now / NANOS_PER_SECOND;
        let identity = self.identify(host, token, now_secs)?;
        self.note(host, &identity.tenant);
        let row = self.policy.table.tenant(&identity.tenant).ok_or(Problem::UnknownTenant)?;
        if row.suspended {
            return Err(Problem::TenantSuspended.into());
        }
        if !row.checks.is_empty() {
            self.check(host, headers, &identity, row, now)?;
        }
        let limit =
            Limit { interval_ns: row.interval_ns.to_native(), burst: row.burst.to_native() };
        self.vm.buckets.take(host, &identity.tenant, limit, now)?;
        let passport = self.passport(host, &identity, row, now_secs)?;
        let request_id = self.request_id(now).ok_or(Problem::PolicyUnavailable)?;
        Ok((row, Admission { passport, request_id }))
    }

    fn check(
        &self,
        host: &impl Host,
        headers: &Headers,
        identity: &Identity,
        row: &ArchivedTenantRow,
        now: u64,
    ) -> Result<(), Denial> {
        let table = &self.policy.table;
        let caller = (identity.token.as_deref(), identity.expires_at);
        let variables = GateVariables::new(headers, caller, table, row, now);
        checks::hold(host, FILTER, &identity.tenant, table.checks_of(row), &variables)
    }

    /// Leaves beside the request what the operator wants to see of it.
    fn note(&self, host: &impl Host, tenant: &TenantId) {
        let observe = self.policy.table.observe();
        if observe.access_log {
            host.note(Note::Tenant, tenant.as_str());
        }
        if observe.access_log || observe.response_headers {
            host.note(Note::Revision, self.revision());
        }
    }

    /// Who is calling. A token that was verified under this very table is known again by its
    /// text. Under a new table every token is verified anew, once: its issuer, key or org may be
    /// gone from it, and one native verification costs less than being clever about which.
    fn identify(&self, host: &impl Host, token: &str, now: u64) -> Result<Rc<Identity>, Problem> {
        let known = self.vm.state.borrow_mut().tokens.get(token);
        let revision = &self.policy.revision;
        if let Some(identity) = known.filter(|known| Rc::ptr_eq(&known.revision, revision)) {
            return if now < identity.expires_at {
                Ok(identity)
            } else {
                Err(Problem::TokenExpired)
            };
        }
        let identity = Rc::new(identity::verify(
            host,
            (&self.policy.table, revision),
            token,
            now,
            self.policy.reads_tokens,
        )?);
        self.vm.state.borrow_mut().tokens.insert(token, Rc::clone(&identity));
        Ok(identity)
    }

    /// The passport that goes with `identity`: the one minted before, while it has time to live.
    fn passport(
        &self,
        host: &impl Host,
        identity: &Identity,
        row: &ArchivedTenantRow,
        now: u64,
    ) -> Result<Rc<str>, Problem> {
        if let Some(minted) = identity.passport.borrow().as_ref() {
            let renew_at = minted.expires_at.saturating_sub(RENEW_BEFORE_SECS);
            if now < renew_at
                || (now < minted.expires_at && minted.expires_at == identity.expires_at)
            {
                return Ok(Rc::clone(&minted.token));
            }
        }
        let minted = self.mint(identity, row, now).map_err(|reason| {
            host.log(Level::Error, &format!("no passport could be minted: {reason}"));
            Problem::PolicyUnavailable
        })?;
        let token = Rc::clone(&minted.token);
        *identity.passport.borrow_mut() = Some(minted);
        Ok(token)
    }

    /// A passport never outlives the token that it was minted for.
    fn mint(
        &self,
        identity: &Identity,
        row: &ArchivedTenantRow,
        now: u64,
    ) -> Result<Minted, String> {
        let passport = Passport {
            tenant: identity.tenant.clone(),
            tier: row.tier().ok_or("the table gives the tenant an unknown tier")?,
            data_plane: row.data_plane.parse().map_err(|error| format!("{error}"))?,
            revision: self.revision().to_owned(),
        };
        let lifetime = identity.expires_at.saturating_sub(now).min(passport::MAX_LIFETIME_SECS);
        let token =
            self.policy.key.mint(&passport, now, lifetime).map_err(|error| error.to_string())?;
        Ok(Minted { token: token.into(), expires_at: now.saturating_add(lifetime) })
    }

    fn request_id(&self, now: u64) -> Option<String> {
        self.vm.state.borrow_mut().request_ids.as_mut().map(|ids| ids.next(now))
    }
}

impl Policy {
    fn open(bytes: &[u8], seal_key: Option<&str>) -> Result<Self, ConfigureError> {
        let table = GateTable::decode(bytes)?;
        let seal_key = seal_key.ok_or(ConfigureError::NoSealKey)?;
        let sealed = table.passport_key();
        let key = SealKey::from_hex(seal_key)
            .and_then(|seal| seal.open(&sealed.key_id, &sealed.nonce, &sealed.ciphertext))
            .map_err(|error: SealError| ConfigureError::PassportKey(error))?;
        let reads_tokens = table.checks().iter().any(reads_token);
        Ok(Self { revision: table.revision().into(), table, key, reads_tokens })
    }
}

fn reads_token(check: &ArchivedCheckRow) -> bool {
    let mut paths = check.program.paths().chain(check.message.paths());
    paths.any(|path| path == "claims" || path.starts_with("token."))
}
