//! A node with a device: what is answered is what the CPU answers, and what is there is told.

use std::time::{Duration, Instant};

use inference::{Pack, pack};

use crate::{
    INFER,
    node::{Home, expected_air_time, onnx},
    plane::{Plane, model},
    sharing::metric,
};

/// For what a device does that computes on a processor with other work.
const LONG: Duration = Duration::from_secs(300);

/// Kernels add up in other orders.
const TOLERANCE: f32 = 0.01;

/// The device that Mesa's driver makes of the CPU.
fn llvmpipe() -> Option<model_server::DeviceChoice> {
    let found = gpu::adapters().into_iter().find(|it| it.name.contains("llvmpipe"));
    if found.is_none() {
        eprintln!(
            "SKIPPED: expected the Vulkan device llvmpipe, found none (Debian: mesa-vulkan-drivers)"
        );
    }
    found.map(|it| model_server::DeviceChoice::Index(it.index))
}

#[tokio::test]
async fn a_model_is_brought_to_the_device_and_answered_as_by_the_cpu_wherever_it_is() {
    let Some(device) = llvmpipe() else { return };
    let mut plane = Plane::start().await;
    let package = plane.artifact(pack(&onnx("ua"), &Pack::default()).unwrap().bytes);
    plane.assign("ua", "bridge", vec![model("air-time", "1", "m", package, &["ua"])]);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let home = Home { metrics: Some(free), device, ..Home::new() };
    let sidecar = home.start_ready(&plane).await;
    let metrics = format!("http://{free}/metrics");
    let (expected, from) = (expected_air_time("ua"), Instant::now());
    let mut answered = 0;
    loop {
        let found = sidecar.predict(INFER, &plane.passport("ua")).await.air_time();
        assert!((found - expected).abs() < TOLERANCE, "{found}");
        answered += 1;
        let brought = metric(&metrics, "bulkhead_sidecar_device_brought_total").await;
        assert_eq!(metric(&metrics, "bulkhead_sidecar_device_refused_total").await, 0.0);
        // Some more after it was brought, which are answered wherever it was measured to be faster.
        if brought >= 1.0 && answered > 20 {
            break;
        }
        assert!(from.elapsed() < LONG, "it is not brought");
    }
    assert!(metric(&metrics, "bulkhead_sidecar_device_budget_bytes").await > 0.0);
    // A tenant without models leaves nothing there.
    plane.assign("ua", "bridge", vec![]);
    plane.push().await;
    let mut left = f64::MAX;
    while left > 0.0 {
        assert!(from.elapsed() < 2 * LONG, "{left} bytes are left");
        left = metric(&metrics, "bulkhead_sidecar_device_bytes").await;
    }
    sidecar.stop().await;
    assert!(gpu::driver_threads_end_within(LONG), "one is left");
}

#[tokio::test]
async fn a_device_that_is_named_and_not_there_stops_the_start() {
    let plane = Plane::start().await;
    let home = Home { device: "no such device".parse().unwrap(), ..Home::new() };
    let options = home.options(&plane, false);
    let refused = model_server::serve(options, std::future::pending()).await.unwrap_err();
    assert!(format!("{refused:#}").contains("no such device"), "{refused:#}");
}
