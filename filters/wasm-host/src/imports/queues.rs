//! Shared queues.

use wasmtime::Linker;

use crate::memory::{Fault, Guest, answer, give, read, write_u32};
use crate::state::HostState;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker
        .func_wrap(
            "env",
            "proxy_register_shared_queue",
            |mut guest: Guest<'_>, name: u32, name_size: u32, queue: u32| {
                answer(register(&mut guest, (name, name_size), queue))
            },
        )?
        .func_wrap(
            "env",
            "proxy_resolve_shared_queue",
            |mut guest: Guest<'_>,
             vm_id: u32,
             vm_id_size: u32,
             name: u32,
             name_size: u32,
             queue: u32| {
                answer(resolve(&mut guest, (vm_id, vm_id_size), (name, name_size), queue))
            },
        )?
        .func_wrap(
            "env",
            "proxy_enqueue_shared_queue",
            |mut guest: Guest<'_>, queue: u32, item: u32, size: u32| {
                answer(enqueue(&mut guest, queue, (item, size)))
            },
        )?
        .func_wrap(
            "env",
            "proxy_dequeue_shared_queue",
            |mut guest: Guest<'_>, queue: u32, item: u32, size: u32| {
                answer(dequeue(&mut guest, queue, (item, size)))
            },
        )?;
    Ok(())
}

/// The plugin is told of items, also where a stream registers.
fn register(
    guest: &mut Guest<'_>,
    (name, name_size): (u32, u32),
    return_queue: u32,
) -> Result<(), Fault> {
    let name = read(guest, name, name_size)?;
    let state = guest.data();
    let queue = state.queues.register(&state.settings.vm_id, &name, state.acting_root())?;
    Ok(write_u32(guest, return_queue, queue)?)
}

/// No vm id is the guest's own.
fn resolve(
    guest: &mut Guest<'_>,
    (vm_id, vm_id_size): (u32, u32),
    (name, name_size): (u32, u32),
    return_queue: u32,
) -> Result<(), Fault> {
    let vm_id = read(guest, vm_id, vm_id_size)?;
    let name = read(guest, name, name_size)?;
    let state = guest.data();
    let vm_id = if vm_id.is_empty() { state.settings.vm_id.as_bytes() } else { &vm_id };
    let queue = state.queues.resolve(vm_id, &name)?;
    Ok(write_u32(guest, return_queue, queue)?)
}

fn enqueue(guest: &mut Guest<'_>, queue: u32, (item, size): (u32, u32)) -> Result<(), Fault> {
    let item = read(guest, item, size)?;
    Ok(guest.data().queues.enqueue(queue, item)?)
}

fn dequeue(
    guest: &mut Guest<'_>,
    queue: u32,
    (return_item, return_size): (u32, u32),
) -> Result<(), Fault> {
    // An item that cannot be handed over is gone, as it is in Envoy.
    let item = guest.data().queues.dequeue(queue)?;
    give(guest, &item, return_item, return_size)
}
