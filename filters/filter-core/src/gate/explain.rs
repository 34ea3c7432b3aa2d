//! Why a request would be let through or denied: the same decision, told and not carried out.

use std::rc::Rc;

use serde_json::{Map, Value};
use tenancy::{TenantId, Tier, problem::Problem};

use super::{
    Gate, NANOS_PER_SECOND,
    identity::{self, Identity, Token},
    variables::GateVariables,
};
use crate::{Cause, CheckOutcome, Headers, Host, Verdict, bearer, checks};

/// A caller whose identity is settled by other means than a token, as in a record of a request
/// that was let through.
#[derive(Debug, Clone, PartialEq)]
pub struct Caller {
    /// The tenant that the caller speaks for.
    pub tenant: TenantId,
    /// The token's `iss`.
    pub issuer: String,
    /// The algorithm of its signature.
    pub algorithm: String,
    /// The `kid` of its key; empty where it names none.
    pub key_id: String,
    /// Its `iat`, in Unix seconds.
    pub issued_at: Option<u64>,
    /// Its `exp`, in Unix seconds.
    pub expires_at: u64,
    /// Its claims.
    pub claims: Map<String, Value>,
}

/// A decision of the gate. Rates are left out of it: they depend on what came before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The tenant that was verified, also where it is none of this deployment's.
    pub tenant: Option<TenantId>,
    /// Its tier; `None` where the request was denied before its row was found.
    pub tier: Option<Tier>,
    /// Its data plane.
    pub data_plane: Option<String>,
    /// The cluster that it is routed to where it is let through.
    pub cluster: Option<String>,
    /// The revision of the table that decides.
    pub revision: String,
    /// What each of its checks says, in their order, also those after the one that denies.
    pub checks: Vec<CheckOutcome>,
    /// What becomes of the request.
    pub verdict: Verdict,
}

impl Gate {
    /// The decision on the request at hand and its token, at the host's time.
    pub fn explain(&self, host: &impl Host) -> Explanation {
        let headers = host.request_headers();
        let identity = bearer::token(&headers).and_then(|token| {
            let now = host.now() / NANOS_PER_SECOND;
            identity::verify(host, (&self.policy.table, &self.policy.revision), token, now, true)
        });
        match identity {
            Ok(identity) => self.explain_identity(host, &headers, &identity),
            Err(problem) => self.denied(None, problem),
        }
    }

    /// The decision on the request at hand if `caller` had sent it, at the host's time. Its token
    /// is not looked at.
    pub fn explain_as(&self, host: &impl Host, caller: Caller) -> Explanation {
        let Caller { tenant, issuer, algorithm, key_id, issued_at, expires_at, claims } = caller;
        let token = Token { issuer, algorithm, key_id, issued_at, claims };
        let identity =
            Identity::new(tenant, expires_at, Rc::clone(&self.policy.revision), Some(token));
        self.explain_identity(host, &host.request_headers(), &identity)
    }

    fn explain_identity(
        &self,
        host: &impl Host,
        headers: &Headers,
        identity: &Identity,
    ) -> Explanation {
        let table = &self.policy.table;
        let Some(row) = table.tenant(&identity.tenant) else {
            return self.denied(Some(&identity.tenant), Problem::UnknownTenant);
        };
        let caller = (identity.token.as_deref(), identity.expires_at);
        let variables = GateVariables::new(headers, caller, table, row, host.now());
        let outcomes = checks::explain(table.checks_of(row), &variables);
        let verdict = if row.suspended {
            Verdict::Denied(Problem::TenantSuspended.into())
        } else {
            let denial = outcomes.iter().find(|outcome| outcome.denies());
            match denial.and_then(|outcome| outcome.denial.clone()) {
                Some(denial) => Verdict::Denied(Cause::Check(denial)),
                None => Verdict::Forward,
            }
        };
        Explanation {
            tenant: Some(identity.tenant.clone()),
            tier: row.tier(),
            data_plane: Some(row.data_plane.to_string()),
            cluster: (verdict == Verdict::Forward).then(|| row.cluster.to_string()),
            revision: self.revision().to_owned(),
            checks: outcomes,
            verdict,
        }
    }

    fn denied(&self, tenant: Option<&TenantId>, problem: Problem) -> Explanation {
        Explanation {
            tenant: tenant.cloned(),
            tier: None,
            data_plane: None,
            cluster: None,
            revision: self.revision().to_owned(),
            checks: Vec::new(),
            verdict: Verdict::Denied(problem.into()),
        }
    }
}
