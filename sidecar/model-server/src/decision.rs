//! What the checks decide on a request, without the server around it: for whoever plays promises
//! where no sidecar runs. It is decided by the very functions that the server calls.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{Response, request::Parts};
use policy_model::assignment::{
    NODE_ASSIGNMENT_TYPE, NodeAssignment, TENANT_ASSIGNMENT_TYPE, TenantAssignment,
};
use prost::Message as _;
use tenancy::{DataPlaneId, TenantId};

use crate::{
    access::Access,
    assignments::{AssignmentError, Table},
    denial::Denial,
    protocol::{ModelPath, Path},
    routes::check_method,
};

/// The decisions of a node's sidecar.
pub struct Decisions(Table);

/// An assignment that a sidecar refuses.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct RefusedAssignment(#[from] AssignmentError);

impl Decisions {
    /// Those of a node that is sent these assignments.
    ///
    /// # Errors
    /// Where a sidecar would refuse one of them.
    pub fn of(
        node: &NodeAssignment,
        tenants: &[TenantAssignment],
    ) -> Result<Self, RefusedAssignment> {
        let malformed = |error: tenancy::NameError| AssignmentError::Malformed {
            resource: node.data_plane.clone(),
            reason: error.to_string(),
        };
        let plane: DataPlaneId = node.data_plane.parse().map_err(malformed)?;
        let mut table = Table::default();
        table.hear(TENANT_ASSIGNMENT_TYPE);
        let bytes = node.encode_to_vec();
        table.upsert(NODE_ASSIGNMENT_TYPE, plane.as_str(), &bytes, &plane)?;
        for tenant in tenants {
            let bytes = tenant.encode_to_vec();
            table.upsert(TENANT_ASSIGNMENT_TYPE, &tenant.tenant, &bytes, &plane)?;
        }
        Ok(Self(table))
    }

    /// What a declared check answers to a request over REST at `now`, the time since 1970. Nothing
    /// where no check denies it: it is let on, or refused by what is built in. `counted` is told of
    /// each check in shadow that would have denied it.
    pub fn denial(
        &self,
        request: &Parts,
        now: Duration,
        counted: impl Fn(&str, &TenantId),
    ) -> Option<Response<Bytes>> {
        let path = Path::parse(request.uri.path())?;
        let Path::Model(ModelPath { name, version, .. }) = path else { return None };
        let access = Access::check(&self.0, &request.headers, now).ok()?;
        check_method(&path, &request.method).ok()?;
        match access.held(name, version.unwrap_or_default(), request, counted) {
            Err(Denial::Checked(denied)) => Some(denied.into_response()),
            Err(Denial::Refused(_)) | Ok(_) => None,
        }
    }
}

impl fmt::Debug for Decisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decisions").field("tenants", &self.0.tenants()).finish_non_exhaustive()
    }
}
