//! An HTTP call of a guest, for the embedder to answer.

use std::fmt;
use std::time::Duration;

use crate::Headers;
use crate::callouts::outstanding::HttpRequest;
use crate::callouts::{CalloutError, Delivered, Handle, RESET, TIMEOUT_MESSAGE};
use crate::vm::lock;

/// A call that the guest made with `proxy_http_call`. Get it from
/// [`Vm::next_http_call`](crate::Vm::next_http_call); then answer it, fail it, or let it time out.
///
/// Dropped without an answer, it stays outstanding until its timeout passes on the VM's clock.
///
/// ```
/// # use wasm_host::{HttpResponse, Vm};
/// # fn answer(vm: &Vm) -> Result<(), Box<dyn std::error::Error>> {
/// let call = vm.next_http_call().ok_or("expected a call")?;
/// assert_eq!(call.upstream(), "authorisation");
/// assert_eq!(call.headers().get_str(":path"), Some("/check"));
/// call.respond(HttpResponse::new(200).body("yes"))?;
/// # Ok(())
/// # }
/// ```
pub struct HttpCall {
    handle: Handle,
    request: HttpRequest,
}

/// What an upstream answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    headers: Headers,
    body: Vec<u8>,
    trailers: Option<Headers>,
}

impl HttpResponse {
    /// An empty response with this status.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            headers: Headers::from([(":status", status.to_string())]),
            body: Vec::new(),
            trailers: None,
        }
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.append(name, value);
        self
    }

    /// The body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The trailers.
    #[must_use]
    pub fn trailers(mut self, trailers: impl Into<Headers>) -> Self {
        self.trailers = Some(trailers.into());
        self
    }

    /// What Envoy answers in an upstream's place when a call took too long.
    pub(crate) fn timeout() -> Self {
        Self::new(504)
            .header("content-length", TIMEOUT_MESSAGE.len().to_string())
            .header("content-type", "text/plain")
            .body(TIMEOUT_MESSAGE)
    }

    pub(crate) fn delivered(self, root: u32) -> Delivered {
        Delivered {
            root,
            http_headers: Some(self.headers),
            http_body: Some(self.body),
            http_trailers: self.trailers,
            ..Delivered::default()
        }
    }
}

impl HttpCall {
    pub(crate) fn new(handle: Handle, request: HttpRequest) -> Self {
        Self { handle, request }
    }

    /// The guest's number for this call.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.handle.call
    }

    /// The upstream's name: in Envoy, of a cluster.
    #[must_use]
    pub fn upstream(&self) -> &str {
        &self.request.upstream
    }

    /// The request's headers, `:method`, `:path` and `:authority` among them. Where there is a body,
    /// `content-length` is set, as Envoy sets it.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.request.headers
    }

    /// The request's body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.request.body
    }

    /// The request's trailers.
    #[must_use]
    pub fn trailers(&self) -> &Headers {
        &self.request.trailers
    }

    /// How long the guest waits; `None` is for ever.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.request.timeout
    }

    /// The upstream answers: the guest gets `proxy_on_http_call_response`.
    ///
    /// # Errors
    /// Where the call is over, or the guest traps on the answer.
    pub fn respond(self, response: HttpResponse) -> Result<(), CalloutError> {
        let mut machine = lock(&self.handle.machine);
        let call = machine.store.data_mut().callouts.http.remove(self.handle.call);
        let root = call.ok_or_else(|| self.handle.over())?.root;
        Ok(machine.deliver_http(self.handle.call, response.delivered(root))?)
    }

    /// The connection breaks: the guest gets `proxy_on_http_call_response` with no headers, and
    /// `proxy_get_status` tells what Envoy tells (11, "reset").
    ///
    /// # Errors
    /// As of [`HttpCall::respond`].
    pub fn fail(self) -> Result<(), CalloutError> {
        let mut machine = lock(&self.handle.machine);
        let call = machine.store.data_mut().callouts.http.remove(self.handle.call);
        let root = call.ok_or_else(|| self.handle.over())?.root;
        let status = (RESET.0, RESET.1.to_owned());
        let delivered = Delivered { root, status, ..Delivered::default() };
        Ok(machine.deliver_http(self.handle.call, delivered)?)
    }

    /// The upstream takes too long, whatever the clock says. As in Envoy, whose HTTP client answers in
    /// the upstream's place, the guest gets a response: 504, "upstream request timeout".
    ///
    /// # Errors
    /// As of [`HttpCall::respond`].
    pub fn time_out(self) -> Result<(), CalloutError> {
        self.respond(HttpResponse::timeout())
    }
}

impl fmt::Debug for HttpCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCall")
            .field("id", &self.handle.call)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}
