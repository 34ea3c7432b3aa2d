//! Issuers, and whether every tenant has one.

use std::collections::BTreeSet;

use tenancy::TenantId;

use super::{Compiler, Subject, model::sorted};
use crate::{
    resolved::Issuer,
    spec::{IssuerSpec, Kind, Object},
};

impl Compiler<'_> {
    pub(super) fn resolve_issuer(&mut self, object: &Object<IssuerSpec>) {
        let subject = Subject::new(Kind::Issuer, object);
        let spec = &object.spec;
        if !spec.issuer.starts_with("https://") && !is_loopback(&spec.issuer) {
            self.report.error(&subject, "spec.issuer", format!("expected an issuer that starts with `https://` (plain `http://` is for loopback only), found `{}`", spec.issuer));
        }
        for (field, empty) in [
            ("audiences", spec.audiences.is_empty()),
            ("algorithms", spec.algorithms.is_empty()),
            ("orgs", spec.orgs.is_empty()),
            ("orgClaim", spec.org_claim.is_empty()),
        ] {
            if empty {
                self.report.error(&subject, &format!("spec.{field}"), format!("expected at least one entry in `{field}`, found none: nothing would be accepted"));
            }
        }
        let issuer = Issuer {
            name: object.metadata.name.clone(),
            issuer: spec.issuer.clone(),
            audiences: sorted(&spec.audiences),
            algorithms: sorted(&spec.algorithms),
            orgs: sorted(&spec.orgs),
            org_claim: spec.org_claim.clone(),
        };
        if let Some(other) = self.resolved.issuers.insert(spec.issuer.clone(), issuer) {
            let (iss, other) = (&spec.issuer, other.name);
            self.report.error(
                &subject,
                "spec.issuer",
                format!("expected one resource for issuer `{iss}`, found also Issuer/{other}; merge them"),
            );
        }
    }

    pub(super) fn check_that_every_tenant_can_sign_in(&mut self) {
        let bound: BTreeSet<&TenantId> =
            self.resolved.issuers.values().flat_map(|issuer| &issuer.orgs).collect();
        for object in self.tenants.iter().filter(|(id, _)| !bound.contains(id)).map(|(_, it)| it) {
            self.report.warning(
                &Subject::new(Kind::Tenant, object),
                "metadata.name",
                "no issuer speaks for it, so nobody can sign in; name it in the `orgs` of an Issuer"
                    .to_owned(),
            );
        }
    }
}

/// An `@` could make what looks like a loopback host and port the name and password for another.
fn is_loopback(issuer: &str) -> bool {
    !issuer.contains('@')
        && ["http://127.0.0.1", "http://localhost", "http://[::1]"].iter().any(|host| {
            issuer
                .strip_prefix(host)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
        })
}
