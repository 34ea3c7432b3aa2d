//! The end of a sidecar.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use reqwest::StatusCode;

use crate::{
    INFER,
    node::{Home, flight, onnx, plain_client},
    plane::{PATIENCE, PLANE, Plane, model, until},
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

#[tokio::test]
async fn one_that_ends_says_so_while_it_answers_what_is_in_flight() {
    let mut plane = Plane::start().await;
    let digest = plane.artifact(onnx("ua"));
    plane.assign("ua", "bridge", vec![model("air-time", "1", "m", digest, &["ua"])]);
    let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let home = Home { metrics: Some(own), ..Home::new() };
    let sidecar = home.start_ready(&plane).await;
    let ready = async || {
        let ready = plain_client().build().unwrap().get(format!("http://{own}/v2/health/ready"));
        ready.send().await.unwrap().status()
    };
    assert_eq!(ready().await, StatusCode::OK);
    let mut stream = UnixStream::connect(&sidecar.socket).await.unwrap();
    let body = flight().to_string();
    let head = format!(
        "POST {INFER} HTTP/1.1\r\nhost: sidecar\r\nexpect: 100-continue\r\n\
         x-bulkhead-passport: {}\r\ncontent-length: {}\r\n\r\n",
        plane.passport("ua"),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut go_on)).await.unwrap().unwrap();
    sidecar.end();
    until("the socket to go", || (!sidecar.socket.exists()).then_some(())).await;
    assert_eq!(ready().await, StatusCode::SERVICE_UNAVAILABLE);
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    sidecar.ended().await;
}

#[tokio::test]
async fn one_that_is_taken_over_from_ends_and_its_events_and_the_nexts_arrive_once() {
    let (plane, home, before) = three_tenants().await;
    let passport = plane.passport("ua");
    assert_eq!(before.predict(INFER, &passport).await.status, StatusCode::OK);
    let after = home.take_over(&plane).await;
    until("the sidecar before to end", || before.has_ended().then_some(())).await;
    assert!(after.socket.exists());
    assert_eq!(after.predict(INFER, &passport).await.status, StatusCode::OK);
    before.ended().await;
    after.stop().await;
    assert_eq!(plane.held.lock().unwrap().events.len(), 2);
}

#[tokio::test]
async fn events_that_another_sidecar_left_are_shipped_by_the_next() {
    let (plane, home, sidecar) = three_tenants().await;
    let left =
        metering::WriteAheadLog::open(metering::LogOptions::new(home.path().join("state/usage-3")));
    let opened = left.unwrap();
    let event = metering::UsageEvent {
        id: uuid::Uuid::now_v7(),
        tenant: "ua".parse().unwrap(),
        metric: metering::UsageEvent::PREDICTION_ROWS.to_owned(),
        quantity: 1,
        model: "air-time-ua".parse().unwrap(),
        version: "ua-1".parse().unwrap(),
        data_plane: PLANE.parse().unwrap(),
        region: "eu".to_owned(),
        timestamp: 1,
        latency: 1,
    };
    opened.log.append(&event).await.unwrap();
    drop(opened);
    until("the event", || (!plane.held.lock().unwrap().events.is_empty()).then_some(())).await;
    assert_eq!(plane.held.lock().unwrap().events.keys().collect::<Vec<_>>(), [&event.id]);
    sidecar.stop().await;
}
