//! A unary gRPC call of a guest, for the embedder to answer.

use std::fmt;
use std::time::Duration;

use crate::Headers;
use crate::callouts::outstanding::GrpcRequest;
use crate::callouts::{CalloutError, Delivered, GRPC_UNAVAILABLE, Handle, TIMEOUT_MESSAGE};
use crate::vm::lock;

/// A call that the guest made with `proxy_grpc_call`. Get it from
/// [`Vm::next_grpc_call`](crate::Vm::next_grpc_call); then answer it, fail it, or let it time out.
///
/// Messages are bytes: what is in them is between the guest and the embedder.
pub struct GrpcCall {
    handle: Handle,
    request: GrpcRequest,
}

impl GrpcCall {
    pub(crate) fn new(handle: Handle, request: GrpcRequest) -> Self {
        Self { handle, request }
    }

    /// The guest's number for this call.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.handle.call
    }

    /// The upstream: in Envoy, the name of a cluster or a serialised `GrpcService`.
    #[must_use]
    pub fn upstream(&self) -> &str {
        &self.request.upstream
    }

    /// The service's full name, such as `grpc.health.v1.Health`.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.request.service
    }

    /// The method's name, such as `Check`.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.request.method
    }

    /// The metadata that goes with the call.
    #[must_use]
    pub fn initial_metadata(&self) -> &Headers {
        &self.request.initial_metadata
    }

    /// The request message.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.request.message
    }

    /// How long the guest waits; `None` is for ever.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.request.timeout
    }

    /// Whether the guest still waits: it may have cancelled, or the timeout may have passed.
    #[must_use]
    pub fn is_outstanding(&self) -> bool {
        let mut machine = lock(&self.handle.machine);
        machine.store.data_mut().callouts.grpc.get_mut(self.handle.call).is_some()
    }

    /// The service answers: the guest gets `proxy_on_grpc_receive`, and nothing more, as in Envoy.
    ///
    /// # Errors
    /// Where the call is over, or the guest traps on the answer.
    pub fn respond(self, message: impl Into<Vec<u8>>) -> Result<(), CalloutError> {
        let mut machine = lock(&self.handle.machine);
        let call = machine.store.data_mut().callouts.grpc.remove(self.handle.call);
        let root = call.ok_or_else(|| self.handle.over())?.root;
        let grpc_message = Some(message.into());
        let delivered = Delivered { root, grpc_message, ..Delivered::default() };
        Ok(machine.deliver_grpc_message(self.handle.call, delivered)?)
    }

    /// The call fails with this gRPC status: the guest gets `proxy_on_grpc_close`.
    ///
    /// # Errors
    /// As of [`GrpcCall::respond`].
    pub fn fail(self, status: u32, message: &str) -> Result<(), CalloutError> {
        let mut machine = lock(&self.handle.machine);
        let call = machine.store.data_mut().callouts.grpc.remove(self.handle.call);
        let root = call.ok_or_else(|| self.handle.over())?.root;
        Ok(machine.deliver_grpc_close(root, self.handle.call, (status, message.to_owned()))?)
    }

    /// The service takes too long, whatever the clock says: Envoy's client fails the call as
    /// unavailable (14), "upstream request timeout".
    ///
    /// # Errors
    /// As of [`GrpcCall::respond`].
    pub fn time_out(self) -> Result<(), CalloutError> {
        self.fail(GRPC_UNAVAILABLE, TIMEOUT_MESSAGE)
    }
}

impl fmt::Debug for GrpcCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcCall")
            .field("id", &self.handle.call)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}
