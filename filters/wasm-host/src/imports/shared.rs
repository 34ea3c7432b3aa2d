//! Data that VMs share.

use wasmtime::Linker;

use crate::Status;
use crate::memory::{Fault, Guest, answer, give, read, write_u32};
use crate::state::HostState;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker
        .func_wrap(
            "env",
            "proxy_get_shared_data",
            |mut guest: Guest<'_>, key: u32, key_size: u32, value: u32, value_size: u32, cas| {
                answer(get(&mut guest, (key, key_size), (value, value_size), cas))
            },
        )?
        .func_wrap(
            "env",
            "proxy_set_shared_data",
            |mut guest: Guest<'_>, key: u32, key_size: u32, value: u32, value_size: u32, cas| {
                answer(set(&mut guest, (key, key_size), (value, value_size), cas))
            },
        )?;
    Ok(())
}

fn get(
    guest: &mut Guest<'_>,
    (key, key_size): (u32, u32),
    (return_value, return_size): (u32, u32),
    return_cas: u32,
) -> Result<(), Fault> {
    let key = read(guest, key, key_size)?;
    let settings = &guest.data().settings;
    let (value, cas) = settings.shared_data.get(&settings.vm_id, &key).ok_or(Status::NotFound)?;
    give(guest, &value, return_value, return_size)?;
    Ok(write_u32(guest, return_cas, cas)?)
}

fn set(
    guest: &mut Guest<'_>,
    (key, key_size): (u32, u32),
    (value, value_size): (u32, u32),
    cas: u32,
) -> Result<(), Fault> {
    let key = read(guest, key, key_size)?;
    let value = read(guest, value, value_size)?;
    let settings = &guest.data().settings;
    Ok(settings.shared_data.set(&settings.vm_id, &key, &value, cas)?)
}
