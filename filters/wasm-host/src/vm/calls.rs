//! What goes between the guest and services other than the ones behind its streams.

use super::{Vm, lock};
use crate::callouts::{GrpcCall, GrpcStream, Handle, HttpCall};
use crate::error::Trap;

impl Vm {
    /// The oldest HTTP call of the guest that was not handed out yet.
    #[must_use]
    pub fn next_http_call(&self) -> Option<HttpCall> {
        let machine = self.machine();
        let mut guard = lock(&machine);
        let (call, request) = guard.store.data_mut().callouts.http.hand_over()?;
        let request = request.clone();
        drop(guard);
        Some(HttpCall::new(Handle { machine, call }, request))
    }

    /// The oldest unary gRPC call of the guest that was not handed out yet.
    #[must_use]
    pub fn next_grpc_call(&self) -> Option<GrpcCall> {
        let machine = self.machine();
        let mut guard = lock(&machine);
        let (call, request) = guard.store.data_mut().callouts.grpc.hand_over()?;
        let request = request.clone();
        drop(guard);
        Some(GrpcCall::new(Handle { machine, call }, request))
    }

    /// The oldest gRPC stream of the guest that was not handed out yet.
    #[must_use]
    pub fn next_grpc_stream(&self) -> Option<GrpcStream> {
        let machine = self.machine();
        let mut guard = lock(&machine);
        let (call, stream) = guard.store.data_mut().callouts.streams.hand_over()?;
        let request = stream.request.clone();
        drop(guard);
        Some(GrpcStream::new(Handle { machine, call }, request))
    }

    /// Foreign code of the proxy calls the guest back: its current root context gets
    /// `proxy_on_foreign_function`.
    ///
    /// # Errors
    /// The guest's trap, now or before.
    pub fn foreign_callback(
        &self,
        function: u32,
        arguments: impl Into<Vec<u8>>,
    ) -> Result<(), Trap> {
        let machine = self.machine();
        let mut machine = lock(&machine);
        match machine.plugin {
            Some(plugin) => machine.foreign_callback(plugin, function, arguments.into()),
            None => machine.failure().map_or(Ok(()), |failure| Err(failure.clone())),
        }
    }
}
