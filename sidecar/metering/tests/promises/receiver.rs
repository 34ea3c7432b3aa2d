//! A receiver of usage events that behaves as badly as one may.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use metering::UsageEvent;
use serde::Deserialize;
use tokio::{net::TcpListener, task::AbortHandle};
use uuid::Uuid;

/// What the receiver does with a request.
#[derive(Debug, Clone, Copy)]
pub enum Mood {
    RecordAndSay,
    FailBeforeRecording,
    HangUpBeforeRecording,
    HangUpAfterRecording,
    FailAfterRecording,
    AnswerTooLate(Duration),
    Say(StatusCode),
}

/// What it holds: each id once, as the real one does, and how many it was sent.
#[derive(Debug, Default)]
pub struct Recorded {
    pub events: BTreeMap<Uuid, UsageEvent>,
    pub deliveries: usize,
    pub requests: usize,
}

pub struct Receiver {
    pub address: SocketAddr,
    pub recorded: Arc<Mutex<Recorded>>,
    task: AbortHandle,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Deserialize)]
struct Body {
    events: Vec<UsageEvent>,
}

impl Receiver {
    /// Listens on a free port; its moods follow each other in turn.
    pub async fn start(moods: Vec<Mood>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let recorded: Arc<Mutex<Recorded>> = Arc::default();
        let kept = Arc::clone(&recorded);
        let serve = async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (recorded, moods) = (Arc::clone(&recorded), moods.clone());
                let service = service_fn(move |request| {
                    answer(request, Arc::clone(&recorded), moods.clone())
                });
                // A connection that was hung up ends with an error, which is what it is for.
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        };
        Self { address, recorded: kept, task: tokio::spawn(serve).abort_handle() }
    }

    pub fn base(&self) -> String {
        format!("http://{}/", self.address)
    }
}

async fn answer(
    request: Request<Incoming>,
    recorded: Arc<Mutex<Recorded>>,
    moods: Vec<Mood>,
) -> io::Result<Response<Full<Bytes>>> {
    assert_eq!(request.method(), Method::POST);
    assert_eq!(request.uri().path(), "/v1/usage/events");
    let bytes = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    let body: Body = serde_json::from_slice(&bytes).unwrap();
    let mood = {
        let mut recorded = recorded.lock().unwrap();
        recorded.requests += 1;
        moods[(recorded.requests - 1) % moods.len()]
    };
    let record = || {
        let mut recorded = recorded.lock().unwrap();
        recorded.deliveries += body.events.len();
        for event in &body.events {
            let before = recorded.events.insert(event.id, event.clone());
            assert!(before.is_none_or(|before| &before == event), "one id, two events");
        }
    };
    let status = match mood {
        Mood::Say(status) => status,
        Mood::FailBeforeRecording => StatusCode::SERVICE_UNAVAILABLE,
        Mood::HangUpBeforeRecording => return Err(io::ErrorKind::ConnectionAborted.into()),
        Mood::HangUpAfterRecording => {
            record();
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Mood::FailAfterRecording => {
            record();
            StatusCode::INTERNAL_SERVER_ERROR
        }
        Mood::AnswerTooLate(delay) => {
            record();
            tokio::time::sleep(delay).await;
            StatusCode::OK
        }
        Mood::RecordAndSay => {
            record();
            StatusCode::OK
        }
    };
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    Ok(response)
}
