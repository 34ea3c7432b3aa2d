//! The guest's memory, seen from host functions. Every pointer is the guest's word for it, so every
//! access is checked and answers a status where it is wrong.

use wasmtime::{Caller, Memory};

use crate::Status;
use crate::state::HostState;

/// The guest in whose call a host function runs.
pub(crate) type Guest<'a> = Caller<'a, HostState>;

/// Why a host function did not succeed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The guest is told.
    Status(Status),
    /// The guest does not get to know: its own allocator trapped, and so the call is over.
    Trap(wasmtime::Error),
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// How host functions of module `env` answer.
pub(crate) fn answer(result: Result<(), Fault>) -> wasmtime::Result<u32> {
    match result {
        Ok(()) => Ok(Status::Ok as u32),
        Err(Fault::Status(status)) => Ok(status as u32),
        Err(Fault::Trap(error)) => Err(error),
    }
}

/// A copy of the guest's bytes.
pub(crate) fn read(guest: &mut Guest<'_>, pointer: u32, length: u32) -> Result<Vec<u8>, Status> {
    let memory = memory(guest)?;
    let start = usize::try_from(pointer).map_err(|_| Status::InvalidMemoryAccess)?;
    let length = usize::try_from(length).map_err(|_| Status::InvalidMemoryAccess)?;
    let end = start.checked_add(length).ok_or(Status::InvalidMemoryAccess)?;
    let bytes = memory.data(&*guest).get(start..end).ok_or(Status::InvalidMemoryAccess)?.to_vec();
    charge(guest, length);
    Ok(bytes)
}

/// Puts bytes into the guest's memory.
pub(crate) fn write(guest: &mut Guest<'_>, pointer: u32, bytes: &[u8]) -> Result<(), Status> {
    let memory = memory(guest)?;
    let start = usize::try_from(pointer).map_err(|_| Status::InvalidMemoryAccess)?;
    memory.write(&mut *guest, start, bytes).map_err(|_| Status::InvalidMemoryAccess)?;
    charge(guest, bytes.len());
    Ok(())
}

pub(crate) fn write_u32(guest: &mut Guest<'_>, pointer: u32, value: u32) -> Result<(), Status> {
    write(guest, pointer, &value.to_le_bytes())
}

pub(crate) fn write_u64(guest: &mut Guest<'_>, pointer: u32, value: u64) -> Result<(), Status> {
    write(guest, pointer, &value.to_le_bytes())
}

/// Hands bytes over in memory that the guest allocates for them, and writes where and how many they
/// are. No bytes take no memory: the guest gets a null pointer.
pub(crate) fn give(
    guest: &mut Guest<'_>,
    bytes: &[u8],
    return_pointer: u32,
    return_length: u32,
) -> Result<(), Fault> {
    let length = u32::try_from(bytes.len()).map_err(|_| Status::InternalFailure)?;
    let pointer = if bytes.is_empty() {
        0
    } else {
        let pointer = allocate(guest, length)?;
        write(guest, pointer, bytes)?;
        pointer
    };
    write_u32(guest, return_pointer, pointer)?;
    write_u32(guest, return_length, length)?;
    Ok(())
}

fn allocate(guest: &mut Guest<'_>, length: u32) -> Result<u32, Fault> {
    let handles = guest.data().guest.as_ref();
    let allocate = handles.ok_or(Status::InvalidMemoryAccess)?.allocate.clone();
    let pointer = allocate.call(&mut *guest, length).map_err(Fault::Trap)?;
    if pointer == 0 {
        return Err(Status::InvalidMemoryAccess.into());
    }
    Ok(pointer)
}

fn memory(guest: &Guest<'_>) -> Result<Memory, Status> {
    let handles = guest.data().guest.as_ref();
    Ok(handles.ok_or(Status::InvalidMemoryAccess)?.memory)
}

/// Bytes that cross the boundary cost fuel like instructions do: a guest must not make the host work,
/// or keep, without end. At zero the guest traps when it runs on.
fn charge(guest: &mut Guest<'_>, bytes: usize) {
    let cost = u64::try_from(bytes).unwrap_or(u64::MAX);
    if let Ok(left) = guest.get_fuel() {
        // Fails only where the engine does not count fuel, and ours does.
        let _ = guest.set_fuel(left.saturating_sub(cost));
    }
}
