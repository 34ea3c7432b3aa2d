//! The headers that an admitted request travels on with.

use policy_model::table::ArchivedTenantRow;
use tenancy::headers;

use super::Admission;
use crate::Headers;

/// What Envoy's router obeys: timeouts, retries, alternative hosts. A client sets none of them.
const ENVOY_PREFIX: &str = "x-envoy-";

/// Where the request came from. An ingress sets it itself, over whatever the client said, and it
/// steers nothing; to take it away would be one host call more for every request.
const EXTERNAL_ADDRESS: &str = "x-envoy-external-address";

/// The names of the client's headers that are not the client's to set, each once.
///
/// The customer's token is not among them though it does not travel on: each request has one, so
/// the route takes it away ([`headers::STAY_AT_THE_INGRESS`]), which costs next to nothing.
pub(super) fn withheld(headers: &Headers) -> Vec<&str> {
    headers.names(|name| !travels_on(name))
}

/// The gate's own headers.
pub(super) fn added<'a>(
    row: &'a ArchivedTenantRow,
    admission: &'a Admission,
) -> [(&'static str, &'a [u8]); 3] {
    [
        (headers::PASSPORT, admission.passport.as_bytes()),
        (headers::CLUSTER, row.cluster.as_bytes()),
        (headers::REQUEST_ID, admission.request_id.as_bytes()),
    ]
}

fn travels_on(name: &[u8]) -> bool {
    !(headers::is_internal(name)
        || (starts_with(name, ENVOY_PREFIX)
            && !name.eq_ignore_ascii_case(EXTERNAL_ADDRESS.as_bytes())))
}

fn starts_with(name: &[u8], prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
}
