//! The headers that an admitted request travels on with.

use policy_model::table::ArchivedTenantRow;
use tenancy::headers;

use super::Admission;
use crate::{Header, bearer};

/// What Envoy's router obeys: timeouts, retries, alternative hosts. A client sets none of them.
const ENVOY_PREFIX: &str = "x-envoy-";

/// The client's headers without those that are not the client's to set, and with the gate's own.
///
/// The customer's token stays here: behind the gate the passport is the only claim, and a node
/// that were broken into would hold no token that works at the customer's other services.
pub(super) fn onward<'a>(
    headers: &'a [Header],
    row: &'a ArchivedTenantRow,
    admission: &'a Admission,
) -> Vec<(&'a str, &'a [u8])> {
    let mut onward = Vec::with_capacity(headers.len().saturating_add(3));
    onward.extend(
        headers
            .iter()
            .filter(|(name, _)| travels_on(name))
            .map(|(name, value)| (name.as_str(), value.as_slice())),
    );
    onward.push((headers::PASSPORT, admission.passport.as_bytes()));
    onward.push((headers::CLUSTER, row.cluster.as_bytes()));
    onward.push((headers::REQUEST_ID, admission.request_id.as_bytes()));
    onward
}

fn travels_on(name: &str) -> bool {
    !(headers::is_internal(name.as_bytes())
        || starts_with(name, ENVOY_PREFIX)
        || name.eq_ignore_ascii_case(bearer::AUTHORIZATION))
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.as_bytes()
        .get(..prefix.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
}
