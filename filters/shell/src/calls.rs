//! Envoy's functions, and the memory that it hands over (proxy-wasm ABI 0.2.1).
//!
//! This is the one file of the filters that holds `unsafe`. A status is a number here, because it
//! is whatever the host says; the SDK takes it for one of those that it knows.

#![allow(unsafe_code, reason = "calls of the host, which takes and hands over memory")]

use std::ptr;

/// What the host answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(u32);

impl Status {
    const OK: Self = Self(0);
    pub(crate) const NOT_FOUND: Self = Self(1);

    fn ok(self) -> Result<(), Self> {
        if self == Self::OK { Ok(()) } else { Err(self) }
    }
}

/// `proxy_map_type_t`: the request's headers.
const REQUEST_HEADERS: u32 = 0;
/// `proxy_buffer_type_t`: the configuration that was pushed.
const PLUGIN_CONFIGURATION: u32 = 7;
/// `proxy_metric_type_t`.
const COUNTER: u32 = 0;
/// To `proxy_send_local_response`: no gRPC status.
const NO_GRPC_STATUS: i32 = -1;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(now: *mut u64) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        most: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, size: usize) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        version: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        version: u32,
    ) -> u32;
    fn proxy_set_property(
        path: *const u8,
        path_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, size: usize, metric: *mut u32) -> u32;
    fn proxy_increment_metric(metric: u32, by: i64) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        arguments: *const u8,
        arguments_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
}

#[cfg(target_os = "wasi")]
unsafe extern "C" {
    fn __wasm_call_ctors();
}

/// Runs the C library's constructors. Where nobody calls them the linker has every export call
/// them.
pub(crate) fn construct() {
    #[cfg(target_os = "wasi")]
    // SAFETY: the linker makes this function, of this module's constructors; `start` calls it once,
    // before all else.
    unsafe {
        __wasm_call_ctors();
    }
}

/// Memory for `size` bytes that the host is about to hand over.
pub(crate) fn allocate(size: usize) -> *mut u8 {
    Box::into_raw(vec![0; size].into_boxed_slice()).cast()
}

/// What `call` makes the host hand over.
fn handed_over(
    call: impl FnOnce(*mut *mut u8, *mut usize) -> Status,
) -> Result<Option<Vec<u8>>, Status> {
    let (mut data, mut size) = (ptr::null_mut(), 0);
    call(&raw mut data, &raw mut size).ok()?;
    if data.is_null() {
        return Ok(None);
    }
    // SAFETY: the host upholds that `data` is what it was given by `allocate(size)`, whose memory
    // is a boxed slice of `size` bytes of the global allocator, and that nobody else frees them.
    Ok(Some(unsafe { Vec::from_raw_parts(data, size, size) }))
}

pub(crate) fn log(level: u32, message: &str) {
    // SAFETY: the host reads the message's bytes while the call lasts.
    let _ = unsafe { proxy_log(level, message.as_ptr(), message.len()) };
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn now() -> Result<u64, Status> {
    let mut now = 0;
    // SAFETY: the host writes one number to the place that it is given.
    Status(unsafe { proxy_get_current_time_nanoseconds(&raw mut now) }).ok()?;
    Ok(now)
}

/// The configuration that was pushed; there only while the host calls for it to be taken.
pub(crate) fn configuration() -> Option<Vec<u8>> {
    handed_over(|data, size| {
        // SAFETY: the host writes one address and one size to the places that it is given.
        Status(unsafe { proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, usize::MAX, data, size) })
    })
    .ok()
    .flatten()
}

/// The request's headers, serialized; nothing where there are none.
pub(crate) fn request_headers() -> Result<Option<Vec<u8>>, Status> {
    handed_over(|data, size| {
        // SAFETY: the host writes one address and one size to the places that it is given.
        Status(unsafe { proxy_get_header_map_pairs(REQUEST_HEADERS, data, size) })
    })
}

/// Removes every header of the request that has this name.
pub(crate) fn remove_request_header(name: &str) -> Result<(), Status> {
    // SAFETY: the host reads the name's bytes while the call lasts.
    Status(unsafe { proxy_remove_header_map_value(REQUEST_HEADERS, name.as_ptr(), name.len()) })
        .ok()
}

/// Gives the request's header of this name one value.
pub(crate) fn set_request_header(name: &str, value: &[u8]) -> Result<(), Status> {
    // SAFETY: the host reads the bytes of name and value while the call lasts.
    Status(unsafe {
        proxy_replace_header_map_value(
            REQUEST_HEADERS,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    })
    .ok()
}

/// Answers the request. `headers` are serialized.
pub(crate) fn reply(status: u16, headers: &[u8], body: &str) -> Result<(), Status> {
    // SAFETY: the host reads the bytes of headers and body while the call lasts; of the details
    // there are none to read.
    Status(unsafe {
        proxy_send_local_response(
            status.into(),
            ptr::null(),
            0,
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            NO_GRPC_STATUS,
        )
    })
    .ok()
}

/// A shared value and its version.
pub(crate) fn shared_data(key: &str) -> Result<(Vec<u8>, u32), Status> {
    let mut version = 0;
    let value = handed_over(|data, size| {
        // SAFETY: the host reads the key's bytes while the call lasts, and writes one address, one
        // size and one number to the places that it is given.
        Status(unsafe {
            proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut version)
        })
    })?;
    Ok((value.unwrap_or_default(), version))
}

pub(crate) fn set_shared_data(key: &str, value: &[u8], version: u32) -> Result<(), Status> {
    // SAFETY: the host reads the bytes of key and value while the call lasts.
    Status(unsafe {
        proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), version)
    })
    .ok()
}

/// Leaves a property beside the stream. `name` is its path, of one segment.
pub(crate) fn set_property(name: &str, value: &str) {
    // SAFETY: the host reads the bytes of name and value while the call lasts.
    let _ = unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
}

/// The number of the counter of this name.
pub(crate) fn counter(name: &str) -> Result<u32, Status> {
    let mut counter = 0;
    // SAFETY: the host reads the name's bytes while the call lasts, and writes one number to the
    // place that it is given.
    Status(unsafe { proxy_define_metric(COUNTER, name.as_ptr(), name.len(), &raw mut counter) })
        .ok()?;
    Ok(counter)
}

pub(crate) fn increment(counter: u32) {
    // SAFETY: the host is given numbers.
    let _ = unsafe { proxy_increment_metric(counter, 1) };
}

/// What the foreign function of this name answers.
pub(crate) fn call_foreign_function(name: &str, arguments: &[u8]) -> Result<Vec<u8>, Status> {
    let answer = handed_over(|data, size| {
        // SAFETY: the host reads the bytes of name and arguments while the call lasts, and writes
        // one address and one size to the places that it is given.
        Status(unsafe {
            proxy_call_foreign_function(
                name.as_ptr(),
                name.len(),
                arguments.as_ptr(),
                arguments.len(),
                data,
                size,
            )
        })
    })?;
    Ok(answer.unwrap_or_default())
}

/// Whether the host still has `context`, asked while it calls for `current`.
pub(crate) fn is_alive(context: u32, current: u32) -> bool {
    // SAFETY: the host is given numbers. It does not act for a context that it does not have; for
    // one that it has it acts until told otherwise.
    unsafe {
        let alive = Status(proxy_set_effective_context(context)) == Status::OK;
        let _ = proxy_set_effective_context(current);
        alive
    }
}
