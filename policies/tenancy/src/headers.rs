//! The internal headers. The gate drops every inbound header that starts with [`PREFIX`], so
//! behind it a header of this name was set by Bulkhead.

/// What every internal header starts with.
pub const PREFIX: &str = "x-bulkhead-";

/// The passport: the internal signed claim that everything behind the gate trusts.
pub const PASSPORT: &str = "x-bulkhead-passport";

/// The cluster that the ingress routes to (Envoy's `cluster_header`).
pub const CLUSTER: &str = "x-bulkhead-cluster";

/// The request's id, a UUIDv7 that the gate makes. It becomes the id of the usage event, so a
/// request that is retried after a crash is metered once.
pub const REQUEST_ID: &str = "x-bulkhead-request-id";

/// What the customer's token travels in, as far as the ingress.
pub const AUTHORIZATION: &str = "authorization";

/// What the ingress's route takes away once it has followed it: the hop's own header, and the
/// customer's token. Behind the gate the passport is the only claim, and a node that were broken
/// into would hold no token that works at the customer's other services.
pub const STAY_AT_THE_INGRESS: [&str; 2] = [CLUSTER, AUTHORIZATION];

/// In answers, where the operator asks for it: the revision of the policy that decided.
pub const REVISION: &str = "x-bulkhead-revision";

/// In answers, where the operator asks for it: the check that denied.
pub const CHECK: &str = "x-bulkhead-check";

/// Whether `name` is an internal header, whatever its case.
pub fn is_internal(name: &[u8]) -> bool {
    name.get(..PREFIX.len()).is_some_and(|head| head.eq_ignore_ascii_case(PREFIX.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_internal_header_is_known_by_its_prefix_in_any_case() {
        assert!(is_internal(b"x-bulkhead-cluster"));
        assert!(is_internal(b"X-BULKHEAD-anything"));
        assert!(!is_internal(b"x-bulkhea"));
        assert!(!is_internal(b"x-request-id"));
    }
}
