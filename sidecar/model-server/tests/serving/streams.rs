//! What one connection may ask at once, how large a head and a call may be, and that who passes it
//! is refused while the others are served.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame as Part;
use reqwest::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    bodies::small_limit,
    grpc::{Infer, Sender, call, connected, framed, infer, send},
    http2::{
        ACK, CANCEL, Connection, END_STREAM, HEADERS, REFUSED, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    },
    node::{Home, Sidecar, onnx},
    plane::{PATIENCE, Plane, model},
    three_tenants,
};

const STREAMS: u32 = 256;
const HEAD_BYTES: u32 = 16 << 10;
/// The largest body of [`small_limit`].
const BODY_BYTES: usize = 1 << 20;
/// What of a message its inputs and its frame may take.
const REST_BYTES: usize = 4 << 10;

/// The stream of the call `number`, counted from 0: a client's are odd.
const fn stream(number: u32) -> u32 {
    2 * number + 1
}

#[tokio::test]
async fn a_peer_is_told_the_limits_of_its_connection() {
    let (_plane, _home, sidecar) = three_tenants().await;
    let mut connection = Connection::open(&sidecar).await;
    let said = connection.until_pong().await;
    let settings = said.iter().find(|it| it.kind == SETTINGS && it.flags & ACK == 0).unwrap();
    let setting = |id: u16| {
        let mut pairs = settings.payload.chunks(6);
        let pair = pairs.find(|it| it[..2] == id.to_be_bytes()).unwrap();
        u32::from_be_bytes(pair[2..].try_into().unwrap())
    };
    let (streams, window, head_bytes) = (setting(3), setting(4), setting(6));
    assert_eq!((streams, window, head_bytes), (STREAMS, 256 << 10, HEAD_BYTES));
    // A connection begins with 65535 bytes, and is given the rest.
    let mut said = said.into_iter();
    let more = loop {
        let frame = match said.next() {
            Some(frame) => frame,
            None => connection.next().await,
        };
        if frame.kind == WINDOW_UPDATE && frame.stream == 0 {
            break frame.number();
        }
    };
    assert_eq!(65_535 + more, 4 << 20);
    drop(connection);
    sidecar.stop().await;
}

#[tokio::test]
async fn more_calls_than_a_connection_may_have_are_refused_and_those_that_it_has_go_on() {
    let (plane, _home, sidecar) = three_tenants().await;
    let passport = plane.passport("ua");
    let mut connection = Connection::open(&sidecar).await;
    // Each waits for its body.
    for number in 0..STREAMS {
        connection.call(stream(number), "ModelInfer", &passport, 0).await;
    }
    let said = connection.until_pong().await;
    assert!(said.iter().all(|it| it.stream == 0), "{said:?}");

    let over = stream(STREAMS);
    connection.call(over, "ServerReady", "", END_STREAM).await;
    let said = connection.until_pong().await;
    let of_streams: Vec<_> = said.iter().filter(|it| it.stream != 0).collect();
    let [refused] = of_streams.as_slice() else { panic!("{of_streams:?}") };
    assert_eq!((refused.kind, refused.stream, refused.number()), (RST_STREAM, over, REFUSED));
    // Another connection has its own.
    let beside = call(&sidecar, "ModelInfer", &passport, &infer("air-time", "")).await;
    assert_eq!(beside.status, "0");

    // One that ends makes room for one.
    connection.send(RST_STREAM, 0, stream(7), &CANCEL.to_be_bytes()).await;
    let next = stream(STREAMS + 1);
    connection.call(next, "ServerReady", "", END_STREAM).await;
    loop {
        let frame = connection.next().await;
        assert!(frame.stream == 0 || frame.stream == next, "{frame:?}");
        if frame.stream == next {
            assert_eq!(frame.kind, HEADERS, "{frame:?}");
            break;
        }
    }
    drop(connection);
    sidecar.stop().await;
}

