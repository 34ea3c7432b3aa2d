//! The server on each node: it answers the Open Inference Protocol v2, over REST and gRPC, for the
//! tenants that are assigned to its data plane, each with the models that are assigned to that tenant.
//!
//! A request is decided by two things alone: the verified passport, which says who asks, and the
//! assignment, which says what may answer. No header, path or body field beside them chooses a
//! tenant, a neighbour's model or a data plane. What is assigned comes from the control plane and
//! is kept on disk, so that a node starts and serves without it; a usage event is durable before
//! its answer leaves.
//!
//! This crate knows no quotas, rates or prices, never decides which model a tenant should have,
//! and holds no tenant's data beyond a request. Start with [`run`], then `server.rs` for the way
//! of a connection (`connections.rs`), `infer.rs` and `execute.rs` for the way of a prediction and `assignments/` for
//! what decides.

mod access;
mod admin;
mod answer;
mod artifacts;
mod assignments;
mod body;
mod checks;
mod clock;
mod codec;
mod compute;
mod connections;
mod decision;
mod denial;
mod execute;
mod grpc;
mod infer;
mod metrics;
mod models;
mod operators;
mod options;
mod passport_check;
mod protocol;
mod provenance;
mod repository;
mod routes;
mod server;
mod sockets;
mod statistics;
mod usage;
mod usage_log;

pub use decision::{Decisions, RefusedAssignment};
pub use gpu::Choice as DeviceChoice;
pub use operators::{OperatorDigest, OperatorDigestError};
pub use options::{
    Capacity, Listen, ListenError, NodeToken, NodeTokenError, Options, Order, OrderError,
};
/// Who runs where: for the thread that calls them, before [`run`].
pub use scheduler::{join_batch_plane, keep_on};
pub use server::{run, serve};
