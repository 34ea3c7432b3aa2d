//! The meter's promises, kept against real processes, real disks and real connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod crash;
mod receiver;
mod shipping;

use metering::UsageEvent;
use uuid::Uuid;

/// An event with an id of its own.
fn event(id: Uuid) -> UsageEvent {
    UsageEvent {
        id,
        tenant: "org_dl".parse().unwrap(),
        metric: UsageEvent::PREDICTION_ROWS.to_owned(),
        quantity: 1 + id.as_u128() as u64 % 64,
        model: "air-time".parse().unwrap(),
        version: "3".parse().unwrap(),
        data_plane: "shared-1".parse().unwrap(),
        region: "eu-central".to_owned(),
        timestamp: 1_795_000_000_000_000,
        latency: 900,
    }
}

fn client() -> reqwest::Client {
    // Fails where another test has installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().build().unwrap()
}
