//! The end of a sidecar.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::{
    INFER,
    node::flight,
    plane::{PATIENCE, until},
    three_tenants,
};

#[tokio::test]
async fn a_request_in_flight_is_answered_and_metered_before_the_end() {
    let (plane, _home, sidecar) = three_tenants().await;
    let body = flight().to_string();
    let (first, rest) = body.split_at(100);
    let mut stream = UnixStream::connect(&sidecar.socket).await.unwrap();
    let head = format!(
        "POST {INFER} HTTP/1.1\r\nhost: sidecar\r\nexpect: 100-continue\r\n\
         x-bulkhead-passport: {}\r\ncontent-length: {}\r\n\r\n",
        plane.passport("ua"),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // It says to go on once it reads the body, so the request is in flight.
    let mut go_on = [0; 25];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut go_on)).await.unwrap().unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(first.as_bytes()).await.unwrap();
    sidecar.end();
    until("the socket to go", || (!sidecar.socket.exists()).then_some(())).await;
    stream.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    sidecar.ended().await;
    assert_eq!(plane.held.lock().unwrap().events.len(), 1);
}
