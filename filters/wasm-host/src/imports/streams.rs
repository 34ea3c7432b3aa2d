//! What becomes of the stream: local responses, going on, closing.

use wasmtime::Linker;

use crate::abi::Half;
use crate::memory::{Fault, Guest, answer, read};
use crate::state::HostState;
use crate::{Headers, LocalResponse, Status, pairs};

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker
        .func_wrap(
            "env",
            "proxy_send_local_response",
            |mut guest: Guest<'_>,
             status: u32,
             details: u32,
             details_size: u32,
             body: u32,
             body_size: u32,
             headers: u32,
             headers_size: u32,
             grpc_status: u32| {
                let details = (details, details_size);
                let (body, headers) = ((body, body_size), (headers, headers_size));
                let sent =
                    send_local_response(&mut guest, status, details, body, headers, grpc_status);
                answer(sent)
            },
        )?
        .func_wrap("env", "proxy_continue_stream", |mut guest: Guest<'_>, half: u32| {
            answer(continue_stream(&mut guest, half))
        })?
        .func_wrap("env", "proxy_close_stream", |mut guest: Guest<'_>, half: u32| {
            answer(close_stream(&mut guest, half))
        })?;
    Ok(())
}

/// Outside a stream there is nobody to answer, and Envoy takes the call and does nothing.
fn send_local_response(
    guest: &mut Guest<'_>,
    status: u32,
    (details, details_size): (u32, u32),
    (body, body_size): (u32, u32),
    (headers, headers_size): (u32, u32),
    grpc_status: u32,
) -> Result<(), Fault> {
    let details = read(guest, details, details_size)?;
    let body = read(guest, body, body_size)?;
    let headers = read(guest, headers, headers_size)?;
    let response = LocalResponse {
        status: u16::try_from(status).map_err(|_| Status::BadArgument)?,
        headers: pairs::decode(&headers).unwrap_or_default(),
        body,
        details: String::from_utf8_lossy(&details).split_whitespace().collect::<Vec<_>>().join("_"),
        // The SDKs write "none" as -1; gRPC's own codes end at 16.
        grpc_status: (grpc_status <= 16).then_some(grpc_status),
    };
    if let Some(stream) = guest.data_mut().stream_mut() {
        stream.reply.get_or_insert(response);
    }
    Ok(())
}

fn continue_stream(guest: &mut Guest<'_>, half: u32) -> Result<(), Fault> {
    let half = Half::from_abi(half)?;
    if let (Some(half), Some(stream)) = (half, guest.data_mut().stream_mut()) {
        stream.resume(half);
    }
    Ok(())
}

fn close_stream(guest: &mut Guest<'_>, half: u32) -> Result<(), Fault> {
    let half = Half::from_abi(half)?;
    if let (Some(_), Some(stream)) = (half, guest.data_mut().stream_mut()) {
        stream.reset = true;
    }
    Ok(())
}

/// What the proxy makes of a local response before the filter's response phases see it.
pub(crate) fn response_headers(response: &LocalResponse) -> Headers {
    let mut headers = response.headers.clone();
    headers.set(":status", response.status.to_string());
    if response.body.is_empty() {
        headers.remove("content-length");
        headers.remove("content-type");
    } else {
        headers.set("content-length", response.body.len().to_string());
        if !headers.contains("content-type") {
            headers.set("content-type", "text/plain");
        }
    }
    headers
}
