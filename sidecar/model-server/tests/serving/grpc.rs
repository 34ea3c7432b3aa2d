//! Calls: the same passport, the same models, the same meter.

use std::convert::Infallible;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{body::Frame, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{net::UnixStream, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    node::{Sidecar, expected_air_time, flight_tensors, raw},
    plane::until,
    three_tenants,
};

/// What these tests need of `ModelInferRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct Infer {
    #[prost(string, tag = "1")]
    model_name: String,
    #[prost(string, tag = "2")]
    model_version: String,
    #[prost(string, tag = "3")]
    pub id: String,
    #[prost(message, repeated, tag = "5")]
    inputs: Vec<Input>,
    #[prost(bytes = "vec", repeated, tag = "7")]
    raw_input_contents: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Input {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    datatype: String,
    #[prost(int64, repeated, tag = "3")]
    shape: Vec<i64>,
}

/// What these tests need of `ModelInferResponse`.
#[derive(Clone, PartialEq, Message)]
struct Inferred {
    #[prost(string, tag = "2")]
    model_version: String,
    #[prost(string, tag = "3")]
    id: String,
    #[prost(bytes = "vec", repeated, tag = "6")]
    raw_output_contents: Vec<Vec<u8>>,
}

/// How a call ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    pub status: String,
    pub code: String,
    pub message: Bytes,
}

pub fn infer(model: &str, version: &str) -> Infer {
    let tensors = flight_tensors();
    let inputs = tensors.iter().map(|tensor| Input {
        name: tensor.name().to_owned(),
        datatype: tensor.datatype().to_string(),
        shape: vec![1, 1],
    });
    Infer {
        model_name: model.to_owned(),
        model_version: version.to_owned(),
        id: "q".to_owned(),
        inputs: inputs.collect(),
        raw_input_contents: tensors.iter().map(|tensor| raw(tensor.data())).collect(),
    }
}

pub type Sender = http2::SendRequest<BoxBody<Bytes, Infallible>>;

pub async fn connected(sidecar: &Sidecar) -> Sender {
    let stream = UnixStream::connect(&sidecar.socket).await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    sender
}

pub fn framed(message: &impl Message) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u8(0);
    body.put_u32(message.encoded_len() as u32);
    message.encode(&mut body).unwrap();
    body.freeze()
}

pub async fn send(
    sender: &mut Sender,
    method: &str,
    passport: &str,
    body: BoxBody<Bytes, Infallible>,
) -> Ended {
    let uri = format!("http://sidecar/inference.GRPCInferenceService/{method}");
    let mut request = http::Request::post(uri)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if !passport.is_empty() {
        request = request.header("x-bulkhead-passport", passport);
    }
    let answer = sender.send_request(request.body(body).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    assert_eq!(head.status, 200);
    assert_eq!(head.headers["content-type"], "application/grpc");
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or(head.headers);
    let text = |name: &str| {
        trailers.get(name).map(|it| it.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    let (status, code) = (text("grpc-status"), text("x-bulkhead-code"));
    let bytes = body.to_bytes();
    Ended { status, code, message: bytes.slice(bytes.len().min(5)..) }
}

pub async fn call(
    sidecar: &Sidecar,
    method: &str,
    passport: &str,
    message: &impl Message,
) -> Ended {
    let mut sender = connected(sidecar).await;
    send(&mut sender, method, passport, Full::new(framed(message)).boxed()).await
}

#[tokio::test]
async fn a_call_is_answered_by_the_tenants_own_model_and_metered() {
    let (plane, _home, sidecar) = three_tenants().await;
    for (tenant, model) in [("ua", "ua"), ("aa", "aa"), ("dl", "pooled")] {
        let passport = plane.passport(tenant);
        let ended = call(&sidecar, "ModelInfer", &passport, &infer("air-time", "")).await;
        assert_eq!((&*ended.status, &*ended.code), ("0", ""));
        let answer = Inferred::decode(ended.message).unwrap();
        assert_eq!(answer.id, "q");
        assert_eq!(answer.raw_output_contents, [expected_air_time(model).to_le_bytes()]);
    }
    sidecar.stop().await;
    let held = plane.held.lock().unwrap();
    let mut tenants: Vec<_> = held.events.values().map(|event| event.tenant.as_str()).collect();
    tenants.sort_unstable();
    assert_eq!(tenants, ["aa", "dl", "ua"]);
}

#[tokio::test]
async fn each_denial_of_a_call_has_its_status_and_code_and_is_not_metered() {
    let (plane, _home, sidecar) = three_tenants().await;
    let (ua, stranger) = (plane.passport("ua"), plane.passport("stranger"));
    let known = infer("air-time", "");
    let mut short = known.clone();
    short.raw_input_contents.pop();
    let mut wrong = known.clone();
    wrong.inputs[3].datatype = "FP64".to_owned();
    let mut negative = known.clone();
    negative.inputs[3].shape = vec![-1, 1];
    for (method, passport, message, status, code) in [
        ("ModelInfer", "", &known, "7", "passport_missing"),
        ("ModelInfer", "nonsense", &known, "7", "passport_invalid"),
        ("ModelInfer", &*stranger, &known, "5", "unknown_model"),
        ("ModelInfer", &ua, &infer("secret", ""), "5", "unknown_model"),
        ("ModelInfer", &ua, &infer("air-time", "aa-1"), "5", "unknown_model"),
        ("ModelInfer", &ua, &short, "3", "invalid_request"),
        ("ModelInfer", &ua, &wrong, "3", "bad_shape"),
        ("ModelInfer", &ua, &negative, "3", "bad_shape"),
        ("TraceSetting", &ua, &Infer::default(), "12", "method_not_allowed"),
        ("RepositoryModelLoad", &ua, &Infer::default(), "5", "not_found"),
    ] {
        let ended = call(&sidecar, method, passport, message).await;
        assert_eq!((&*ended.status, &*ended.code), (status, code), "{method}");
        assert!(ended.message.is_empty());
    }
    for method in ["ServerLive", "ServerReady"] {
        let ended = call(&sidecar, method, "", &Infer::default()).await;
        // The field 1 is true.
        assert_eq!((&*ended.status, &ended.message[..]), ("0", &[8, 1][..]), "{method}");
    }
    sidecar.stop().await;
    assert!(plane.held.lock().unwrap().events.is_empty());
}

#[tokio::test]
async fn a_call_in_flight_is_answered_and_metered_before_the_end() {
    let (plane, _home, sidecar) = three_tenants().await;
    let passport = plane.passport("ua");
    let whole = framed(&infer("air-time", ""));
    let (parts, body) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(2);
    let body = StreamBody::new(ReceiverStream::new(body)).boxed();
    let mut sender = connected(&sidecar).await;
    let mut beside = sender.clone();
    let answer =
        tokio::spawn(async move { send(&mut sender, "ModelInfer", &passport, body).await });
    parts.send(Ok(Frame::data(whole.slice(..100)))).await.unwrap();
    // What was sent before on the same connection has come once this is answered.
    let none = Full::new(framed(&Infer::default())).boxed();
    assert_eq!(send(&mut beside, "ServerReady", "", none).await.status, "0");
    sidecar.end();
    until("the socket to go", || (!sidecar.socket.exists()).then_some(())).await;
    parts.send(Ok(Frame::data(whole.slice(100..)))).await.unwrap();
    drop(parts);
    assert_eq!(answer.await.unwrap().status, "0");
    drop(beside);
    sidecar.ended().await;
    assert_eq!(plane.held.lock().unwrap().events.len(), 1);
}
