//! The phases of an exchange, as the guest sees them, and what the proxy makes of its answers.

use super::{Machine, number};
use crate::abi::{Action, Half};
use crate::contexts::exchange::{Direction, Flow, StreamContext};
use crate::error::Trap;
use crate::outcome::{LocalResponse, Outcome, Passed};
use crate::settings::FailurePolicy;
use crate::{Dialect, Headers};

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
        let dialect = self.settings.dialect;
        let action = action.map(|action| headers_action(dialect, action.unwrap_or(0)));
        self.conclude(id, half, action, |direction| direction.headers.pass())
    }

    /// Hands over a piece of body, with the pieces that the guest has paused before it. What went on
    /// before without the embedder having asked goes with it.
    pub(crate) fn show_body(
        &mut self,
        id: u32,
        half: Half,
        piece: &[u8],
        end_of_stream: bool,
    ) -> Outcome<Vec<u8>> {
        self.begin(id, half, |direction| {
            direction.size = direction.size.saturating_add(piece.len() as u64);
        });
        if self.waits(id, half) {
            self.begin(id, half, |direction| {
                direction.waiting.body.extend_from_slice(piece);
                direction.waiting.any_body = true;
                direction.waiting.end_of_stream |= end_of_stream;
            });
            return Outcome::Paused;
        }
        match self.offer_body(id, half, piece, end_of_stream) {
            Outcome::Continue(bytes) => {
                let released = self.begin(id, half, |direction| {
                    let mut released = std::mem::take(&mut direction.released);
                    released.extend_from_slice(&bytes);
                    released
                });
                Outcome::Continue(released)
            }
            other => other,
        }
    }

    fn offer_body(
        &mut self,
        id: u32,
        half: Half,
        piece: &[u8],
        end_of_stream: bool,
    ) -> Outcome<Vec<u8>> {
        let (name, callback) = match half {
            Half::Request => ("proxy_on_request_body", &self.exports.on_request_body),
            Half::Response => ("proxy_on_response_body", &self.exports.on_response_body),
        };
        let callback = callback.clone();
        let size = self.begin(id, half, |direction| {
            direction.body.open(piece);
            direction.trailers.addable = end_of_stream;
            direction.body.bytes.len()
        });
        let parameters = (id, number(size), u32::from(end_of_stream));
        let action = self.maybe(id, name, callback, parameters);
        let action = action.map(|action| body_action(action.unwrap_or(0)));
        self.conclude(id, half, action, |direction| direction.body.pass())
    }

    /// Hands over the trailers of one direction.
    pub(crate) fn show_trailers(
        &mut self,
        id: u32,
        half: Half,
        trailers: Headers,
    ) -> Outcome<Headers> {
        if self.waits(id, half) {
            self.begin(id, half, |direction| direction.waiting.trailers = Some(trailers));
            return Outcome::Paused;
        }
        let (name, callback) = match half {
            Half::Request => ("proxy_on_request_trailers", &self.exports.on_request_trailers),
            Half::Response => ("proxy_on_response_trailers", &self.exports.on_response_trailers),
        };
        let callback = callback.clone();
        let parameters = (id, number(trailers.len()));
        self.begin(id, half, |direction| direction.trailers.open(trailers));
        let action = self.maybe(id, name, callback, parameters);
        let action = action.map(|action| match action {
            None | Some(0) => Action::Continue,
            Some(_) => Action::HoldTrailers,
        });
        self.conclude(id, half, action, |direction| {
            // A body that was held goes on before its trailers.
            let held = direction.body.pass();
            direction.released.extend_from_slice(&held);
            direction.trailers.pass()
        })
    }

    /// Runs a phase, unless the exchange has ended by now, or is being answered by the proxy.
    pub(crate) fn phase<T>(
        &mut self,
        id: u32,
        phase: impl FnOnce(&mut Self) -> Outcome<T>,
    ) -> Outcome<T> {
        let Some(stream) = self.store.data_mut().stream_by_id(id) else {
            return Outcome::Reset;
        };
        if let Some(end) = stream.end.clone() {
            return end.outcome();
        }
        if stream.answering.is_some() {
            return Outcome::Paused;
        }
        phase(self)
    }

    /// What has become of a direction by now.
    pub(crate) fn outcome_now(&mut self, id: u32, half: Half) -> Outcome<Passed> {
        let failed = self.failure().is_some();
        let Some(stream) = self.store.data_mut().stream_by_id(id) else {
            return Outcome::Reset;
        };
        if let Some(end) = stream.end.clone() {
            return end.outcome();
        }
        let direction = stream.direction(half);
        if failed {
            let passed = passed(direction);
            return self.without_plugin(passed);
        }
        if direction.flow != Flow::Running || stream.answering.is_some() {
            return Outcome::Paused;
        }
        Outcome::Continue(passed(stream.direction(half)))
    }

    /// What a stream gets that no plugin takes.
    pub(crate) fn without_plugin<T>(&self, untouched: T) -> Outcome<T> {
        match self.settings.failure_policy {
            FailurePolicy::Open => Outcome::Continue(untouched),
            FailurePolicy::Closed | FailurePolicy::Reload { .. } => {
                Outcome::LocalResponse(LocalResponse::failed_closed())
            }
        }
    }

    /// `proxy_continue_stream`, once the guest has returned.
    pub(super) fn go_on(&mut self, id: u32, half: Half) {
        let Some(stream) = self.store.data_mut().stream_by_id(id) else {
            return;
        };
        let direction = stream.direction(half);
        // Where the phase that it was called in has ended since, that phase has gone on already.
        if !std::mem::take(&mut direction.resumed) {
            return;
        }
        let flow = std::mem::take(&mut direction.flow);
        let held = direction.body.pass();
        direction.released.extend_from_slice(&held);
        direction.close();
        if flow == Flow::AllHeld {
            let waiting = std::mem::take(&mut direction.waiting);
            if waiting.any_body {
                let last = waiting.end_of_stream && waiting.trailers.is_none();
                if let Outcome::Continue(bytes) = self.offer_body(id, half, &waiting.body, last) {
                    self.begin(id, half, |direction| direction.released.extend_from_slice(&bytes));
                }
            }
            if let Some(trailers) = waiting.trailers {
                let _ = self.show_trailers(id, half, trailers);
            }
        }
        self.finish_answer(id);
    }

    fn waits(&mut self, id: u32, half: Half) -> bool {
        self.begin(id, half, |direction| direction.flow == Flow::AllHeld)
    }

    pub(super) fn conclude<T>(
        &mut self,
        id: u32,
        half: Half,
        action: Result<Action, Trap>,
        pass: impl FnOnce(&mut Direction) -> T,
    ) -> Outcome<T> {
        let Some(stream) = self.store.data_mut().stream_by_id(id) else {
            return Outcome::Reset;
        };
        let Ok(action) = action else {
            let passed = pass(stream.direction(half));
            return self.without_plugin(passed);
        };
        self.reply(id);
        let Some(stream) = self.store.data_mut().stream_by_id(id) else {
            return Outcome::Reset;
        };
        if let Some(end) = stream.end.clone() {
            return end.outcome();
        }
        if stream.answering.is_some() && half == Half::Request {
            return Outcome::Paused;
        }
        apply(stream, half, action, pass)
    }

    /// Changes the direction before the guest sees it; nothing where the stream is gone.
    pub(super) fn begin<R: Default>(
        &mut self,
        id: u32,
        half: Half,
        change: impl FnOnce(&mut Direction) -> R,
    ) -> R {
        let stream = self.store.data_mut().stream_by_id(id);
        stream.map_or_else(R::default, |stream| change(stream.direction(half)))
    }
}

