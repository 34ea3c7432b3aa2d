//! Functions of the embedder.

use wasmtime::Linker;

use crate::Status;
use crate::memory::{Fault, Guest, answer, give, read, write_u32};
use crate::state::HostState;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_call_foreign_function",
        |mut guest: Guest<'_>,
         name: u32,
         name_size: u32,
         arguments: u32,
         arguments_size: u32,
         results: u32,
         results_size: u32| {
            answer(call(
                &mut guest,
                (name, name_size),
                (arguments, arguments_size),
                (results, results_size),
            ))
        },
    )?;
    Ok(())
}

/// The guest may pass null for results that it does not want.
fn call(
    guest: &mut Guest<'_>,
    (name, name_size): (u32, u32),
    (arguments, arguments_size): (u32, u32),
    (return_results, return_size): (u32, u32),
) -> Result<(), Fault> {
    let name = read(guest, name, name_size)?;
    let arguments = read(guest, arguments, arguments_size)?;
    let function = guest.data().settings.foreign_functions.find(&name).ok_or(Status::NotFound)?;
    let (results, status) = match function(&arguments) {
        Ok(results) => (results, Ok(())),
        Err(status) => (Vec::new(), Err(Fault::from(status))),
    };
    match (return_results, return_size) {
        (0, 0) => {}
        (0, return_size) => {
            let size = u32::try_from(results.len()).map_err(|_| Status::InternalFailure)?;
            write_u32(guest, return_size, size)?;
        }
        (return_results, return_size) => give(guest, &results, return_results, return_size)?,
    }
    status
}
