//! The filters' code is fetched where xDS is, by its digest.
#![allow(clippy::unwrap_used)] // tests fail by panicking

mod setting;

use std::future::poll_fn;

use http_body_util::BodyExt as _;
use tenancy::Digest;
use tonic::{body::Body, client::GrpcService as _, codegen::http::Request, transport::Channel};

/// Status and body, over HTTP/2 as Envoy asks.
async fn get(channel: &mut Channel, digest: Digest) -> (u16, Vec<u8>) {
    let request = Request::get(format!("/v1/wasm/{digest}?stamp")).body(Body::empty()).unwrap();
    poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let answer = channel.call(request).await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.into_body().collect().await.unwrap().to_bytes().into())
}

#[tokio::test]
async fn proxies_fetch_code_at_the_xds_port() {
    let state = tempfile::tempdir().unwrap();
    let running = control_plane::start(setting::options(state.path())).await.unwrap();
    let endpoint = Channel::from_shared(format!("http://{}", running.grpc)).unwrap();
    let mut channel = endpoint.connect().await.unwrap();
    assert_eq!(get(&mut channel, Digest::of(b"gate")).await, (200, b"gate".to_vec()));
    assert_eq!(get(&mut channel, Digest::of(b"something else")).await.0, 404);
    drop(channel);
    running.stop().await.unwrap();
}
