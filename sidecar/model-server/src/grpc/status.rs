//! Denials as calls end with them: a status, what was expected and found as its message, and the
//! stable code and the time to wait beside it.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::frame::{CONTENT_TYPE, STATUS};
use crate::{
    answer::{self, Answer, AnswerBody, RETRY_AFTER},
    denial::Denial,
};

const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// The stable code of the problem or the check.
const CODE: HeaderName = HeaderName::from_static("x-bulkhead-code");
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// A call's status. Numbers as in <https://grpc.github.io/grpc/core/md_doc_statuscodes.html>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Status {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Status {
    /// The one that means what an HTTP status of the table of problems means. What another try
    /// would not mend is never `Unavailable`, on which clients try again.
    const fn of_http(status: u16) -> Self {
        match status {
            400 => Self::InvalidArgument,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::NotFound,
            405 => Self::Unimplemented,
            408 | 504 => Self::DeadlineExceeded,
            413 | 429 => Self::ResourceExhausted,
            502 => Self::FailedPrecondition,
            503 => Self::Unavailable,
            _ => Self::Internal,
        }
    }
}

/// How a call ends that is denied.
pub(crate) fn denied(denial: &Denial) -> Answer {
    let status = Status::of_http(denial.status());
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, HeaderValue::from(status as u16));
    trailers.insert(MESSAGE, message(denial.detail()));
    if let Ok(code) = HeaderValue::from_str(&denial.code()) {
        trailers.insert(CODE, code);
    }
    if status == Status::Unavailable {
        let wait_ms = u64::try_from(RETRY_AFTER.as_millis()).unwrap_or(u64::MAX);
        trailers.insert(PUSHBACK, wait_ms.into());
    }
    // Without a message, trailers are the only head.
    let mut answer = answer::typed(AnswerBody::default(), CONTENT_TYPE);
    answer.headers_mut().extend(trailers);
    answer
}

/// Text as `grpc-message` carries it: all but visible ASCII as `%` and two digits.
fn message(text: &str) -> HeaderValue {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | 0..=0x1f | 0x7f.. => encoded.push_str(&format!("%{byte:02X}")),
            visible => encoded.push(char::from(visible)),
        }
    }
    // It is all visible ASCII.
    HeaderValue::try_from(encoded).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use tenancy::problem::Problem;

    use super::*;
    use crate::answer::Refusal;

    #[test]
    fn a_denial_ends_the_call_with_its_status_message_and_code() {
        let denial = Denial::from(Refusal::new(Problem::UnknownModel, "none of 100 % é\n"));
        let answer = denied(&denial);
        let header = |name: &str| answer.headers().get(name).map(HeaderValue::as_bytes);
        assert_eq!(answer.status(), 200);
        assert_eq!(header("content-type"), Some(&b"application/grpc"[..]));
        assert_eq!(header("grpc-status"), Some(&b"5"[..]));
        assert_eq!(header("grpc-message"), Some(&b"none of 100 %25 %C3%A9%0A"[..]));
        assert_eq!(header("x-bulkhead-code"), Some(&b"unknown_model"[..]));
        assert_eq!(header("grpc-retry-pushback-ms"), None);
    }

    #[test]
    fn only_what_may_pass_by_itself_invites_to_try_again() {
        for problem in Problem::ALL {
            let answer = denied(&Denial::from(Refusal::new(*problem, "")));
            let again = answer.headers().contains_key("grpc-retry-pushback-ms");
            assert_eq!(again, problem.status() == 503, "{}", problem.code());
            assert_ne!(answer.headers()["grpc-status"], "2", "{}", problem.code());
        }
    }
}
