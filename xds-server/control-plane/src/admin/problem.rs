//! What the interface answers where something is refused or fails: `application/problem+json`
//! (RFC 9457), with a stable `code`.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use policy_model::diagnostic::Diagnostics;
use registry::{ApplyError, PastError, StorageError};
use serde::Serialize;
use tenancy::problem::CONTENT_TYPE;
use utoipa::ToSchema;

use super::{guard::REQUEST_ID, wire};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $status:literal $code:literal $title:literal;)*) => {
        /// Why a request was refused or failed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code there is.
            #[cfg(test)]
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The HTTP status.
            pub(super) const fn status(self) -> StatusCode {
                match self { $(Self::$variant => match StatusCode::from_u16($status) {
                    Ok(status) => status,
                    Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
                },)* }
            }

            /// The stable code; never reused for another cause.
            pub(super) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// A short title, the same for every occurrence.
            pub(super) const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

codes! {
    /// The request cannot be read.
    Malformed = 400 "malformed_request" "Malformed request";
    /// An artifact is not what its digest says.
    DigestMismatch = 400 "digest_mismatch" "Other bytes than the digest says";
    /// Nobody's token, or none.
    Unauthenticated = 401 "operator_unauthenticated" "No operator";
    /// The operator's role may not do this.
    Forbidden = 403 "operator_forbidden" "Not allowed for this role";
    /// The request did not come to an address of this machine by its name.
    ForeignHost = 403 "foreign_host" "Not addressed to this machine";
    /// A web page of another origin sent the request.
    ForeignOrigin = 403 "foreign_origin" "Sent by a web page";
    /// There is no such thing.
    NotFound = 404 "not_found" "Not found";
    /// There is no such method at this path.
    MethodNotAllowed = 405 "method_not_allowed" "Method not allowed";
    /// The body did not arrive in time.
    Timeout = 408 "request_timeout" "Request timed out";
    /// Somebody changed something since the caller looked.
    Stale = 409 "stale_change" "Changed since you looked";
    /// A change is being tried on some proxies.
    CanaryRunning = 409 "canary_running" "A canary is under way";
    /// A proxy refused the change that it tried.
    CanaryRefused = 409 "canary_refused" "A canary refused the change";
    /// A proxy did not say in time whether it takes the change.
    CanaryUnanswered = 409 "canary_unanswered" "A canary did not answer";
    /// No connected proxy is meant.
    CanaryNobody = 409 "canary_nobody" "No such proxy is connected";
    /// The body is too large.
    TooLarge = 413 "body_too_large" "Body too large";
    /// The body is not JSON.
    UnsupportedMediaType = 415 "unsupported_media_type" "Body is not JSON";
    /// The resources have mistakes.
    Invalid = 422 "invalid_resources" "Resources refused";
    /// The resources are sound but do not fit into what proxies take.
    TableRefused = 422 "table_refused" "Resources do not fit into a table";
    /// The earlier state does not compile by today's rules.
    Outdated = 422 "outdated_revision" "Earlier state no longer compiles";
    /// Something failed that should not.
    Internal = 500 "internal" "Internal error";
    /// There are too many requests at once.
    Overloaded = 503 "overloaded" "Overloaded";
    /// The answer took too long.
    TimedOut = 504 "timed_out" "Took too long";
}

/// A refusal or failure, and what it says beyond its code.
#[derive(Debug)]
pub(super) struct Problem {
    code: Code,
    detail: String,
    /// Boxed, for most problems have none of them.
    members: Box<Members>,
}

/// Members of some problems.
#[derive(Debug, Default, Clone, Serialize, ToSchema)]
pub(super) struct Members {
    /// `invalid_resources`, `outdated_revision`: every mistake, with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<wire::DiagnosticSchema>)]
    pub(super) diagnostics: Vec<policy_model::diagnostic::Diagnostic>,
    /// `stale_change`: the newest change set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seq: Option<u64>,
    /// `stale_change`: who changed what since the caller looked, in words, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) diff: Vec<String>,
    /// `canary_refused`: which proxy refused what, in its words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) refusals: Vec<wire::ProxyRefusal>,
    /// `canary_unanswered`: who did not answer; `canary_nobody`: who is connected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) proxies: Vec<String>,
}

/// A problem as it is sent (RFC 9457).
#[derive(Serialize, ToSchema)]
pub(super) struct ProblemBody {
    /// `urn:bulkhead:problem:` and the code.
    r#type: String,
    /// A short title, the same for every occurrence.
    title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What was expected, what was found and what to do.
    detail: String,
    /// The stable code.
    code: String,
    /// The request: `urn:uuid:` and the id that the answer's `x-request-id` and the server's log
    /// name.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(flatten)]
    members: Members,
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), members: Box::default() }
    }

    pub(super) fn with(self, members: Members) -> Self {
        Self { members: Box::new(members), ..self }
    }

    pub(super) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        let detail = "something failed here; the server's log says what, under the request id";
        Self::new(Code::Internal, detail)
    }

    pub(super) fn code(&self) -> Code {
        self.code
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { code, detail, members } = self;
        let body = ProblemBody {
            r#type: format!("urn:bulkhead:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status().as_u16(),
            detail,
            code: code.as_str().to_owned(),
            instance: REQUEST_ID.try_with(|id| format!("urn:uuid:{id}")).ok(),
            members: *members,
        };
        // Only maps with other keys than text make this fail: there are none.
        let text = serde_json::to_string(&body).unwrap_or_default();
        let mut response = (code.status(), text).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        match code {
            // RFC 6750, section 3.
            Code::Unauthenticated => {
                let challenge = HeaderValue::from_static("Bearer realm=\"bulkhead\"");
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            Code::Overloaded => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

impl From<Diagnostics> for Problem {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::new(Code::Invalid, diagnostics.to_string())
            .with(Members { diagnostics: diagnostics.0, ..Members::default() })
    }
}

impl From<ApplyError> for Problem {
    fn from(error: ApplyError) -> Self {
        let detail = error.to_string();
        match error {
            ApplyError::Refused(diagnostics) => diagnostics.into(),
            ApplyError::Stale { found, since, .. } => {
                let diff = since.iter().flat_map(wire::in_words).collect();
                Self::new(Code::Stale, detail).with(Members {
                    seq: Some(found),
                    diff,
                    ..Members::default()
                })
            }
            ApplyError::Ahead { found, .. } => Self::new(Code::Stale, detail)
                .with(Members { seq: Some(found), ..Members::default() }),
            ApplyError::NotFound { .. } => Self::new(Code::NotFound, detail),
            ApplyError::Outdated { diagnostics, .. } => Self::new(Code::Outdated, detail)
                .with(Members { diagnostics: diagnostics.0, ..Members::default() }),
            ApplyError::Past(error) => error.into(),
            ApplyError::NothingToKeep | ApplyError::Actor { .. } | ApplyError::Message { .. } => {
                Self::new(Code::Malformed, detail)
            }
            ApplyError::Storage(error) => error.into(),
        }
    }
}

impl From<PastError> for Problem {
    fn from(error: PastError) -> Self {
        let detail = error.to_string();
        match error {
            PastError::NoEntry { .. } | PastError::NoRevision { .. } => {
                Self::new(Code::NotFound, detail)
            }
            PastError::Ambiguous { .. } => Self::new(Code::Malformed, detail),
            PastError::Unreadable { .. } => Self::new(Code::Outdated, detail),
            PastError::Storage(error) => error.into(),
        }
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        Self::internal(&error)
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        Self::internal(&format!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_statuses_are_errors() {
        let codes: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| (400..600).contains(&code.status().as_u16())));
    }
}
