//! What the host calls in a guest. Every callback is optional, as in Envoy.

use wasmtime::{Instance, Store, TypedFunc, WasmParams, WasmResults};

use crate::error::VmError;
use crate::state::{GuestHandles, HostState};

/// A callback that the guest may not have.
pub(crate) type Callback<P, R> = Option<TypedFunc<P, R>>;

/// The guest's callbacks. First parameter: the context id.
pub(crate) struct Exports {
    pub(crate) initialize: Callback<(), ()>,
    pub(crate) start: Callback<(), ()>,
    /// With two numbers that nobody uses.
    pub(crate) main: Callback<(u32, u32), u32>,
    pub(crate) main_void: Callback<(), u32>,
    /// With the parent's id, zero for a root.
    pub(crate) on_context_create: Callback<(u32, u32), ()>,
    /// With the size of the configuration.
    pub(crate) on_vm_start: Callback<(u32, u32), u32>,
    pub(crate) on_configure: Callback<(u32, u32), u32>,
    pub(crate) on_tick: Callback<u32, ()>,
    /// With the queue's number.
    pub(crate) on_queue_ready: Callback<(u32, u32), ()>,
    /// With the number of headers, and whether they end the stream.
    pub(crate) on_request_headers: Callback<(u32, u32, u32), u32>,
    /// With the number of bytes, and whether they end the stream.
    pub(crate) on_request_body: Callback<(u32, u32, u32), u32>,
    pub(crate) on_request_trailers: Callback<(u32, u32), u32>,
    pub(crate) on_response_headers: Callback<(u32, u32, u32), u32>,
    pub(crate) on_response_body: Callback<(u32, u32, u32), u32>,
    pub(crate) on_response_trailers: Callback<(u32, u32), u32>,
    pub(crate) on_new_connection: Callback<u32, u32>,
    /// With the number of bytes, and whether they end the stream.
    pub(crate) on_downstream_data: Callback<(u32, u32, u32), u32>,
    pub(crate) on_upstream_data: Callback<(u32, u32, u32), u32>,
    /// With who closed it.
    pub(crate) on_downstream_close: Callback<(u32, u32), ()>,
    pub(crate) on_upstream_close: Callback<(u32, u32), ()>,
    /// With the call's number, and how many headers, bytes of body and trailers there are.
    pub(crate) on_http_call_response: Callback<(u32, u32, u32, u32, u32), ()>,
    /// With the call's number, and how many elements there are.
    pub(crate) on_grpc_receive_initial_metadata: Callback<(u32, u32, u32), ()>,
    /// With the call's number, and how many bytes there are.
    pub(crate) on_grpc_receive: Callback<(u32, u32, u32), ()>,
    pub(crate) on_grpc_receive_trailing_metadata: Callback<(u32, u32, u32), ()>,
    /// With the call's number, and gRPC's status.
    pub(crate) on_grpc_close: Callback<(u32, u32, u32), ()>,
    /// With the function's number, and how many bytes of arguments there are.
    pub(crate) on_foreign_function: Callback<(u32, u32, u32), ()>,
    pub(crate) on_done: Callback<u32, u32>,
    pub(crate) on_log: Callback<u32, ()>,
    pub(crate) on_delete: Callback<u32, ()>,
}

impl Exports {
    pub(crate) fn find(store: &mut Store<HostState>, instance: &Instance) -> Result<Self, VmError> {
        Ok(Self {
            initialize: find(store, instance, "_initialize")?,
            start: find(store, instance, "_start")?,
            main: find(store, instance, "main")?,
            main_void: find(store, instance, "__main_void")?,
            on_context_create: find(store, instance, "proxy_on_context_create")?,
            on_vm_start: find(store, instance, "proxy_on_vm_start")?,
            on_configure: find(store, instance, "proxy_on_configure")?,
            on_tick: find(store, instance, "proxy_on_tick")?,
            on_queue_ready: find(store, instance, "proxy_on_queue_ready")?,
            on_request_headers: find(store, instance, "proxy_on_request_headers")?,
            on_request_body: find(store, instance, "proxy_on_request_body")?,
            on_request_trailers: find(store, instance, "proxy_on_request_trailers")?,
            on_response_headers: find(store, instance, "proxy_on_response_headers")?,
            on_response_body: find(store, instance, "proxy_on_response_body")?,
            on_response_trailers: find(store, instance, "proxy_on_response_trailers")?,
            on_new_connection: find(store, instance, "proxy_on_new_connection")?,
            on_downstream_data: find(store, instance, "proxy_on_downstream_data")?,
            on_upstream_data: find(store, instance, "proxy_on_upstream_data")?,
            on_downstream_close: find(store, instance, "proxy_on_downstream_connection_close")?,
            on_upstream_close: find(store, instance, "proxy_on_upstream_connection_close")?,
            on_http_call_response: find(store, instance, "proxy_on_http_call_response")?,
            on_grpc_receive_initial_metadata: find(
                store,
                instance,
                "proxy_on_grpc_receive_initial_metadata",
            )?,
            on_grpc_receive: find(store, instance, "proxy_on_grpc_receive")?,
            on_grpc_receive_trailing_metadata: find(
                store,
                instance,
                "proxy_on_grpc_receive_trailing_metadata",
            )?,
            on_grpc_close: find(store, instance, "proxy_on_grpc_close")?,
            on_foreign_function: find(store, instance, "proxy_on_foreign_function")?,
            on_done: find(store, instance, "proxy_on_done")?,
            on_log: find(store, instance, "proxy_on_log")?,
            on_delete: find(store, instance, "proxy_on_delete")?,
        })
    }
}

/// The guest's memory and allocator, without which nothing can be handed to it.
pub(crate) fn handles(
    store: &mut Store<HostState>,
    instance: &Instance,
) -> Result<GuestHandles, VmError> {
    let memory = instance.get_memory(&mut *store, "memory").ok_or_else(|| VmError::Signature {
        name: "memory",
        reason: "expected a memory that is not shared".to_owned(),
    })?;
    let allocate = match find(store, instance, "proxy_on_memory_allocate")? {
        Some(allocate) => Some(allocate),
        None => find(store, instance, "malloc")?,
    };
    let allocate = allocate.ok_or_else(|| VmError::Signature {
        name: "proxy_on_memory_allocate",
        reason: "expected a function, found another kind of export".to_owned(),
    })?;
    Ok(GuestHandles { memory, allocate })
}

fn find<P: WasmParams, R: WasmResults>(
    store: &mut Store<HostState>,
    instance: &Instance,
    name: &'static str,
) -> Result<Callback<P, R>, VmError> {
    instance
        .get_func(&mut *store, name)
        .map(|function| function.typed(&mut *store))
        .transpose()
        .map_err(|error| VmError::Signature { name, reason: format!("{error:#}") })
}