fn apply<T>(
    stream: &mut StreamContext,
    half: Half,
    action: Action,
    pass: impl FnOnce(&mut Direction) -> T,
) -> Outcome<T> {
    let direction = stream.direction(half);
    let resumed = std::mem::take(&mut direction.resumed);
    if resumed || action == Action::Continue {
        direction.flow = Flow::Running;
        let passed = pass(direction);
        direction.close();
        return Outcome::Continue(passed);
    }
    match action {
        Action::HoldAll => direction.flow = Flow::AllHeld,
        Action::HoldBody => {
            direction.body.held = true;
            direction.flow = Flow::Held;
        }
        Action::Swallow => {
            direction.body.pass();
            direction.flow = Flow::Held;
        }
        _ => direction.flow = Flow::Held,
    }
    Outcome::Paused
}

fn passed(direction: &mut Direction) -> Passed {
    Passed {
        headers: direction.headers.headers.clone(),
        body: std::mem::take(&mut direction.released),
        trailers: direction.trailers.headers.clone(),
    }
}

/// Envoy takes "pause" for "pause everything", unless it is configured otherwise.
fn headers_action(dialect: Dialect, action: u32) -> Action {
    match action {
        // 2 is "continue, and end the stream".
        0 | 2 => Action::Continue,
        1 if dialect == Dialect::Specification => Action::HoldHeaders,
        _ => Action::HoldAll,
    }
}

fn body_action(action: u32) -> Action {
    match action {
        0 => Action::Continue,
        // 1 buffers, 2 buffers up to a watermark.
        1 | 2 => Action::HoldBody,
        _ => Action::Swallow,
    }
}
