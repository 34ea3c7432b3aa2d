//! What the interface answers where something is refused or fails.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use policy_model::diagnostic::Diagnostics;
use registry::{ApplyError, StorageError};
use serde_json::json;

/// A refusal or failure.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminError {
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    NotFound(String),
    #[error(transparent)]
    Refused(#[from] Diagnostics),
    #[error("{0}")]
    Conflict(String),
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

impl From<ApplyError> for AdminError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Refused(diagnostics) => Self::Refused(diagnostics),
            ApplyError::Stale { .. } => Self::Conflict(error.to_string()),
            other => Self::Failed(other.into()),
        }
    }
}

impl From<StorageError> for AdminError {
    fn from(error: StorageError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<anyhow::Error> for AdminError {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Failed(error) => {
                tracing::error!(error = format!("{error:#}"), "a request failed");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        let body = match &self {
            Self::Refused(Diagnostics(diagnostics)) => {
                json!({"error": self.to_string(), "diagnostics": diagnostics})
            }
            other => json!({"error": other.to_string()}),
        };
        (status, Json(body)).into_response()
    }
}
