//! What leaves: an answer, or a refusal as the one table of problems says it.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use hyper::body::{Body, Frame, SizeHint};
use serde::Serialize;
use tenancy::problem::{self, Problem};

use crate::protocol::Written;

/// How much of a body is JSON, where tensors stand behind it.
pub(crate) const JSON_LENGTH: HeaderName =
    HeaderName::from_static("inference-header-content-length");

pub(crate) type Answer = Response<AnswerBody>;

/// How soon it is worth trying again where nothing better is known.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Bytes, and trailers where the protocol has some.
#[derive(Debug, Default)]
pub(crate) struct AnswerBody {
    bytes: Bytes,
    trailers: Option<HeaderMap>,
}

impl AnswerBody {
    pub(crate) const fn with_trailers(bytes: Bytes, trailers: HeaderMap) -> Self {
        Self { bytes, trailers: Some(trailers) }
    }
}

impl<B: Into<Bytes>> From<B> for AnswerBody {
    fn from(bytes: B) -> Self {
        Self { bytes: bytes.into(), trailers: None }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !self.bytes.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.bytes)))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

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
        let mut answer = Answer::new(self.problem.body(&self.detail).into());
        *answer.status_mut() = StatusCode::from_u16(self.problem.status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(problem::CONTENT_TYPE));
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if self.problem.status() == 503 {
            retry_later(&mut answer);
        }
        answer
    }
}

/// Tells the receiver of `answer` when to try again.
pub(crate) fn retry_later<B>(answer: &mut Response<B>) {
    answer.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER.as_secs().into());
}

/// 200 with `value` as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<Answer, Refusal> {
    let body = serde_json::to_vec(value)
        .map_err(|error| Refusal::new(Problem::Internal, error.to_string()))?;
    Ok(typed(body, "application/json"))
}

/// 200 with an inference answer.
pub(crate) fn inference(Written { body, json_bytes }: Written) -> Answer {
    let Some(json_bytes) = json_bytes else { return typed(body, "application/json") };
    let mut answer = typed(body, "application/octet-stream");
    answer.headers_mut().insert(JSON_LENGTH, json_bytes.into());
    answer
}

/// 200 with a body of the type `content_type`.
pub(crate) fn typed(body: impl Into<AnswerBody>, content_type: &'static str) -> Answer {
    let mut answer = Answer::new(body.into());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
