//! gRPC calls and streams to other services.

use std::collections::VecDeque;

use wasmtime::Linker;

use super::http_call::{deadline, text, timeout_of};
use crate::callouts::outstanding::{CallKind, GrpcRequest, MAX_CALL_BYTES, OpenStream};
use crate::callouts::{GrpcMessage, GrpcStreamState};
use crate::memory::{Fault, Guest, answer, read, write_u32};
use crate::state::HostState;
use crate::{Status, pairs};

/// As many messages of one stream as wait to be read.
const MAX_UNREAD: usize = 4096;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker
        .func_wrap(
            "env",
            "proxy_grpc_call",
            |mut guest: Guest<'_>,
             upstream: u32,
             upstream_size: u32,
             service: u32,
             service_size: u32,
             method: u32,
             method_size: u32,
             metadata: u32,
             metadata_size: u32,
             message: u32,
             message_size: u32,
             timeout: u32,
             call: u32| {
                let place = Place {
                    upstream: (upstream, upstream_size),
                    service: (service, service_size),
                    method: (method, method_size),
                    metadata: (metadata, metadata_size),
                    message: (message, message_size),
                };
                answer(dispatch(&mut guest, &place, timeout, call))
            },
        )?
        .func_wrap(
            "env",
            "proxy_grpc_stream",
            |mut guest: Guest<'_>,
             upstream: u32,
             upstream_size: u32,
             service: u32,
             service_size: u32,
             method: u32,
             method_size: u32,
             metadata: u32,
             metadata_size: u32,
             stream: u32| {
                let place = Place {
                    upstream: (upstream, upstream_size),
                    service: (service, service_size),
                    method: (method, method_size),
                    metadata: (metadata, metadata_size),
                    message: (0, 0),
                };
                answer(open(&mut guest, &place, stream))
            },
        )?
        .func_wrap(
            "env",
            "proxy_grpc_send",
            |mut guest: Guest<'_>, stream: u32, message: u32, size: u32, last: u32| {
                answer(send(&mut guest, stream, (message, size), last != 0))
            },
        )?
        .func_wrap("env", "proxy_grpc_cancel", |mut guest: Guest<'_>, call: u32| {
            answer(cancel(guest.data_mut(), call).map_err(Fault::from))
        })?
        .func_wrap("env", "proxy_grpc_close", |mut guest: Guest<'_>, call: u32| {
            answer(close(guest.data_mut(), call).map_err(Fault::from))
        })?;
    Ok(())
}

/// Where in the guest's memory the parts of a request are, and how long.
struct Place {
    upstream: (u32, u32),
    service: (u32, u32),
    method: (u32, u32),
    metadata: (u32, u32),
    message: (u32, u32),
}

fn request(guest: &mut Guest<'_>, place: &Place) -> Result<GrpcRequest, Status> {
    let upstream = text(guest, place.upstream)?;
    let service = text(guest, place.service)?;
    let method = text(guest, place.method)?;
    let metadata = read(guest, place.metadata.0, place.metadata.1)?;
    let message = read(guest, place.message.0, place.message.1)?;
    guest.data().settings.upstreams.check(&upstream, Status::ParseFailure)?;
    let initial_metadata = pairs::decode(&metadata).unwrap_or_default();
    Ok(GrpcRequest { upstream, service, method, initial_metadata, message, timeout: None })
}

fn dispatch(
    guest: &mut Guest<'_>,
    place: &Place,
    timeout: u32,
    return_call: u32,
) -> Result<(), Fault> {
    let mut request = request(guest, place)?;
    write_u32(guest, return_call, 0)?;
    request.timeout = timeout_of(timeout)?;
    let state = guest.data_mut();
    let deadline = deadline(state, request.timeout);
    let root = state.acting_root();
    let call = state.callouts.grpc.add(root, deadline, request.bytes(), request)?;
    Ok(write_u32(guest, return_call, call)?)
}

fn open(guest: &mut Guest<'_>, place: &Place, return_stream: u32) -> Result<(), Fault> {
    let request = request(guest, place)?;
    write_u32(guest, return_stream, 0)?;
    let state = guest.data_mut();
    let root = state.acting_root();
    let bytes = request.bytes();
    let state_now = GrpcStreamState::Open;
    let stream = OpenStream { request, sent: VecDeque::new(), unread: 0, state: state_now };
    let stream = state.callouts.streams.add(root, None, bytes, stream)?;
    Ok(write_u32(guest, return_stream, stream)?)
}

/// What is sent after the guest's own end is taken and goes nowhere.
fn send(
    guest: &mut Guest<'_>,
    stream: u32,
    (message, size): (u32, u32),
    end_of_stream: bool,
) -> Result<(), Fault> {
    let bytes = read(guest, message, size)?;
    if CallKind::of(stream) == Some(CallKind::Grpc) {
        return Err(Status::BadArgument.into());
    }
    let streams = &mut guest.data_mut().callouts.streams;
    let unread = streams.unread();
    let stream = &mut streams.get_mut(stream).ok_or(Status::NotFound)?.what;
    if stream.state != GrpcStreamState::Open {
        return Ok(());
    }
    if unread.saturating_add(bytes.len()) > MAX_CALL_BYTES || stream.sent.len() >= MAX_UNREAD {
        return Err(Status::InternalFailure.into());
    }
    stream.unread += bytes.len();
    stream.sent.push_back(GrpcMessage { bytes, end_of_stream });
    if end_of_stream {
        stream.state = GrpcStreamState::ClosedByGuest;
    }
    Ok(())
}

fn cancel(state: &mut HostState, call: u32) -> Result<(), Status> {
    match CallKind::of(call) {
        Some(CallKind::Grpc) => state.callouts.grpc.remove(call).map(|_| ()),
        Some(CallKind::GrpcStream) => state.callouts.streams.remove(call).map(|_| ()),
        Some(CallKind::Http) | None => return Err(Status::BadArgument),
    }
    .ok_or(Status::NotFound)
}

/// Closing a call is cancelling it; a stream is over once both have closed it.
fn close(state: &mut HostState, call: u32) -> Result<(), Status> {
    if CallKind::of(call) != Some(CallKind::GrpcStream) {
        return cancel(state, call);
    }
    let streams = &mut state.callouts.streams;
    let stream = &mut streams.get_mut(call).ok_or(Status::NotFound)?.what;
    if stream.state == GrpcStreamState::ClosedByService {
        streams.remove(call);
    } else {
        stream.state = GrpcStreamState::ClosedByGuest;
    }
    Ok(())
}
