//! Models that there is no room for stay mapped, as many as the sidecar is told.

use inference::{Pack, pack};
use model_server::Capacity;

use crate::{
    INFER,
    node::onnx,
    plane::{Plane, model},
    sharing::{metric, with_capacity},
};

/// Two tenants ask in turn for models of which one has room; how often a model was loaded, and how often
/// found again.
async fn loads_and_revivals(cold_models: usize) -> (f64, f64) {
    const TENANTS: [&str; 2] = ["ua", "b6"];
    let mut plane = Plane::start().await;
    let packages = TENANTS.map(|name| pack(&onnx(name), &Pack::default()).unwrap().bytes);
    let mapped_bytes = packages.iter().map(Vec::len).max().unwrap() as u64;
    for (tenant, package) in TENANTS.into_iter().zip(packages) {
        let digest = plane.artifact(package);
        plane.assign(tenant, "bridge", vec![model("air-time", "1", tenant, digest, &[tenant])]);
    }
    let capacity = Capacity { mapped_bytes, cold_models, ..Capacity::default() };
    let (_home, sidecar, metrics) = with_capacity(&plane, capacity).await;
    let mut answers = vec![];
    for tenant in ["ua", "b6", "ua", "b6"] {
        answers.push(sidecar.predict(INFER, &plane.passport(tenant)).await.air_time());
    }
    assert_eq!(answers[..2], answers[2..]);
    let [loads, revivals] =
        ["bulkhead_sidecar_model_loads_total", "bulkhead_sidecar_model_revivals_total"];
    let found = (metric(&metrics, loads).await, metric(&metrics, revivals).await);
    sidecar.stop().await;
    found
}

#[tokio::test]
async fn a_model_that_goes_for_lack_of_room_is_found_again_where_it_may_stay_mapped() {
    let (loads, revivals) = loads_and_revivals(1).await;
    assert_eq!(loads, 2.0);
    assert!(revivals >= 1.0, "{revivals}");
}

#[tokio::test]
async fn none_stays_mapped_where_the_sidecar_is_told_so() {
    // What has room may be loaded before anybody asks, too.
    let (loads, revivals) = loads_and_revivals(0).await;
    assert!(loads >= 3.0, "{loads}");
    assert_eq!(revivals, 0.0);
}
