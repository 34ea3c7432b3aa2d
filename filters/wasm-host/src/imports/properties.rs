//! Properties.

use wasmtime::Linker;

use super::headers::keep;
use crate::Status;
use crate::memory::{Fault, Guest, answer, give, read};
use crate::properties::find;
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

/// A root context has no stream whose state it could set.
fn set(
    guest: &mut Guest<'_>,
    (path, path_size): (u32, u32),
    (value, value_size): (u32, u32),
) -> Result<(), Fault> {
    let path = read(guest, path, path_size)?;
    let value = read(guest, value, value_size)?;
    let state = guest.data_mut();
    state.origin().ok_or(Status::NotFound)?;
    keep(state, path.len() + value.len())?;
    if let Some(origin) = state.origin_mut() {
        origin.set.insert(path, value);
    }
    Ok(())
}
