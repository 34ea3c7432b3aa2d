//! What the end-to-end tests share. Every proxy in them is a real Envoy.
//!
//! Two set-ups: [`edge::Edge`] is a control plane in this process with an ingress and nodes whose
//! sidecars are an [`echo`], so that a test can see what arrives and can push whatever it likes;
//! `devstack`'s `Stack` is the whole deployment as it ships. [`caller`] and [`load`] are the
//! clients of both.

pub mod caller;
pub mod echo;
pub mod edge;
pub mod example;
pub mod ledger;
pub mod load;
pub mod planted;
pub mod raw_http;
pub mod resources;
pub mod scenario_runner;
pub mod secrets;
pub mod tenant;
