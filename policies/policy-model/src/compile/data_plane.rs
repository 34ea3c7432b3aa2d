//! Data planes.

use std::net::SocketAddr;

use tenancy::{DataPlaneId, Tier};

use super::{Compiler, Subject, serving};
use crate::{
    resolved::{DataPlane, Serves},
    spec::{DataPlaneSpec, Kind, Object},
};

/// The longest name of a region, in bytes: it is in every usage event.
const MAX_REGION_BYTES: usize = 64;

impl Compiler<'_> {
    pub(super) fn resolve_data_plane(&mut self, id: DataPlaneId, object: &Object<DataPlaneSpec>) {
        let subject = Subject::new(Kind::DataPlane, object);
        let spec = &object.spec;
        let length = spec.region.len();
        if spec.region.is_empty() || length > MAX_REGION_BYTES {
            let message =
                format!("expected a region of 1 to {MAX_REGION_BYTES} bytes, found {length}");
            self.report.error(&subject, "spec.region", message);
        }
        let serves = match (&spec.exclusive_to, spec.tiers.as_slice()) {
            (Some(tenant), [Tier::Silo]) => Serves::Only(tenant.clone()),
            (None, tiers) if !tiers.is_empty() && !tiers.contains(&Tier::Silo) => Serves::Shared,
            _ => {
                self.report.error(&subject, "spec.tiers", "expected either `tiers: [silo]` with `exclusiveTo: <tenant>`, or tiers of `pool` and `bridge` without it: a silo's nodes are shared with nobody".to_owned());
                return;
            }
        };
        let mut endpoints: Vec<SocketAddr> =
            spec.endpoints.iter().map(|e| SocketAddr::new(e.address, e.port)).collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        let (region, labels) = (spec.region.clone(), object.metadata.labels.clone());
        let serving =
            serving::serving(&mut self.report, &subject, spec.serving.unwrap_or_default());
        let plane = DataPlane { id: id.clone(), region, serves, endpoints, serving, labels };
        self.resolved.data_planes.insert(id, plane);
    }
}
