//! One HTTP exchange, driven phase by phase.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex};

use crate::abi::Half;
use crate::error::Trap;
use crate::machine::Machine;
use crate::outcome::{Outcome, Passed};
use crate::settings::{Properties, property_path};
use crate::vm::lock;
use crate::{Headers, PropertyValue};

/// An exchange between a caller and an upstream, with the filter between them.
///
/// Call the phases in the order in which HTTP has them: request headers, body, trailers; response
/// headers, body, trailers. A phase before [`Stream::request_headers`] passes untouched, as it does
/// where Envoy never showed the request to the filter. Once the proxy has answered by itself or reset
/// the stream, every later phase tells the same again and the filter is not asked.
///
/// Dropping a stream finishes it: the guest gets `proxy_on_log`, `proxy_on_done` and
/// `proxy_on_delete`.
pub struct Stream {
    machine: Arc<Mutex<Machine>>,
    request: Headers,
    properties: Properties,
    /// The guest's context, once it has seen the request.
    id: Option<u32>,
    /// The end of the exchange, where it came before the last phase.
    ended: Option<Outcome<Infallible>>,
}

impl Stream {
    pub(crate) fn new(machine: Arc<Mutex<Machine>>, request: Headers) -> Self {
        Self { machine, request, properties: Properties::new(), id: None, ended: None }
    }

    /// A property of this exchange, such as `["source", "address"]`. Set it before
    /// [`Stream::request_headers`].
    #[must_use]
    pub fn property(mut self, path: &[&str], value: impl Into<PropertyValue>) -> Self {
        self.properties.insert(property_path(path), value.into().into_bytes());
        self
    }

    /// Shows the request's headers to the filter.
    pub fn request_headers(&mut self, end_of_stream: bool) -> Outcome<Headers> {
        let headers = self.request.clone();
        if self.id.is_none() {
            let mut machine = lock(&self.machine);
            self.id = machine.open_stream(std::mem::take(&mut self.properties));
            machine.settle();
            if self.id.is_none() {
                let outcome = machine.without_plugin(headers);
                drop(machine);
                return self.remember(outcome);
            }
        }
        self.show(headers, |machine, id, headers| {
            machine.show_headers(id, Half::Request, headers, end_of_stream)
        })
    }

    /// Shows a piece of the request's body to the filter. What goes on is what the filter left of it,
    /// with the pieces before it that the filter had paused.
    ///
    /// While the headers are paused the filter does not see the piece: it waits with them (see
    /// [`Dialect`](crate::Dialect)), and is shown once the filter lets the request go on.
    pub fn request_body(
        &mut self,
        piece: impl Into<Vec<u8>>,
        end_of_stream: bool,
    ) -> Outcome<Vec<u8>> {
        self.show(piece.into(), |machine, id, piece| {
            machine.show_body(id, Half::Request, &piece, end_of_stream)
        })
    }

    /// Shows the request's trailers to the filter.
    pub fn request_trailers(&mut self, trailers: impl Into<Headers>) -> Outcome<Headers> {
        self.show(trailers.into(), |machine, id, trailers| {
            machine.show_trailers(id, Half::Request, trailers)
        })
    }

    /// Shows the upstream's response headers, `:status` among them, to the filter.
    pub fn response_headers(
        &mut self,
        headers: impl Into<Headers>,
        end_of_stream: bool,
    ) -> Outcome<Headers> {
        self.show(headers.into(), |machine, id, headers| {
            machine.show_headers(id, Half::Response, headers, end_of_stream)
        })
    }

    /// Shows a piece of the response's body to the filter; see [`Stream::request_body`].
    pub fn response_body(
        &mut self,
        piece: impl Into<Vec<u8>>,
        end_of_stream: bool,
    ) -> Outcome<Vec<u8>> {
        self.show(piece.into(), |machine, id, piece| {
            machine.show_body(id, Half::Response, &piece, end_of_stream)
        })
    }

    /// Shows the response's trailers to the filter.
    pub fn response_trailers(&mut self, trailers: impl Into<Headers>) -> Outcome<Headers> {
        self.show(trailers.into(), |machine, id, trailers| {
            machine.show_trailers(id, Half::Response, trailers)
        })
    }

    /// What has become by now of a request that the filter paused: what goes on once the filter let
    /// it, a local response or a reset where it chose one since, else still [`Outcome::Paused`].
    pub fn request_outcome(&mut self) -> Outcome<Passed> {
        self.show(Passed::default(), |machine, id, _| machine.outcome_now(id, Half::Request))
    }

    /// What has become by now of a response that the filter paused; see [`Stream::request_outcome`].
    pub fn response_outcome(&mut self) -> Outcome<Passed> {
        self.show(Passed::default(), |machine, id, _| machine.outcome_now(id, Half::Response))
    }

    /// Foreign code of the proxy calls the guest back, for this exchange: it gets
    /// `proxy_on_foreign_function`. Before [`Stream::request_headers`] there is nobody to call.
    ///
    /// # Errors
    /// The guest's trap, now or before.
    pub fn foreign_callback(
        &mut self,
        function: u32,
        arguments: impl Into<Vec<u8>>,
    ) -> Result<(), Trap> {
        self.id.map_or(Ok(()), |id| {
            lock(&self.machine).foreign_callback(id, function, arguments.into())
        })
    }

    /// The number of the guest's context, once the filter has seen the request: what the guest calls
    /// this exchange in its log.
    #[must_use]
    pub fn context_id(&self) -> Option<u32> {
        self.id
    }

    /// Ends the exchange, as dropping the stream does.
    pub fn finish(self) {
        drop(self);
    }

    fn show<T>(
        &mut self,
        untouched: T,
        phase: impl FnOnce(&mut Machine, u32, T) -> Outcome<T>,
    ) -> Outcome<T> {
        match (&self.ended, self.id) {
            (Some(end), _) => end.clone().map(|never| match never {}),
            (None, None) => Outcome::Continue(untouched),
            (None, Some(id)) => {
                let mut machine = lock(&self.machine);
                let outcome = machine.phase(id, |machine| phase(machine, id, untouched));
                machine.settle();
                drop(machine);
                self.remember(outcome)
            }
        }
    }

    fn remember<T>(&mut self, outcome: Outcome<T>) -> Outcome<T> {
        self.ended = match &outcome {
            Outcome::LocalResponse(response) => Some(Outcome::LocalResponse(response.clone())),
            Outcome::Reset => Some(Outcome::Reset),
            Outcome::Continue(_) | Outcome::Paused => None,
        };
        outcome
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            lock(&self.machine).close_stream(id);
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("request", &self.request)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
