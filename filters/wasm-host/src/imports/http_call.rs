//! HTTP calls to other services.

use std::time::Duration;

use wasmtime::Linker;

use crate::callouts::outstanding::HttpRequest;
use crate::memory::{Fault, Guest, answer, read, write_u32};
use crate::state::HostState;
use crate::{Status, pairs};

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_http_call",
        |mut guest: Guest<'_>,
         upstream: u32,
         upstream_size: u32,
         headers: u32,
         headers_size: u32,
         body: u32,
         body_size: u32,
         trailers: u32,
         trailers_size: u32,
         timeout: u32,
         call: u32| {
            let (upstream, headers) = ((upstream, upstream_size), (headers, headers_size));
            let (body, trailers) = ((body, body_size), (trailers, trailers_size));
            answer(dispatch(&mut guest, upstream, headers, body, trailers, timeout, call))
        },
    )?;
    Ok(())
}

fn dispatch(
    guest: &mut Guest<'_>,
    (upstream, upstream_size): (u32, u32),
    (headers, headers_size): (u32, u32),
    (body, body_size): (u32, u32),
    (trailers, trailers_size): (u32, u32),
    timeout: u32,
    return_call: u32,
) -> Result<(), Fault> {
    let upstream = text(guest, (upstream, upstream_size))?;
    let body = read(guest, body, body_size)?;
    let headers = read(guest, headers, headers_size)?;
    let trailers = read(guest, trailers, trailers_size)?;
    // The number's place is tried before anything is sent.
    write_u32(guest, return_call, 0)?;
    let timeout = timeout_of(timeout)?;
    let state = guest.data_mut();
    state.settings.upstreams.check(&upstream, Status::BadArgument)?;
    let mut headers = pairs::decode(&headers).unwrap_or_default();
    if [":authority", ":method", ":path"].iter().any(|name| !headers.contains(name)) {
        return Err(Status::BadArgument.into());
    }
    if !body.is_empty() {
        headers.set("content-length", body.len().to_string());
    }
    let trailers = pairs::decode(&trailers).unwrap_or_default();
    let deadline = deadline(state, timeout);
    let root = state.acting_root();
    let request = HttpRequest { upstream, headers, body, trailers, timeout };
    let call = state.callouts.http.add(root, deadline, request.bytes(), request)?;
    Ok(write_u32(guest, return_call, call)?)
}

/// Zero is no timeout. The C++ host takes the number as signed, and a negative one for a mistake.
pub(super) fn timeout_of(milliseconds: u32) -> Result<Option<Duration>, Status> {
    let milliseconds = i32::try_from(milliseconds).map_err(|_| Status::BadArgument)?;
    let milliseconds = u64::try_from(milliseconds).map_err(|_| Status::BadArgument)?;
    Ok((milliseconds > 0).then(|| Duration::from_millis(milliseconds)))
}

pub(super) fn deadline(state: &HostState, timeout: Option<Duration>) -> Option<Duration> {
    timeout.map(|timeout| state.settings.clock.monotonic().saturating_add(timeout))
}

/// The name of an upstream; one that is not text is of nobody.
pub(super) fn text(guest: &mut Guest<'_>, (pointer, size): (u32, u32)) -> Result<String, Status> {
    let bytes = read(guest, pointer, size)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
