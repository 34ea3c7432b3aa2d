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
    pub(crate) main: Callback<(), u32>,
    /// With the parent's id, zero for a root.
    pub(crate) on_context_create: Callback<(u32, u32), ()>,
    /// With the size of the configuration.
    pub(crate) on_vm_start: Callback<(u32, u32), u32>,
    pub(crate) on_configure: Callback<(u32, u32), u32>,
    pub(crate) on_tick: Callback<u32, ()>,
    /// With the number of headers, and whether they end the stream.
    pub(crate) on_request_headers: Callback<(u32, u32, u32), u32>,
    /// With the number of bytes, and whether they end the stream.
    pub(crate) on_request_body: Callback<(u32, u32, u32), u32>,
    pub(crate) on_request_trailers: Callback<(u32, u32), u32>,
    pub(crate) on_response_headers: Callback<(u32, u32, u32), u32>,
    pub(crate) on_response_body: Callback<(u32, u32, u32), u32>,
    pub(crate) on_response_trailers: Callback<(u32, u32), u32>,
    pub(crate) on_done: Callback<u32, u32>,
    pub(crate) on_log: Callback<u32, ()>,
    pub(crate) on_delete: Callback<u32, ()>,
}

impl Exports {
    pub(crate) fn find(store: &mut Store<HostState>, instance: &Instance) -> Result<Self, VmError> {
        Ok(Self {
            initialize: find(store, instance, "_initialize")?,
            start: find(store, instance, "_start")?,
            main: find(store, instance, "__main_void")?,
            on_context_create: find(store, instance, "proxy_on_context_create")?,
            on_vm_start: find(store, instance, "proxy_on_vm_start")?,
            on_configure: find(store, instance, "proxy_on_configure")?,
            on_tick: find(store, instance, "proxy_on_tick")?,
            on_request_headers: find(store, instance, "proxy_on_request_headers")?,
            on_request_body: find(store, instance, "proxy_on_request_body")?,
            on_request_trailers: find(store, instance, "proxy_on_request_trailers")?,
            on_response_headers: find(store, instance, "proxy_on_response_headers")?,
            on_response_body: find(store, instance, "proxy_on_response_body")?,
            on_response_trailers: find(store, instance, "proxy_on_response_trailers")?,
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
    let allocate = match find(store, instance, "malloc")? {
        Some(malloc) => Some(malloc),
        None => find(store, instance, "proxy_on_memory_allocate")?,
    };
    let allocate = allocate.ok_or_else(|| VmError::Signature {
        name: "malloc",
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
