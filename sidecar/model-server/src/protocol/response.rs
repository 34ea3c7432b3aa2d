//! What the protocol answers to everything but an inference request.

use inference::TensorSpec;
use serde::Serialize;
use tenancy::{ModelName, Version};

/// `GET /v2`
#[derive(Debug, Serialize)]
pub(crate) struct ServerMetadata {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) extensions: &'static [&'static str],
}

/// `GET /v2/health/live`
#[derive(Debug, Serialize)]
pub(crate) struct ServerLive {
    pub(crate) live: bool,
}

/// `GET /v2/health/ready`
#[derive(Debug, Serialize)]
pub(crate) struct ServerReady {
    pub(crate) ready: bool,
}

/// `GET /v2/models/{name}/ready`
#[derive(Debug, Serialize)]
pub(crate) struct ModelReady<'a> {
    pub(crate) name: &'a ModelName,
    pub(crate) ready: bool,
}

/// `GET /v2/models/{name}`
#[derive(Debug, Serialize)]
pub(crate) struct ModelMetadata<'a> {
    pub(crate) name: &'a ModelName,
    pub(crate) versions: Vec<Version>,
    pub(crate) platform: &'static str,
    pub(crate) inputs: &'a [TensorSpec],
    pub(crate) outputs: &'a [TensorSpec],
}
