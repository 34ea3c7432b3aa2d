//! Properties.

use wasmtime::Linker;

use crate::Status;
use crate::memory::{Fault, Guest, answer, give, read};
use crate::properties::{of_filter_state, of_stream};
use crate::state::HostState;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker
        .func_wrap(
            "env",
            "proxy_get_property",
            |mut guest: Guest<'_>, path: u32, path_size: u32, value, value_size| {
                answer(get(&mut guest, (path, path_size), value, value_size))
            },
        )?
        .func_wrap(
            "env",
            "proxy_set_property",
            |mut guest: Guest<'_>, path: u32, path_size: u32, value: u32, value_size: u32| {
                answer(set(&mut guest, (path, path_size), (value, value_size)))
            },
        )?;
    Ok(())
}

fn get(
    guest: &mut Guest<'_>,
    (path, path_size): (u32, u32),
    return_value: u32,
    return_size: u32,
) -> Result<(), Fault> {
    let path = read(guest, path, path_size)?;
    let value = find(guest.data(), &path).ok_or(Status::NotFound)?;
    give(guest, &value, return_value, return_size)
}

fn find(state: &HostState, path: &[u8]) -> Option<Vec<u8>> {
    let settings = &state.settings;
    let stream = state.stream();
    let given = stream
        .and_then(|stream| stream.properties.get(path))
        .or_else(|| settings.properties.get(path));
    if let Some(value) = given {
        return Some(value.clone());
    }
    match path {
        b"plugin_name" => Some(settings.plugin_name.clone().into_bytes()),
        b"plugin_root_id" => Some(settings.root_id.clone().into_bytes()),
        b"plugin_vm_id" => Some(settings.vm_id.clone().into_bytes()),
        _ => of_stream(stream?, path).or_else(|| of_filter_state(stream?, path)),
    }
}

/// A root context has no stream whose state it could set.
fn set(
    guest: &mut Guest<'_>,
    (path, path_size): (u32, u32),
    (value, value_size): (u32, u32),
) -> Result<(), Fault> {
    let path = read(guest, path, path_size)?;
    let value = read(guest, value, value_size)?;
    let stream = guest.data_mut().stream_mut().ok_or(Status::NotFound)?;
    stream.filter_state.insert(path, value);
    Ok(())
}
