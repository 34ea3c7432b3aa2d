//! Bodies and configurations.

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
    if kind == BufferKind::Absent {
        return Err(Status::NotFound.into());
    }
    let data = read(guest, pointer, size)?;
    let body = guest
        .data_mut()
        .stream_mut()
        .and_then(|stream| stream.body(kind))
        .filter(|body| body.open)
        .ok_or(Status::BadArgument)?;
    Ok(body.splice(start, length, &data)?)
}

/// A body that is not there is an empty buffer; a configuration that is not being handed over is no
/// buffer at all.
fn with_buffer<R>(
    guest: &mut Guest<'_>,
    kind: u32,
    look: impl FnOnce(&[u8]) -> R,
) -> Result<R, Status> {
    let state = guest.data_mut();
    match BufferKind::from_abi(kind)? {
        BufferKind::Absent => Err(Status::NotFound),
        BufferKind::VmConfiguration => Ok(look(&state.settings.vm_configuration)),
        BufferKind::PluginConfiguration => state
            .root_mut()
            .filter(|root| root.configuring)
            .map(|root| look(&root.configuration))
            .ok_or(Status::NotFound),
        kind @ (BufferKind::RequestBody | BufferKind::ResponseBody) => {
            let body = state.stream_mut().and_then(|stream| stream.body(kind));
            let open = body.filter(|body| body.open);
            Ok(look(open.map_or(&[], |body| &body.bytes)))
        }
    }
}

fn clamp(position: u64, bytes: &[u8]) -> usize {
    usize::try_from(position).map_or(bytes.len(), |position| position.min(bytes.len()))
}
