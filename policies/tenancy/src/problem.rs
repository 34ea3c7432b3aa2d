//! What a denial says: the one table from a cause to its status, code and title.
//!
//! The body is `application/problem+json` (RFC 9457) with two extension members: `code`, stable
//! and fit for a metric label, and `error`, the same text as `detail`, which is where clients of
//! the Open Inference Protocol look.

use serde::Serialize;

/// The media type of a problem body (RFC 9457).
pub const CONTENT_TYPE: &str = "application/problem+json";

macro_rules! problems {
    ($($(#[$doc:meta])* $variant:ident = $status:literal $code:literal $title:literal;)*) => {
        /// A cause of denial or failure, with its HTTP status, stable code and title.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Problem {
            $($(#[$doc])* $variant,)*
        }

        impl Problem {
            /// Every problem there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// The stable code, in snake case; never reused for another cause.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// A short title, the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

problems! {
    // Who is calling: decided by the gate.
    /// The request carries no credentials.
    MissingCredentials = 401 "missing_credentials" "No credentials";
    /// The bearer token is not a JWT that can be read.
    MalformedToken = 401 "malformed_token" "Malformed token";
    /// The token names an algorithm that its issuer is not allowed to use (`none` among them).
    AlgorithmNotAllowed = 401 "algorithm_not_allowed" "Algorithm not allowed";
    /// The token's `iss` is no issuer of this deployment.
    UnknownIssuer = 401 "unknown_issuer" "Unknown issuer";
    /// The token's `kid` is no key of its issuer.
    UnknownKey = 401 "unknown_key" "Unknown signing key";
    /// The signature does not verify.
    BadSignature = 401 "bad_signature" "Bad signature";
    /// The token's `exp` has passed, or it has none.
    TokenExpired = 401 "token_expired" "Token expired";
    /// The token's `nbf` or `iat` lies in the future.
    TokenNotYetValid = 401 "token_not_yet_valid" "Token not yet valid";
    /// The token's `aud` is not this deployment.
    WrongAudience = 401 "wrong_audience" "Wrong audience";
    /// The token carries no well-formed org claim.
    MissingOrg = 403 "missing_org" "No organisation in the token";
    /// The token's issuer is not bound to the org that the token names.
    OrgNotBound = 403 "org_not_bound_to_issuer" "Issuer does not speak for this organisation";
    /// The org is no tenant of this deployment.
    UnknownTenant = 403 "unknown_tenant" "Unknown tenant";
    /// The tenant is suspended.
    TenantSuspended = 403 "tenant_suspended" "Tenant suspended";
    /// The tenant's rate limit is used up.
    RateLimited = 429 "rate_limited" "Rate limit exceeded";
    /// The gate holds no usable tenant table or passport key.
    PolicyUnavailable = 503 "policy_unavailable" "No policy in force";

    // Whether this node may serve: decided by the recheck and by the sidecar.
    /// The request carries no passport.
    PassportMissing = 403 "passport_missing" "No passport";
    /// The passport cannot be read or its signature does not verify.
    PassportInvalid = 403 "passport_invalid" "Invalid passport";
    /// The passport has expired.
    PassportExpired = 403 "passport_expired" "Passport expired";
    /// The passport is for another data plane than this node's.
    WrongDataPlane = 403 "wrong_data_plane" "Not this tenant's data plane";

    // What is asked for: decided by the sidecar.
    /// There is nothing at this path.
    NotFound = 404 "not_found" "Not found";
    /// The path does not answer to this method.
    MethodNotAllowed = 405 "method_not_allowed" "Method not allowed";
    /// The tenant has no model of this name or version.
    UnknownModel = 404 "unknown_model" "Unknown model";
    /// The body is not what the protocol asks for.
    InvalidRequest = 400 "invalid_request" "Invalid request";
    /// An input that the model needs is missing.
    MissingInput = 400 "missing_input" "Missing input";
    /// The request names an input or output that the model does not have.
    UnknownInput = 400 "unknown_input" "Unknown input or output";
    /// An input's datatype is not the model's.
    WrongDatatype = 400 "wrong_datatype" "Wrong datatype";
    /// An input's shape does not fit the model or its data.
    BadShape = 400 "bad_shape" "Bad shape";
    /// The body is larger than is accepted.
    BodyTooLarge = 413 "body_too_large" "Body too large";
    /// The request's body did not arrive in time.
    RequestTimeout = 408 "request_timeout" "Request timed out";

    // What failed behind it.
    /// The model's file does not have the digest that the registry says.
    DigestMismatch = 502 "artifact_digest_mismatch" "Model artifact refused";
    /// The model was trained on data that this tenant's model must not have seen.
    ProvenanceMismatch = 502 "provenance_mismatch" "Model provenance refused";
    /// The model is assigned but cannot be served yet.
    ModelUnavailable = 503 "model_unavailable" "Model not available";
    /// The node has more work than it may queue.
    Overloaded = 503 "overloaded" "Overloaded";
    /// The node cannot answer before the request's deadline.
    DeadlineExceeded = 504 "deadline_exceeded" "Deadline cannot be met";
    /// The usage event could not be made durable, so the answer was withheld.
    MeteringUnavailable = 503 "metering_unavailable" "Metering not available";
    /// The model failed on this input.
    InferenceFailed = 500 "inference_failed" "Inference failed";
    /// Something failed that should not.
    Internal = 500 "internal" "Internal error";
}

/// A problem as it is sent: one of the table's, or a check's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Details<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: &'a str,
    /// The title, the same for every occurrence.
    pub title: &'a str,
    /// What was expected, what was found and what to do. It must name nothing that the caller may
    /// not know.
    pub detail: &'a str,
    /// The check that denied.
    pub check: Option<&'a str>,
    /// The revision of the policy that was in force.
    pub revision: Option<&'a str>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<&'a str>,
}

impl Details<'_> {
    /// The JSON body.
    pub fn to_json(&self) -> String {
        let Self { status, code, title, detail, check, revision } = *self;
        let r#type = match check {
            Some(check) => format!("urn:bulkhead:check:{check}"),
            None => format!("urn:bulkhead:problem:{code}"),
        };
        let body = Body { r#type, title, status, detail, code, error: detail, check, revision };
        // Only maps with non-string keys and failing Serialize impls make this fail: there are none.
        serde_json::to_string(&body).unwrap_or_default()
    }
}

impl Problem {
    /// The problem with `detail`, which says what was expected, what was found and what to do; it
    /// must name nothing that the caller may not know.
    pub const fn details(self, detail: &str) -> Details<'_> {
        Details {
            status: self.status(),
            code: self.code(),
            title: self.title(),
            detail,
            check: None,
            revision: None,
        }
    }

    /// The JSON body with `detail`, as [`Problem::details`].
    pub fn body(self, detail: &str) -> String {
        self.details(detail).to_json()
    }

    /// The problem with this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|problem| problem.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_statuses_are_errors() {
        let codes: BTreeSet<_> = Problem::ALL.iter().map(|p| p.code()).collect();
        assert_eq!(codes.len(), Problem::ALL.len());
        assert!(Problem::ALL.iter().all(|p| (400..600).contains(&p.status())));
    }

    #[test]
    fn a_body_carries_the_members_of_rfc_9457_and_of_the_inference_protocol() {
        let body: serde_json::Value =
            serde_json::from_str(&Problem::RateLimited.body("say \"later\"")).unwrap_or_default();
        assert_eq!(body["type"], "urn:bulkhead:problem:rate_limited");
        assert_eq!(body["status"], 429);
        assert_eq!(body["detail"], "say \"later\"");
        assert_eq!(body["error"], body["detail"]);
        assert_eq!(body.get("check"), None);
        assert_eq!(Problem::from_code("rate_limited"), Some(Problem::RateLimited));
    }

    #[test]
    fn a_checks_denial_names_the_check_and_the_policy_in_force() {
        let denial = Details {
            status: 403,
            code: "token_too_old",
            title: "Denied by policy",
            detail: "the token is older than an hour",
            check: Some("token-age"),
            revision: Some("0123456789abcdef"),
        };
        let body: serde_json::Value = serde_json::from_str(&denial.to_json()).unwrap_or_default();
        assert_eq!(body["type"], "urn:bulkhead:check:token-age");
        assert_eq!((&body["code"], &body["check"]), (&"token_too_old".into(), &"token-age".into()));
        assert_eq!(body["revision"], "0123456789abcdef");
    }
}
