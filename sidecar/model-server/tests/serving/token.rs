//! A control plane that knows its nodes by their tokens.

use model_server::NodeToken;
use reqwest::StatusCode;

use crate::{
    INFER,
    node::{Home, onnx},
    plane::{Plane, model},
};

#[tokio::test]
async fn a_sidecar_shows_its_token_for_artifacts_and_for_usage() {
    let mut plane = Plane::start().await;
    plane.held.lock().unwrap().token = Some("node-secret".to_owned());
    let artifact = plane.artifact(onnx("ua"));
    plane.assign("ua", "bridge", vec![model("air-time", "1", "air-time-ua", artifact, &["ua"])]);
    let token: NodeToken = "node-secret".parse().unwrap();
    assert!(!format!("{token:?}").contains("secret"));
    let home = Home { token: Some(token), ..Home::new() };
    let sidecar = home.start_ready(&plane).await;
    let answer = sidecar.predict(INFER, &plane.passport("ua")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(plane.events(1).await.len(), 1);
    sidecar.stop().await;
}

#[test]
fn what_no_header_can_carry_is_no_token() {
    for wrong in ["", "a b", "a\nb", "ü", " a", "a\t"] {
        assert!(wrong.parse::<NodeToken>().is_err(), "{wrong:?}");
    }
}
