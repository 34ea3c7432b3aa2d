//! Header and trailer maps, and gRPC metadata.

use wasmtime::Linker;

use crate::abi::MapKind;
use crate::memory::{Fault, Guest, answer, give, read, write_u32};
use crate::state::HostState;
use crate::{Dialect, Headers, Status, pairs};

/// What a guest can put into the maps and properties of one stream; it bounds the host's memory.
const MAX_KEPT_BYTES: usize = 64 * 1024 * 1024;
/// No map has more entries than this: reading one costs more the more there are.
const MAX_ENTRIES: usize = 16_384;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker
        .func_wrap(
            "env",
            "proxy_get_header_map_value",
            |mut guest: Guest<'_>, kind, key: u32, key_size: u32, value: u32, value_size: u32| {
                answer(get(&mut guest, kind, (key, key_size), (value, value_size)))
            },
        )?
        .func_wrap(
            "env",
            "proxy_add_header_map_value",
            |mut guest: Guest<'_>, kind, key: u32, key_size: u32, value: u32, value_size: u32| {
                let (key, value) = ((key, key_size), (value, value_size));
                answer(change(&mut guest, kind, key, value, Headers::append))
            },
        )?
        .func_wrap(
            "env",
            "proxy_replace_header_map_value",
            |mut guest: Guest<'_>, kind, key: u32, key_size: u32, value: u32, value_size: u32| {
                let (key, value) = ((key, key_size), (value, value_size));
                answer(change(&mut guest, kind, key, value, Headers::set))
            },
        )?
        .func_wrap(
            "env",
            "proxy_remove_header_map_value",
            |mut guest: Guest<'_>, kind, key: u32, key_size: u32| {
                answer(remove(&mut guest, kind, (key, key_size)))
            },
        )?
        .func_wrap(
            "env",
            "proxy_get_header_map_pairs",
            |mut guest: Guest<'_>, kind, pointer, size| {
                answer(get_all(&mut guest, kind, pointer, size))
            },
        )?
        .func_wrap(
            "env",
            "proxy_set_header_map_pairs",
            |mut guest: Guest<'_>, kind, pointer, size| {
                answer(set_all(&mut guest, kind, pointer, size))
            },
        )?
        .func_wrap("env", "proxy_get_header_map_size", |mut guest: Guest<'_>, kind, size| {
            answer(get_size(&mut guest, kind, size))
        })?;
    Ok(())
}

fn get(
    guest: &mut Guest<'_>,
    kind: u32,
    key: (u32, u32),
    (return_value, return_size): (u32, u32),
) -> Result<(), Fault> {
    let kind = MapKind::from_abi(kind)?;
    let name = name(guest, key)?;
    let state = guest.data();
    // A map that is not open is the guest's mistake, except in the access log, where any may lack.
    let absent = if state.stream().is_some_and(|stream| stream.logging) {
        Status::NotFound
    } else {
        Status::BadArgument
    };
    let map = readable(state, kind).ok_or(absent)?;
    let value = map.get(&name).ok_or(Status::NotFound)?.to_vec();
    give(guest, &value, return_value, return_size)
}

fn change(
    guest: &mut Guest<'_>,
    kind: u32,
    key: (u32, u32),
    (value, value_size): (u32, u32),
    change: impl FnOnce(&mut Headers, String, Vec<u8>),
) -> Result<(), Fault> {
    let kind = MapKind::from_abi(kind)?;
    let name = name(guest, key)?;
    let value = read(guest, value, value_size)?;
    if writable(guest, kind)?.len() >= MAX_ENTRIES {
        return Err(Status::InternalFailure.into());
    }
    keep(guest.data_mut(), name.len() + value.len())?;
    change(writable(guest, kind)?, name, value);
    Ok(())
}

fn remove(guest: &mut Guest<'_>, kind: u32, key: (u32, u32)) -> Result<(), Fault> {
    let kind = MapKind::from_abi(kind)?;
    let name = name(guest, key)?;
    writable(guest, kind)?.remove(&name);
    Ok(())
}

/// A map that is not open reads as an empty one: so it is in Envoy, though a single value of the same
/// map is a bad argument.
fn get_all(
    guest: &mut Guest<'_>,
    kind: u32,
    return_pointer: u32,
    return_size: u32,
) -> Result<(), Fault> {
    let kind = MapKind::from_abi(kind)?;
    let bytes = readable(guest.data(), kind)
        .filter(|headers| !headers.is_empty())
        .map(pairs::encode)
        .unwrap_or_default();
    give(guest, &bytes, return_pointer, return_size)
}

/// Pairs that cannot be read empty the map: the C++ host takes them for no pairs.
fn set_all(guest: &mut Guest<'_>, kind: u32, pointer: u32, size: u32) -> Result<(), Fault> {
    let kind = MapKind::from_abi(kind)?;
    let bytes = read(guest, pointer, size)?;
    keep(guest.data_mut(), bytes.len())?;
    *writable(guest, kind)? = pairs::decode(&bytes).unwrap_or_default();
    Ok(())
}

fn get_size(guest: &mut Guest<'_>, kind: u32, return_size: u32) -> Result<(), Fault> {
    let kind = MapKind::from_abi(kind)?;
    let size = match guest.data().settings.dialect {
        Dialect::Envoy => writable(guest, kind)?.byte_size(),
        Dialect::Specification => readable(guest.data(), kind).map_or(0, Headers::byte_size),
    };
    let size = u32::try_from(size).map_err(|_| Status::InternalFailure)?;
    Ok(write_u32(guest, return_size, size)?)
}

fn readable(state: &HostState, kind: MapKind) -> Option<&Headers> {
    let delivered = || state.delivered();
    match kind {
        MapKind::GrpcInitialMetadata => delivered()?.grpc_initial_metadata.as_ref(),
        MapKind::GrpcTrailingMetadata => delivered()?.grpc_trailing_metadata.as_ref(),
        MapKind::HttpCallHeaders => delivered()?.http_headers.as_ref(),
        MapKind::HttpCallTrailers => delivered()?.http_trailers.as_ref(),
        _ => state.stream()?.readable(kind),
    }
}

/// Counts what the guest leaves with the host in this stream.
pub(super) fn keep(state: &mut HostState, bytes: usize) -> Result<(), Status> {
    let origin = state.origin_mut().ok_or(Status::BadArgument)?;
    origin.kept_bytes = origin.kept_bytes.saturating_add(bytes);
    if origin.kept_bytes > MAX_KEPT_BYTES { Err(Status::InternalFailure) } else { Ok(()) }
}

fn writable<'a>(guest: &'a mut Guest<'_>, kind: MapKind) -> Result<&'a mut Headers, Status> {
    guest
        .data_mut()
        .stream_mut()
        .and_then(|stream| stream.writable(kind))
        .ok_or(Status::BadArgument)
}

/// Header names are text; a guest that names one with other bytes is wrong.
fn name(guest: &mut Guest<'_>, (pointer, size): (u32, u32)) -> Result<String, Status> {
    String::from_utf8(read(guest, pointer, size)?).map_err(|_| Status::BadArgument)
}
