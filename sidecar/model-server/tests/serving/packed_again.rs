//! A node whose processor a package has no panels for.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use inference::{Pack, cpu::lanes, pack};

use crate::{
    INFER,
    node::{Home, expected_air_time, onnx},
    plane::{Plane, model, until},
    sharing::{metric, with_metrics},
};

/// The package's kernels add up in another order than those of the ONNX file.
const TOLERANCE: f32 = 0.01;

fn made(home: &Home) -> Vec<PathBuf> {
    let files = fs::read_dir(home.path().join("state/artifacts/derived")).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

fn identity(path: &Path) -> (u64, i64, i64) {
    let it = fs::metadata(path).unwrap();
    (it.ino(), it.mtime(), it.mtime_nsec())
}

#[tokio::test]
async fn its_panels_are_packed_once_for_the_node_and_go_with_the_package() {
    let mut plane = Plane::start().await;
    let options = Pack { lanes: vec![lanes() / 2], ..Pack::default() };
    let bytes = pack(&onnx("ua"), &options).unwrap().bytes;
    let package_bytes = bytes.len() as u64;
    let package = plane.artifact(bytes);
    plane.assign("ua", "bridge", vec![model("air-time", "1", "m", package, &["ua"])]);
    let passport = plane.passport("ua");
    let expected = expected_air_time("ua");
    let (home, sidecar, metrics) = with_metrics(&plane).await;
    let found = sidecar.predict(INFER, &passport).await.air_time();
    assert!((found - expected).abs() < TOLERANCE, "{found} and by the ONNX file {expected}");
    let files = made(&home);
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let first = identity(file);
    let mapped = metric(&metrics, "bulkhead_sidecar_model_mapped_bytes").await;
    assert_eq!(mapped as u64, package_bytes + fs::metadata(file).unwrap().len());
    sidecar.stop().await;

    let sidecar = home.start_ready(&plane).await;
    assert_eq!(sidecar.predict(INFER, &passport).await.air_time(), found);
    assert_eq!(identity(file), first, "it was packed once more");

    let other = plane.artifact(onnx("b6"));
    plane.assign("ua", "bridge", vec![model("air-time", "2", "m", other, &["ua"])]);
    plane.push().await;
    until("what was made of the package to go", || made(&home).is_empty().then_some(())).await;
    assert_eq!(sidecar.predict(INFER, &passport).await.air_time(), expected_air_time("b6"));
    sidecar.stop().await;
}
