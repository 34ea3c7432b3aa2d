//! What checks at the gate read.

use expression::{Value, Variables};
use policy_model::table::{ArchivedDataPlaneRow, ArchivedTenantRow, ArchivedTierRow, GateTable};

use super::identity::Token;
use crate::{
    Headers,
    request::{Request, borrowed},
    rows,
};

/// One request of one caller, under one table.
pub(super) struct GateVariables<'a> {
    request: Request<'a>,
    token: Option<&'a Token>,
    expires_at: u64,
    tenant: &'a ArchivedTenantRow,
    tier: Option<&'a ArchivedTierRow>,
    data_plane: Option<&'a ArchivedDataPlaneRow>,
    now: u64,
}

impl<'a> GateVariables<'a> {
    /// `now` is in Unix nanoseconds, `expires_at` (the token's `exp`) in Unix seconds.
    pub(super) fn new(
        headers: &'a Headers,
        (token, expires_at): (Option<&'a Token>, u64),
        table: &'a GateTable,
        tenant: &'a ArchivedTenantRow,
        now: u64,
    ) -> Self {
        Self {
            request: Request::new(headers),
            token,
            expires_at,
            tenant,
            tier: tenant.tier().and_then(|tier| table.tier(tier)),
            data_plane: table.data_plane(&tenant.data_plane),
            now,
        }
    }

    fn tenant(&self, path: &str) -> Option<Value<'_>> {
        match path {
            "id" => Some(borrowed(&self.tenant.id)),
            "tier" => Some(borrowed(self.tenant.tier()?.as_str())),
            "labels" => Some(Value::map(&self.tenant.labels)),
            _ => None,
        }
    }

    fn token(&self, path: &str) -> Option<Value<'_>> {
        if path == "expires_at" {
            return Some(unix(self.expires_at));
        }
        let token = self.token?;
        match path {
            "issuer" => Some(borrowed(&token.issuer)),
            "algorithm" => Some(borrowed(&token.algorithm)),
            "key_id" => Some(borrowed(&token.key_id)),
            "issued_at" => token.issued_at.map(unix),
            _ => None,
        }
    }
}

impl Variables for GateVariables<'_> {
    fn get(&self, path: &str) -> Option<Value<'_>> {
        match path.split_once('.') {
            None if path == "now" => Some(Value::Timestamp(self.now.into())),
            None if path == "claims" => self.token.map(|token| Value::map(&token.claims)),
            Some(("request", field)) => self.request.get(field),
            Some(("token", field)) => self.token(field),
            Some(("tenant", field)) => self.tenant(field),
            Some(("tier", field)) => rows::tier(self.tier, field),
            Some(("data_plane", field)) => rows::data_plane(self.data_plane, field),
            _ => None,
        }
    }
}

fn unix(seconds: u64) -> Value<'static> {
    Value::Timestamp(i128::from(seconds) * 1_000_000_000)
}