/// A probe with a header of so many bytes, on a connection that is there: the status.
async fn probe(sender: &mut Sender, bytes: usize) -> StatusCode {
    let request = http::Request::get("http://sidecar/v2/health/live")
        .header("x-large", "a".repeat(bytes))
        .body(Full::new(Bytes::new()).boxed())
        .unwrap();
    sender.ready().await.unwrap();
    sender.send_request(request).await.unwrap().status()
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_and_its_connection_serves_on() {
    let (plane, _home, sidecar) = three_tenants().await;
    let mut sender = connected(&sidecar).await;
    let most = HEAD_BYTES as usize;
    assert_eq!(probe(&mut sender, most / 2).await, StatusCode::OK);
    let refused = probe(&mut sender, most).await;
    assert_eq!(refused, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(probe(&mut sender, most / 2).await, StatusCode::OK);
    // One that goes far beyond loses its connection, and nobody else's.
    let mut beside = connected(&sidecar).await;
    let request = http::Request::get("http://sidecar/v2/health/live")
        .header("x-large", "a".repeat(1 << 20))
        .body(Full::new(Bytes::new()).boxed())
        .unwrap();
    let cut = sender.send_request(request).await;
    assert!(cut.is_err(), "{cut:?}");
    let body = Full::new(framed(&infer("air-time", ""))).boxed();
    let served = send(&mut beside, "ModelInfer", &plane.passport("ua"), body).await;
    assert_eq!(served.status, "0");
    drop((sender, beside));
    sidecar.stop().await;
}

/// The status of an HTTP/1.1 request with this in its head.
async fn status_over_http1(sidecar: &Sidecar, head: &str) -> String {
    let mut connection = UnixStream::connect(&sidecar.socket).await.unwrap();
    let request = format!("GET /v2/health/live HTTP/1.1\r\nhost: sidecar\r\n{head}\r\n");
    // It may be answered, and cut off, before it is whole.
    let _ = connection.write_all(request.as_bytes()).await;
    let mut answer = vec![0; 12];
    tokio::time::timeout(PATIENCE, connection.read_exact(&mut answer)).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_head_with_too_many_lines_is_refused_over_http_1() {
    let (_plane, _home, sidecar) = three_tenants().await;
    let lines = |count: usize| (0..count).map(|n| format!("x-{n}: a\r\n")).collect::<String>();
    assert_eq!(status_over_http1(&sidecar, &lines(50)).await, "HTTP/1.1 200");
    assert_eq!(status_over_http1(&sidecar, &lines(1000)).await, "HTTP/1.1 431");
    let large = format!("x-large: {}\r\n", "a".repeat(1 << 20));
    assert_eq!(status_over_http1(&sidecar, &large).await, "HTTP/1.1 431");
    assert_eq!(status_over_http1(&sidecar, "").await, "HTTP/1.1 200");
    sidecar.stop().await;
}

/// A call of a good model with a message of about so many bytes.
fn large(bytes: usize) -> Infer {
    let mut message = infer("air-time", "");
    message.id = "q".repeat(bytes);
    message
}

async fn is_served(plane: &Plane, sidecar: &Sidecar) -> bool {
    call(sidecar, "ModelInfer", &plane.passport("ua"), &infer("air-time", "")).await.status == "0"
}

#[tokio::test]
async fn a_call_that_says_that_it_is_too_large_is_refused_before_its_body_is_sent() {
    let (plane, _home, sidecar) = small_limit().await;
    let mut sender = connected(&sidecar).await;
    let (_silent, body) = mpsc::channel::<Result<Part<Bytes>, Infallible>>(1);
    let request = http::Request::post("http://sidecar/inference.GRPCInferenceService/ModelInfer")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("content-length", BODY_BYTES + 1)
        .header("x-bulkhead-passport", plane.passport("ua"))
        .body(StreamBody::new(ReceiverStream::new(body)).boxed())
        .unwrap();
    let answer = tokio::time::timeout(PATIENCE, sender.send_request(request)).await;
    let answer = answer.unwrap().unwrap();
    assert_eq!(answer.headers()["grpc-status"], "8");
    assert_eq!(answer.headers()["x-bulkhead-code"], "body_too_large");
    assert!(is_served(&plane, &sidecar).await);
    drop(sender);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_call_of_unknown_length_is_read_no_further_than_its_limit() {
    let (plane, _home, sidecar) = small_limit().await;
    let passport = plane.passport("ua");
    let at_the_limit =
        call(&sidecar, "ModelInfer", &passport, &large(BODY_BYTES - REST_BYTES)).await;
    assert_eq!(at_the_limit.status, "0");
    let sent_bytes = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent_bytes);
    const WHOLE: u64 = 256 << 20;
    let parts = (0..WHOLE / 65_536).map(move |_| {
        counted.fetch_add(65_536, Ordering::Relaxed);
        Ok::<_, Infallible>(Part::data(Bytes::from_static(&[0; 65_536])))
    });
    let body = StreamBody::new(tokio_stream::iter(parts)).boxed();
    let mut sender = connected(&sidecar).await;
    let refused = send(&mut sender, "ModelInfer", &passport, body).await;
    assert_eq!((&*refused.status, &*refused.code), ("8", "body_too_large"));
    // The limit, what is thrown away of it for a while, and what lies in buffers between.
    let sent_bytes = sent_bytes.load(Ordering::Relaxed);
    assert!(sent_bytes < 16 << 20, "{sent_bytes} bytes were sent");
    // The calls beside it on its connection go on.
    let none = Full::new(framed(&Infer::default())).boxed();
    assert_eq!(send(&mut sender, "ServerReady", "", none).await.status, "0");
    assert!(is_served(&plane, &sidecar).await);
    drop(sender);
    sidecar.stop().await;
}

#[tokio::test]
async fn large_calls_that_a_tenant_holds_open_leave_its_neighbours_their_room() {
    let mut plane = Plane::start().await;
    let pooled = plane.artifact(onnx("pooled"));
    let orgs = ["ua", "dl"];
    for org in orgs {
        plane.assign(org, "pool", vec![model("air-time", "1", "m", pooled, &orgs)]);
    }
    let home = Home { max_body_bytes: BODY_BYTES as u64, ..Home::new() };
    let sidecar = home.start_ready(&plane).await;
    let (ua, dl) = (plane.passport("ua"), plane.passport("dl"));
    let mut held = vec![];
    for _ in 0..2 {
        let (parts, body) = mpsc::channel::<Result<Part<Bytes>, Infallible>>(1);
        let body = StreamBody::new(ReceiverStream::new(body)).boxed();
        let (mut sender, ua) = (connected(&sidecar).await, ua.clone());
        let answer = tokio::spawn(async move { send(&mut sender, "ModelInfer", &ua, body).await });
        let whole = framed(&large(BODY_BYTES - REST_BYTES));
        let most = whole.len() - 1;
        for at in (0..most).step_by(65_536) {
            let part = whole.slice(at..most.min(at + 65_536));
            parts.send(Ok(Part::data(part))).await.unwrap();
        }
        held.push((parts, whole.slice(most..), answer));
    }
    // They hold what they have sent once it was read, which is soon.
    let half = large(BODY_BYTES / 2);
    let refused = tokio::time::timeout(PATIENCE, async {
        loop {
            let ended = call(&sidecar, "ModelInfer", &ua, &half).await;
            if ended.status != "0" {
                return ended;
            }
        }
    });
    let refused = refused.await.unwrap();
    assert_eq!((&*refused.status, &*refused.code), ("14", "overloaded"));
    assert_eq!(call(&sidecar, "ModelInfer", &dl, &half).await.status, "0");
    assert!(is_served(&plane, &sidecar).await, "small calls need no room");
    for (parts, last, answer) in held {
        parts.send(Ok(Part::data(last))).await.unwrap();
        drop(parts);
        assert_eq!(answer.await.unwrap().status, "0");
    }
    sidecar.stop().await;
}
