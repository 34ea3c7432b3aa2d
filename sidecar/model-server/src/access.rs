//! Who may ask for what, by whichever protocol it came: a verified passport, and what is assigned
//! to its tenant.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, request::Parts};
use tenancy::{TenantId, problem::Problem};

use crate::{
    answer::Refusal,
    assignments::{Assigned, Node, Table, TenantModels},
    checks,
    denial::Denial,
    server::Sidecar,
};

/// A request whose passport was verified.
pub(crate) struct Access<'t> {
    pub(crate) node: &'t Node,
    pub(crate) tenant: TenantId,
    table: &'t Table,
    /// The time since 1970.
    now: Duration,
}

impl<'t> Access<'t> {
    /// Verifies the passport at `now`, the time since 1970.
    pub(crate) fn check(
        table: &'t Table,
        headers: &HeaderMap,
        now: Duration,
    ) -> Result<Self, Refusal> {
        let node = table.node().map(|node| &**node).ok_or_else(no_policy)?;
        let passport = node.passports.check(headers, now.as_secs())?;
        Ok(Self { node, tenant: passport.tenant, table, now })
    }

    /// The tenant's models. One that is not served here is told what one is told that asks for a
    /// model that it does not have.
    pub(crate) fn models(&self) -> Result<&'t TenantModels, Refusal> {
        self.table.tenant(&self.tenant).map(|tenant| &**tenant).ok_or_else(unknown)
    }

    /// What the tenant is assigned under a name, and under a version where that is not empty. One
    /// refusal says all: that there is no such name, no such version, that it is another tenant's,
    /// or that the tenant is not served here.
    pub(crate) fn find(
        &self,
        name: &str,
        version: &str,
    ) -> Result<(&'t TenantModels, &'t Arc<Assigned>), Refusal> {
        let tenant = self.models()?;
        let version = Some(version).filter(|version| !version.is_empty());
        Ok((tenant, tenant.find(name, version).ok_or_else(unknown)?))
    }

    /// As [`Access::find`], and holds the request to the tenant's checks.
    pub(crate) fn checked(
        &self,
        sidecar: &Sidecar,
        name: &str,
        version: &str,
        request: &Parts,
    ) -> Result<(&'t TenantModels, &'t Arc<Assigned>), Denial> {
        let counted = |check: &str, tenant: &TenantId| sidecar.metrics.shadowed(check, tenant);
        self.held(name, version, request, counted)
    }

    /// As [`Access::checked`]; `counted` is told of each check in shadow that fails.
    pub(crate) fn held(
        &self,
        name: &str,
        version: &str,
        request: &Parts,
        counted: impl Fn(&str, &TenantId),
    ) -> Result<(&'t TenantModels, &'t Arc<Assigned>), Denial> {
        let (tenant, assigned) = self.find(name, version)?;
        checks::hold(tenant, self.node, assigned, request, self.now, counted)?;
        Ok((tenant, assigned))
    }
}

/// Whether passports can be verified, and it is known whose. A node without tenants is ready too: it has
/// none to fail.
pub(crate) fn ready(sidecar: &Sidecar, table: &Table) -> Result<(), Refusal> {
    table.node().ok_or_else(no_policy)?;
    if sidecar.ending.is_cancelled() {
        let detail = "expected a server that goes on, found one that ends: go to another one";
        return Err(Refusal::new(Problem::Overloaded, detail));
    }
    Ok(())
}

fn no_policy() -> Refusal {
    let detail = "expected assignments from the control plane, found none yet: try again later";
    Refusal::new(Problem::PolicyUnavailable, detail)
}

fn unknown() -> Refusal {
    let detail = "expected a model and version that are assigned to this tenant, found none of \
                  this name";
    Refusal::new(Problem::UnknownModel, detail)
}
