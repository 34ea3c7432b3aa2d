//! What comes from outside a stream: answers to calls, and calls of foreign code into the guest.

use super::{Machine, number};
use crate::Headers;
use crate::callouts::Delivered;
use crate::error::Trap;
use crate::exports::Callback;

impl Machine {
    pub(crate) fn deliver_http(&mut self, call: u32, delivered: Delivered) -> Result<(), Trap> {
        let count = |headers: &Option<Headers>| number(headers.as_ref().map_or(0, Headers::len));
        let body = number(delivered.http_body.as_ref().map_or(0, Vec::len));
        let (headers, trailers) = (count(&delivered.http_headers), count(&delivered.http_trailers));
        let root = delivered.root;
        let callback = self.exports.on_http_call_response.clone();
        let parameters = (root, call, headers, body, trailers);
        self.deliver(delivered, "proxy_on_http_call_response", callback, parameters)
    }

    pub(crate) fn deliver_grpc_initial_metadata(
        &mut self,
        call: u32,
        delivered: Delivered,
    ) -> Result<(), Trap> {
        let size = delivered.grpc_initial_metadata.as_ref().map_or(0, Headers::len);
        let parameters = (delivered.root, call, number(size));
        let callback = self.exports.on_grpc_receive_initial_metadata.clone();
        let name = "proxy_on_grpc_receive_initial_metadata";
        self.deliver(delivered, name, callback, parameters)
    }

    pub(crate) fn deliver_grpc_message(
        &mut self,
        call: u32,
        delivered: Delivered,
    ) -> Result<(), Trap> {
        let size = delivered.grpc_message.as_ref().map_or(0, Vec::len);
        let parameters = (delivered.root, call, number(size));
        let callback = self.exports.on_grpc_receive.clone();
        self.deliver(delivered, "proxy_on_grpc_receive", callback, parameters)
    }

    pub(crate) fn deliver_grpc_trailing_metadata(
        &mut self,
        call: u32,
        delivered: Delivered,
    ) -> Result<(), Trap> {
        let size = delivered.grpc_trailing_metadata.as_ref().map_or(0, Headers::len);
        let parameters = (delivered.root, call, number(size));
        let callback = self.exports.on_grpc_receive_trailing_metadata.clone();
        let name = "proxy_on_grpc_receive_trailing_metadata";
        self.deliver(delivered, name, callback, parameters)
    }

    pub(crate) fn deliver_grpc_close(
        &mut self,
        root: u32,
        call: u32,
        status: (u32, String),
    ) -> Result<(), Trap> {
        let parameters = (root, call, status.0);
        let delivered = Delivered { root, status, ..Delivered::default() };
        let callback = self.exports.on_grpc_close.clone();
        self.deliver(delivered, "proxy_on_grpc_close", callback, parameters)
    }

    /// Calls `proxy_on_foreign_function` of a context.
    pub(crate) fn foreign_callback(
        &mut self,
        context: u32,
        function: u32,
        arguments: Vec<u8>,
    ) -> Result<(), Trap> {
        let contexts = &self.store.data().contexts;
        let origin = contexts.get(&context).and_then(|context| context.origin());
        let root = origin.map_or(context, |origin| origin.root);
        let parameters = (context, function, number(arguments.len()));
        let delivered =
            Delivered { root, foreign_arguments: Some(arguments), ..Delivered::default() };
        let callback = self.exports.on_foreign_function.clone();
        if let Some(failure) = self.failure() {
            return Err(failure.clone());
        }
        self.store.data_mut().delivered = Some(delivered);
        let called = self.maybe(context, "proxy_on_foreign_function", callback, parameters);
        self.store.data_mut().delivered = None;
        self.settle();
        called.map(|_| ())
    }

    fn deliver<P: wasmtime::WasmParams>(
        &mut self,
        delivered: Delivered,
        name: &'static str,
        callback: Callback<P, ()>,
        parameters: P,
    ) -> Result<(), Trap> {
        let root = delivered.root;
        self.store.data_mut().delivered = Some(delivered);
        let called = self.maybe(root, name, callback, parameters);
        self.store.data_mut().delivered = None;
        self.settle();
        called.map(|_| ())
    }
}
