//! HTTP/2 frame by frame (RFC 9113), for what no client library would send.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::{node::Sidecar, plane::PATIENCE};

pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const WINDOW_UPDATE: u8 = 8;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `REFUSED_STREAM` and `CANCEL`.
pub const REFUSED: u32 = 7;
pub const CANCEL: u32 = 8;

#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// Its first four bytes: a reset's reason, a window's increment.
    pub fn number(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }
}

/// A connection whose frames the test writes.
pub struct Connection {
    stream: UnixStream,
}

impl Connection {
    /// Connects, and says nothing of its own limits.
    pub async fn open(sidecar: &Sidecar) -> Self {
        let mut stream = UnixStream::connect(&sidecar.socket).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut connection = Self { stream };
        connection.send(SETTINGS, 0, 0, &[]).await;
        connection
    }

    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = (payload.len() as u32).to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.stream.write_all(&[&head, payload].concat()).await.unwrap();
    }

    /// Begins a gRPC call, and ends it where it has no body.
    pub async fn call(&mut self, stream: u32, method: &str, passport: &str, flags: u8) {
        // `:method: POST` and `:scheme: http` are in HPACK's static table (RFC 7541, appendix A), as
        // are the names `:path` and `:authority`; the rest is literal.
        let mut block = vec![0x83, 0x86, 0x04];
        string(&mut block, &format!("/inference.GRPCInferenceService/{method}"));
        block.push(0x01);
        string(&mut block, "sidecar");
        let mut headers = vec![("content-type", "application/grpc"), ("te", "trailers")];
        headers.extend((!passport.is_empty()).then_some(("x-bulkhead-passport", passport)));
        for (name, value) in headers {
            block.push(0);
            string(&mut block, name);
            string(&mut block, value);
        }
        self.send(HEADERS, END_HEADERS | flags, stream, &block).await;
    }

    /// The next frame.
    pub async fn next(&mut self) -> Frame {
        let reading = async {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.stream.read_exact(&mut payload).await.unwrap();
            let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
            Frame { kind: head[3], flags: head[4], stream, payload }
        };
        tokio::time::timeout(PATIENCE, reading).await.unwrap()
    }

    /// Everything that the peer said of its streams before it answered a ping that is sent now.
    pub async fn until_pong(&mut self) -> Vec<Frame> {
        self.send(PING, 0, 0, b"bulkhead").await;
        let mut before = vec![];
        loop {
            let frame = self.next().await;
            match (frame.kind, frame.flags & ACK) {
                (PING, ACK) => return before,
                // It may ask for one of its own.
                (PING, _) => self.send(PING, ACK, 0, &frame.payload).await,
                _ => before.push(frame),
            }
        }
    }
}

/// A string of HPACK, not compressed: its length in a prefix of seven bits, and its bytes.
fn string(block: &mut Vec<u8>, text: &str) {
    match text.len().checked_sub(127) {
        None => block.push(text.len() as u8),
        Some(mut rest) => {
            block.push(127);
            while rest >= 128 {
                block.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            block.push(rest as u8);
        }
    }
    block.extend_from_slice(text.as_bytes());
}
