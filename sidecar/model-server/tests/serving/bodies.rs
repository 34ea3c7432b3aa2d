//! Bodies that are too large are refused early and never held.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use reqwest::{Body, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::{
    INFER,
    node::{Home, Sidecar, answered, onnx},
    plane::{PATIENCE, Plane, model},
};

pub async fn small_limit() -> (Plane, Home, Sidecar) {
    let mut plane = Plane::start().await;
    let digest = plane.artifact(onnx("ua"));
    plane.assign("ua", "bridge", vec![model("air-time", "1", "m", digest, &["ua"])]);
    let home = Home { max_body_bytes: 1 << 20, ..Home::new() };
    let sidecar = home.start_ready(&plane).await;
    (plane, home, sidecar)
}

#[tokio::test]
async fn a_body_of_a_gigabyte_is_refused_before_a_byte_of_it_is_sent() {
    let (plane, _home, sidecar) = small_limit().await;
    let mut stream = UnixStream::connect(&sidecar.socket).await.unwrap();
    let head = format!(
        "POST {INFER} HTTP/1.1\r\nhost: sidecar\r\nx-bulkhead-passport: {}\r\n\
         content-length: 1000000000\r\n\r\n",
        plane.passport("ua")
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), "HTTP/1.1 413");
    drop(stream);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_body_of_unknown_length_is_read_no_further_than_its_limit() {
    let (plane, _home, sidecar) = small_limit().await;
    let sent_bytes = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent_bytes);
    let whole: u64 = 256 << 20;
    let chunks = (0..whole / 65_536).map(move |_| {
        counted.fetch_add(65_536, Ordering::Relaxed);
        Ok::<_, std::io::Error>(bytes::Bytes::from_static(&[b' '; 65_536]))
    });
    let body = Body::wrap_stream(tokio_stream::iter(chunks));
    let refused = answered(sidecar.infer(INFER, &plane.passport("ua")).body(body)).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"));
    assert!(sent_bytes.load(Ordering::Relaxed) < whole / 4, "{sent_bytes:?}");
    assert_eq!(sidecar.predict(INFER, &plane.passport("ua")).await.status, StatusCode::OK);
    sidecar.stop().await;
}
