//! Local responses: what the proxy makes of `proxy_send_local_response`.

use super::Machine;
use crate::Headers;
use crate::abi::Half;
use crate::contexts::exchange::{End, Flow};
use crate::outcome::{LocalResponse, Outcome};

impl Machine {
    /// Sends the response that the guest asked for, if it did.
    ///
    /// One that comes before any response goes through the filter's own response phases, like any
    /// response. One that is sent in a response phase replaces that response and goes out as it is.
    pub(super) fn reply(&mut self, id: u32) {
        let Some(stream) = self.store.data_mut().stream_by_id(id) else {
            return;
        };
        if stream.end.is_some() || stream.answering.is_some() {
            return;
        }
        let Some(reply) = stream.reply.take() else {
            return;
        };
        let request = &stream.request.headers.headers;
        let head = request.get(":method") == Some(b"HEAD");
        let grpc = request.get("content-type").is_some_and(is_grpc);
        let headers = response_headers(&reply, grpc, head);
        let body = if head || grpc { Vec::new() } else { reply.body.clone() };
        if stream.response.headers.seen {
            stream.end = Some(answered(reply, headers, body));
            return;
        }
        stream.answering = Some(reply);
        let end_of_stream = body.is_empty();
        match self.show_headers(id, Half::Response, headers, end_of_stream) {
            Outcome::LocalResponse(failed) => return self.end_with(id, failed),
            Outcome::Reset => return,
            Outcome::Continue(_) | Outcome::Paused => {}
        }
        if !end_of_stream {
            match self.show_body(id, Half::Response, &body, true) {
                Outcome::LocalResponse(failed) => return self.end_with(id, failed),
                Outcome::Continue(body) => {
                    self.begin(id, Half::Response, |direction| direction.release(&body));
                }
                Outcome::Reset | Outcome::Paused => {}
            }
        }
        self.finish_answer(id);
    }

    /// A response of ours that has passed the filter's response phases goes out.
    pub(super) fn finish_answer(&mut self, id: u32) {
        let Some(stream) = self.store.data_mut().stream_by_id(id) else {
            return;
        };
        if stream.response.flow != Flow::Running || stream.end.is_some() {
            return;
        }
        let Some(reply) = stream.answering.take() else {
            return;
        };
        let headers = stream.response.headers.headers.clone();
        let body = std::mem::take(&mut stream.response.released);
        stream.end = Some(answered(reply, headers, body));
    }

    fn end_with(&mut self, id: u32, response: LocalResponse) {
        if let Some(stream) = self.store.data_mut().stream_by_id(id) {
            stream.end.get_or_insert(End::Answered(response));
        }
    }
}

fn answered(reply: LocalResponse, mut headers: Headers, body: Vec<u8>) -> End {
    let status = headers.get_str(":status").and_then(|code| code.parse().ok());
    headers.remove(":status");
    End::Answered(LocalResponse { status: status.unwrap_or(reply.status), headers, body, ..reply })
}

/// What the proxy makes of a local response before the filter's response phases see it.
fn response_headers(response: &LocalResponse, grpc: bool, head: bool) -> Headers {
    let mut headers = response.headers.clone();
    if grpc {
        headers.set(":status", "200");
        headers.set("content-type", "application/grpc");
        if !headers.contains("grpc-status") {
            let status = response.grpc_status.unwrap_or_else(|| grpc_status_of(response.status));
            headers.set("grpc-status", status.to_string());
        }
        if !response.body.is_empty() && !head {
            headers.set("grpc-message", percent_encoded(&response.body));
        }
        headers.remove("content-length");
        return headers;
    }
    headers.set(":status", response.status.to_string());
    if response.body.is_empty() {
        headers.remove("content-length");
        headers.remove("content-type");
    } else {
        headers.set("content-length", response.body.len().to_string());
        if !headers.contains("content-type") {
            headers.set("content-type", "text/plain");
        }
    }
    headers
}

fn is_grpc(content_type: &[u8]) -> bool {
    let rest = content_type.strip_prefix(b"application/grpc".as_slice());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+"))
}

/// Source: <https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>.
fn grpc_status_of(status: u16) -> u32 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

/// Source: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, `Percent-Encoded`.
fn percent_encoded(message: &[u8]) -> String {
    let mut text = String::with_capacity(message.len());
    for &byte in message {
        match byte {
            b' '..=b'~' if byte != b'%' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{is_grpc, percent_encoded};

    #[test]
    fn grpc_is_known_by_its_content_type() {
        assert!(is_grpc(b"application/grpc"));
        assert!(is_grpc(b"application/grpc+proto"));
        assert!(!is_grpc(b"application/grpc-web"));
        assert!(!is_grpc(b"application/json"));
    }

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(percent_encoded("no: 100%\n".as_bytes()), "no: 100%25%0A");
    }
}
