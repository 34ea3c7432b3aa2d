//! What checks at the recheck read.

use expression::{Value, Variables};
use policy_model::table::{ArchivedNodeTenantRow, ArchivedTierRow, NodeTable};

use crate::{
    Headers,
    request::{Request, borrowed},
    rows,
};

/// One request of one tenant, at this node.
pub(super) struct NodeVariables<'a> {
    request: Request<'a>,
    table: &'a NodeTable,
    tenant: &'a ArchivedNodeTenantRow,
    tier: Option<&'a ArchivedTierRow>,
    now: u64,
}

impl<'a> NodeVariables<'a> {
    /// `now` is in Unix nanoseconds.
    pub(super) fn new(
        headers: &'a Headers,
        table: &'a NodeTable,
        tenant: &'a ArchivedNodeTenantRow,
        now: u64,
    ) -> Self {
        let tier = tenant.tier().and_then(|tier| table.tier(tier));
        Self { request: Request::new(headers), table, tenant, tier, now }
    }

    fn tenant(&self, path: &str) -> Option<Value<'_>> {
        match path {
            "id" => Some(borrowed(&self.tenant.id)),
            "tier" => Some(borrowed(self.tenant.tier()?.as_str())),
            "labels" => Some(Value::map(&self.tenant.labels)),
            _ => None,
        }
    }

    fn node(&self, path: &str) -> Option<Value<'_>> {
        match path {
            "data_plane" => Some(borrowed(&self.table.data_plane)),
            "region" => rows::data_plane(self.table.plane(), "region"),
            _ => None,
        }
    }
}

impl Variables for NodeVariables<'_> {
    fn get(&self, path: &str) -> Option<Value<'_>> {
        match path.split_once('.') {
            None if path == "now" => Some(Value::Timestamp(self.now.into())),
            Some(("request", field)) => self.request.get(field),
            Some(("tenant", field)) => self.tenant(field),
            Some(("tier", field)) => rows::tier(self.tier, field),
            // A passport for this node is for its data plane: the tenant's is this one.
            Some(("data_plane", field)) => rows::data_plane(self.table.plane(), field),
            Some(("node", field)) => self.node(field),
            _ => None,
        }
    }
}
