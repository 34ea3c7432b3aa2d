//! Reading requests: what cannot be read is a problem that says what was expected.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request, rejection::JsonRejection},
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;

use super::problem::{Code, Problem};

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A JSON body. Fields that are not known are refused by the types read.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let read = Bytes::from_request(Request::from_parts(parts.clone(), body), state);
        let bytes = match tokio::time::timeout(BODY_TIMEOUT, read).await {
            Ok(bytes) => bytes.map_err(|error| refused(error.status(), &error.body_text()))?,
            Err(_) => {
                let late = format!(
                    "expected the whole body within {} s; send it again",
                    BODY_TIMEOUT.as_secs()
                );
                return Err(Problem::new(Code::Timeout, late));
            }
        };
        let request = Request::from_parts(parts, bytes.into());
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(error) => Err(refused(status_of(&error), &error.body_text())),
        }
    }
}

/// axum tells a body of another shape from one that is no JSON by 422; here 422 is for resources
/// with mistakes.
fn status_of(error: &JsonRejection) -> StatusCode {
    match error {
        JsonRejection::JsonDataError(_) => StatusCode::BAD_REQUEST,
        other => other.status(),
    }
}

/// The query of a URL.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(error) => Err(refused(StatusCode::BAD_REQUEST, &error.body_text())),
        }
    }
}

/// The variable parts of a path.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(error) => Err(refused(StatusCode::BAD_REQUEST, &error.body_text())),
        }
    }
}

fn refused(status: StatusCode, said: &str) -> Problem {
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        _ => Code::Malformed,
    };
    let mut said = said.to_owned();
    if let Some(first) = said.get(..1) {
        said = format!("{}{}", first.to_lowercase(), said.get(1..).unwrap_or_default());
    }
    Problem::new(code, said)
}
