//! The phases of an exchange, as the guest sees them, and what the proxy makes of its answers.

use std::convert::Infallible;

use crate::Headers;
use crate::abi::{ACTION_CONTINUE, Half};
use crate::context::Direction;
use crate::error::Trap;
use crate::imports::response_headers;
use crate::machine::{Machine, number};
use crate::outcome::{LocalResponse, Outcome, Passed};
use crate::settings::FailurePolicy;

impl Machine {
    /// Hands over the headers of one direction.
    pub(crate) fn show_headers(
        &mut self,
        id: u32,
        half: Half,
        headers: Headers,
        end_of_stream: bool,
    ) -> Outcome<Headers> {
        let (name, callback) = match half {
            Half::Request => ("proxy_on_request_headers", &self.exports.on_request_headers),
            Half::Response => ("proxy_on_response_headers", &self.exports.on_response_headers),
        };
        let callback = callback.clone();
        let parameters = (id, number(headers.len()), u32::from(end_of_stream));
        self.begin(id, half, |direction| direction.headers.open(headers));
        let action = self.maybe(id, name, callback, parameters);
        self.conclude(id, half, action, |direction| direction.headers.pass())
    }

    /// Hands over a piece of body, with the pieces that the guest has paused before it.
    pub(crate) fn show_body(
        &mut self,
        id: u32,
        half: Half,
        piece: Vec<u8>,
        end_of_stream: bool,
    ) -> Outcome<Vec<u8>> {
        let (name, callback) = match half {
            Half::Request => ("proxy_on_request_body", &self.exports.on_request_body),
            Half::Response => ("proxy_on_response_body", &self.exports.on_response_body),
        };
        let callback = callback.clone();
        let size = self.begin(id, half, |direction| {
            direction.body.open(piece);
            direction.body.bytes.len()
        });
        let parameters = (id, number(size), u32::from(end_of_stream));
        let action = self.maybe(id, name, callback, parameters);
        let outcome = self.conclude(id, half, action, |direction| direction.body.pass());
        if outcome == Outcome::Paused {
            self.begin(id, half, |direction| direction.body.buffering = true);
        }
        outcome
    }

    /// Hands over the trailers of one direction.
    pub(crate) fn show_trailers(
        &mut self,
        id: u32,
        half: Half,
        trailers: Headers,
    ) -> Outcome<Headers> {
        let (name, callback) = match half {
            Half::Request => ("proxy_on_request_trailers", &self.exports.on_request_trailers),
            Half::Response => ("proxy_on_response_trailers", &self.exports.on_response_trailers),
        };
        let callback = callback.clone();
        let parameters = (id, number(trailers.len()));
        self.begin(id, half, |direction| direction.trailers.open(trailers));
        let action = self.maybe(id, name, callback, parameters);
        self.conclude(id, half, action, |direction| direction.trailers.pass())
    }

    /// What has become of a direction since the guest paused it.
    pub(crate) fn outcome_now(&mut self, id: u32, half: Half) -> Outcome<Passed> {
        let paused = self.begin(id, half, |direction| direction.paused);
        let action = Ok(Some(u32::from(paused)));
        self.conclude(id, half, action, |direction| Passed {
            headers: direction.headers.pass(),
            body: direction.body.pass(),
        })
    }

    /// What a stream gets that no plugin takes.
    pub(crate) fn without_plugin<T>(&self, untouched: T) -> Outcome<T> {
        match self.settings.failure_policy {
            FailurePolicy::Open => Outcome::Continue(untouched),
            FailurePolicy::Closed => Outcome::LocalResponse(LocalResponse::failed_closed()),
        }
    }

    fn conclude<T>(
        &mut self,
        id: u32,
        half: Half,
        action: Result<Option<u32>, Trap>,
        pass: impl FnOnce(&mut Direction) -> T,
    ) -> Outcome<T> {
        let Some(stream) = self.store.data_mut().stream_by_id(id) else {
            return Outcome::Reset;
        };
        let Ok(action) = action else {
            let passed = pass(stream.direction(half));
            return self.without_plugin(passed);
        };
        if stream.reset {
            return Outcome::Reset;
        }
        if let Some(reply) = stream.reply.take() {
            return self.answer(id, half, reply).map(|never| match never {});
        }
        let direction = stream.direction(half);
        let resumed = std::mem::take(&mut direction.resumed);
        if resumed || action.unwrap_or(ACTION_CONTINUE) == ACTION_CONTINUE {
            direction.paused = false;
            Outcome::Continue(pass(direction))
        } else {
            direction.paused = true;
            Outcome::Paused
        }
    }

    /// A local response to a request goes through the filter's response phases, like any response.
    /// One that is sent in a response phase replaces that response and goes out as it is.
    fn answer(&mut self, id: u32, half: Half, reply: LocalResponse) -> Outcome<Infallible> {
        let mut headers = response_headers(&reply);
        let mut body = if self.is_head(id) { Vec::new() } else { reply.body.clone() };
        if half == Half::Request {
            let end_of_stream = body.is_empty();
            match self.show_headers(id, Half::Response, headers, end_of_stream) {
                Outcome::Continue(passed) => headers = passed,
                other => return other.ended(),
            }
            if !end_of_stream {
                match self.show_body(id, Half::Response, body, true) {
                    Outcome::Continue(passed) => body = passed,
                    other => return other.ended(),
                }
            }
        }
        let status = headers.get_str(":status").and_then(|code| code.parse().ok());
        headers.remove(":status");
        Outcome::LocalResponse(LocalResponse {
            status: status.unwrap_or(reply.status),
            headers,
            body,
            ..reply
        })
    }

    fn is_head(&mut self, id: u32) -> bool {
        let stream = self.store.data_mut().stream_by_id(id);
        stream.is_some_and(|stream| stream.request.headers.headers.get(":method") == Some(b"HEAD"))
    }

    /// Changes the direction before the guest sees it; nothing where the stream is gone.
    fn begin<R: Default>(
        &mut self,
        id: u32,
        half: Half,
        change: impl FnOnce(&mut Direction) -> R,
    ) -> R {
        let stream = self.store.data_mut().stream_by_id(id);
        stream.map_or_else(R::default, |stream| change(stream.direction(half)))
    }
}
