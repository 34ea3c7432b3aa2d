//! The promises of a sidecar, with a control plane and real models around it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod adapters;
mod assignments;
mod binary;
mod bodies;
mod checks;
mod cold;
mod device;
mod grpc;
mod http2;
mod isolation;
mod metering;
mod node;
mod packed_again;
mod plane;
mod protocol;
mod provenance;
mod repository;
mod sharing;
mod shutdown;
mod streams;
mod token;
mod waiting;

use node::{Home, Sidecar, onnx};
use plane::{Plane, model};

const INFER: &str = "/v2/models/air-time/infer";

/// A node that serves three tenants: `ua` and `aa` with a model of their own each, `dl` with the
/// pooled one.
async fn three_tenants() -> (Plane, Home, Sidecar) {
    let mut plane = Plane::start().await;
    let [ua, aa, pooled] = ["ua", "aa", "pooled"].map(|name| plane.artifact(onnx(name)));
    plane.assign("ua", "bridge", vec![model("air-time", "ua-1", "air-time-ua", ua, &["ua"])]);
    let aa = vec![
        model("air-time", "aa-1", "air-time-aa", aa, &["aa"]),
        model("secret", "aa-2", "air-time-aa", aa, &["aa"]),
    ];
    plane.assign("aa", "bridge", aa);
    let pooled = model("air-time", "1", "air-time-pooled", pooled, &["aa", "dl", "ua"]);
    plane.assign("dl", "pool", vec![pooled]);
    let home = Home::new();
    let sidecar = home.start_ready(&plane).await;
    (plane, home, sidecar)
}
