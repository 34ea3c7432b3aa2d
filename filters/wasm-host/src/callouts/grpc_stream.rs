//! A gRPC stream of a guest, for the embedder to be the service of.

use std::fmt;

use crate::Headers;
use crate::callouts::outstanding::GrpcRequest;
use crate::callouts::{CalloutError, Delivered, Handle};
use crate::error::Trap;
use crate::machine::Machine;
use crate::vm::lock;

/// A stream that the guest opened with `proxy_grpc_stream`. Get it from
/// [`Vm::next_grpc_stream`](crate::Vm::next_grpc_stream).
pub struct GrpcStream {
    handle: Handle,
    request: GrpcRequest,
}

/// A message that the guest sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcMessage {
    /// The message's bytes.
    pub bytes: Vec<u8>,
    /// Whether the guest said that it sends no more.
    pub end_of_stream: bool,
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcStreamState {
    /// Both can send.
    Open,
    /// The guest closed its half (`proxy_grpc_close`, or a last message); the service can go on.
    ClosedByGuest,
    /// The service closed its half; the guest's number lives until the guest closes it too.
    ClosedByService,
    /// Nobody can send: both have closed, the guest has cancelled, or its plugin is gone.
    Over,
}

impl GrpcStream {
    pub(crate) fn new(handle: Handle, request: GrpcRequest) -> Self {
        Self { handle, request }
    }

    /// The guest's number for this stream.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.handle.call
    }

    /// The upstream: in Envoy, the name of a cluster or a serialised `GrpcService`.
    #[must_use]
    pub fn upstream(&self) -> &str {
        &self.request.upstream
    }

    /// The service's full name.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.request.service
    }

    /// The method's name.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.request.method
    }

    /// The metadata that the guest opened it with.
    #[must_use]
    pub fn initial_metadata(&self) -> &Headers {
        &self.request.initial_metadata
    }

    /// How far it has come.
    #[must_use]
    pub fn state(&self) -> GrpcStreamState {
        let mut machine = lock(&self.handle.machine);
        let stream = machine.store.data_mut().callouts.streams.get_mut(self.handle.call);
        stream.map_or(GrpcStreamState::Over, |stream| stream.what.state)
    }

    /// The oldest message of the guest that was not read yet.
    #[must_use]
    pub fn next_message(&self) -> Option<GrpcMessage> {
        let mut machine = lock(&self.handle.machine);
        let stream = machine.store.data_mut().callouts.streams.get_mut(self.handle.call)?;
        let message = stream.what.sent.pop_front()?;
        stream.what.unread = stream.what.unread.saturating_sub(message.bytes.len());
        Some(message)
    }

    /// The service's initial metadata: the guest gets `proxy_on_grpc_receive_initial_metadata`.
    ///
    /// # Errors
    /// Where the stream is over or the service has closed it, or the guest traps.
    pub fn send_initial_metadata(&self, metadata: impl Into<Headers>) -> Result<(), CalloutError> {
        let metadata = metadata.into();
        self.deliver(|machine, call, root| {
            let grpc_initial_metadata = Some(metadata);
            let delivered = Delivered { root, grpc_initial_metadata, ..Delivered::default() };
            machine.deliver_grpc_initial_metadata(call, delivered)
        })
    }

    /// A message of the service: the guest gets `proxy_on_grpc_receive`.
    ///
    /// # Errors
    /// As of [`GrpcStream::send_initial_metadata`].
    pub fn send(&self, message: impl Into<Vec<u8>>) -> Result<(), CalloutError> {
        let message = message.into();
        self.deliver(|machine, call, root| {
            let grpc_message = Some(message);
            let delivered = Delivered { root, grpc_message, ..Delivered::default() };
            machine.deliver_grpc_message(call, delivered)
        })
    }

    /// The service's trailing metadata: the guest gets `proxy_on_grpc_receive_trailing_metadata`.
    ///
    /// # Errors
    /// As of [`GrpcStream::send_initial_metadata`].
    pub fn send_trailing_metadata(&self, metadata: impl Into<Headers>) -> Result<(), CalloutError> {
        let metadata = metadata.into();
        self.deliver(|machine, call, root| {
            let grpc_trailing_metadata = Some(metadata);
            let delivered = Delivered { root, grpc_trailing_metadata, ..Delivered::default() };
            machine.deliver_grpc_trailing_metadata(call, delivered)
        })
    }

    /// The service ends the stream with this gRPC status: the guest gets `proxy_on_grpc_close`.
    ///
    /// # Errors
    /// As of [`GrpcStream::send_initial_metadata`].
    pub fn close(&self, status: u32, message: &str) -> Result<(), CalloutError> {
        let message = message.to_owned();
        self.deliver(|machine, call, root| {
            let streams = &mut machine.store.data_mut().callouts.streams;
            let open = streams.get_mut(call).map(|stream| &mut stream.what.state);
            match open {
                Some(state) if *state == GrpcStreamState::Open => {
                    *state = GrpcStreamState::ClosedByService;
                }
                _ => {
                    streams.remove(call);
                }
            }
            machine.deliver_grpc_close(root, call, (status, message))
        })
    }

    fn deliver(
        &self,
        deliver: impl FnOnce(&mut Machine, u32, u32) -> Result<(), Trap>,
    ) -> Result<(), CalloutError> {
        let mut machine = lock(&self.handle.machine);
        let stream = machine.store.data_mut().callouts.streams.get_mut(self.handle.call);
        let stream = stream
            .filter(|stream| stream.what.state != GrpcStreamState::ClosedByService)
            .ok_or_else(|| self.handle.over())?;
        let root = stream.root;
        Ok(deliver(&mut machine, self.handle.call, root)?)
    }
}

impl fmt::Debug for GrpcStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcStream")
            .field("id", &self.handle.call)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}
