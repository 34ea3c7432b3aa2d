//! Buffers: bodies, connection data, what callouts brought, configurations.

use wasmtime::Linker;

use crate::Status;
use crate::abi::BufferKind;
use crate::memory::{Fault, Guest, answer, give, read, write_u32};
use crate::state::HostState;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker
        .func_wrap(
            "env",
            "proxy_get_buffer_bytes",
            |mut guest: Guest<'_>, kind, start, length, pointer: u32, size: u32| {
                answer(get_bytes(&mut guest, kind, start, length, (pointer, size)))
            },
        )?
        .func_wrap(
            "env",
            "proxy_get_buffer_status",
            |mut guest: Guest<'_>, kind, length, flags| {
                answer(get_status(&mut guest, kind, length, flags))
            },
        )?
        .func_wrap(
            "env",
            "proxy_set_buffer_bytes",
            |mut guest: Guest<'_>, kind, start, length, pointer: u32, size: u32| {
                answer(set_bytes(&mut guest, kind, start, length, (pointer, size)))
            },
        )?;
    Ok(())
}

fn get_bytes(
    guest: &mut Guest<'_>,
    kind: u32,
    start: u32,
    length: u32,
    (return_pointer, return_size): (u32, u32),
) -> Result<(), Fault> {
    let piece = with_buffer(guest, kind, |bytes| {
        let (start, length) = (u64::from(start), u64::from(length));
        let (start, end) = (clamp(start, bytes), clamp(start + length, bytes));
        bytes.get(start..end).unwrap_or_default().to_vec()
    })?;
    give(guest, &piece, return_pointer, return_size)
}

fn get_status(
    guest: &mut Guest<'_>,
    kind: u32,
    return_length: u32,
    return_flags: u32,
) -> Result<(), Fault> {
    let length = with_buffer(guest, kind, <[u8]>::len)?;
    let length = u32::try_from(length).map_err(|_| Status::InternalFailure)?;
    write_u32(guest, return_length, length)?;
    // No flag is defined.
    write_u32(guest, return_flags, 0)?;
    Ok(())
}

fn set_bytes(
    guest: &mut Guest<'_>,
    kind: u32,
    start: u32,
    length: u32,
    (pointer, size): (u32, u32),
) -> Result<(), Fault> {
    let kind = BufferKind::from_abi(kind)?;
    let data = read(guest, pointer, size)?;
    let state = guest.data_mut();
    let dialect = state.settings.dialect;
    let buffer = match kind {
        BufferKind::Body(half) => state.stream_mut().map(|stream| &mut stream.direction(half).body),
        BufferKind::Data(side) => {
            state.connection_mut().map(|connection| &mut connection.side(side).data)
        }
        // What the guest is only told.
        _ => None,
    };
    let buffer = buffer.filter(|buffer| buffer.open).ok_or(Status::BadArgument)?;
    Ok(buffer.splice(dialect, (start, length), &data)?)
}

/// Bytes that are not there are an empty buffer; a configuration that is not being handed over, or an
/// answer that did not come, is no buffer at all.
fn with_buffer<R>(
    guest: &mut Guest<'_>,
    kind: u32,
    look: impl FnOnce(&[u8]) -> R,
) -> Result<R, Status> {
    let state = guest.data_mut();
    let delivered = match BufferKind::from_abi(kind)? {
        BufferKind::VmConfiguration => return Ok(look(&state.settings.vm_configuration)),
        BufferKind::PluginConfiguration => {
            let root = state.root_mut().filter(|root| root.configuring);
            return root.map(|root| look(&root.configuration)).ok_or(Status::NotFound);
        }
        BufferKind::Body(half) => {
            let body = state.stream_mut().map(|stream| &stream.direction(half).body);
            return Ok(look(body.filter(|body| body.open).map_or(&[], |body| &body.bytes)));
        }
        BufferKind::Data(side) => {
            let data = state.connection_mut().map(|connection| &connection.side(side).data);
            return Ok(look(data.filter(|data| data.open).map_or(&[], |data| &data.bytes)));
        }
        BufferKind::HttpCallBody => state.delivered().and_then(|it| it.http_body.as_deref()),
        BufferKind::GrpcMessage => state.delivered().and_then(|it| it.grpc_message.as_deref()),
        BufferKind::ForeignArguments => {
            state.delivered().and_then(|it| it.foreign_arguments.as_deref())
        }
    };
    delivered.map(look).ok_or(Status::NotFound)
}

fn clamp(position: u64, bytes: &[u8]) -> usize {
    usize::try_from(position).map_or(bytes.len(), |position| position.min(bytes.len()))
}
