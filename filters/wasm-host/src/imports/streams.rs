//! What becomes of the stream: local responses, going on, closing.

use wasmtime::Linker;

use crate::abi::{Side, StreamKind};
use crate::contexts::exchange::End;
use crate::memory::{Fault, Guest, answer, read};
use crate::state::{AfterCall, HostState};
use crate::{Dialect, LocalResponse, Status, pairs};

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
    let state = guest.data_mut();
    let id = state.acting();
    if let Some(stream) = state.stream_mut()
        && stream.answering.is_none()
    {
        stream.reply.get_or_insert(response);
        state.defer(AfterCall::Reply(id));
    }
    Ok(())
}

/// A stream of the other kind than the context's is taken, and nothing is done: so does Envoy.
fn continue_stream(guest: &mut Guest<'_>, kind: u32) -> Result<(), Fault> {
    let state = guest.data_mut();
    let id = state.acting();
    match StreamKind::from_abi(kind)? {
        StreamKind::Http(half) => {
            if let Some(stream) = state.stream_mut() {
                stream.resume(half);
                state.defer(AfterCall::Resume(id, half));
            }
        }
        StreamKind::Tcp(Side::Upstream) if state.settings.dialect == Dialect::Envoy => {
            return Err(Status::Unimplemented.into());
        }
        StreamKind::Tcp(side) => {
            if let Some(connection) = state.connection_mut() {
                connection.side(side).resumed = true;
                state.defer(AfterCall::Flow(id, side));
            }
        }
    }
    Ok(())
}

/// Either half resets the whole exchange; either side closes the client's connection, and with it both.
fn close_stream(guest: &mut Guest<'_>, kind: u32) -> Result<(), Fault> {
    let state = guest.data_mut();
    let id = state.acting();
    match StreamKind::from_abi(kind)? {
        StreamKind::Http(_) => {
            if let Some(stream) = state.stream_mut() {
                stream.end.get_or_insert(End::Reset);
            }
        }
        StreamKind::Tcp(_) => {
            if let Some(connection) = state.connection_mut() {
                connection.closed = true;
                state.defer(AfterCall::Close(id));
            }
        }
    }
    Ok(())
}
