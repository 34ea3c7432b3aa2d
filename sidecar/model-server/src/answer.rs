//! What leaves: an answer, or a refusal as the one table of problems says it.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;
use tenancy::problem::{self, Problem};

pub(crate) type Answer = Response<Full<Bytes>>;

/// How soon it is worth trying again where nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A request that is not answered. The text names nothing that the caller may not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) problem: Problem,
    pub(crate) detail: String,
    /// The methods that the path does answer to.
    pub(crate) allow: Option<&'static str>,
}

impl Refusal {
    pub(crate) fn new(problem: Problem, detail: impl Into<String>) -> Self {
        Self { problem, detail: detail.into(), allow: None }
    }

    pub(crate) fn into_answer(self) -> Answer {
        let mut answer = Response::new(Full::from(self.problem.body(&self.detail)));
        *answer.status_mut() = StatusCode::from_u16(self.problem.status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = answer.headers_mut();
        headers
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(problem::CONTENT_TYPE));
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, header::HeaderValue::from_static(allow));
        }
        if self.problem.status() == 503 {
            retry_later(&mut answer);
        }
        answer
    }
}

/// Tells the receiver of `answer` when to try again.
pub(crate) fn retry_later(answer: &mut Answer) {
    answer.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER.as_secs().into());
}

/// 200 with `value` as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<Answer, Refusal> {
    let body = serde_json::to_vec(value)
        .map_err(|error| Refusal::new(Problem::Internal, error.to_string()))?;
    Ok(json_bytes(body))
}

/// 200 with a body that is JSON already.
pub(crate) fn json_bytes(body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::from(body));
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    answer
}
