//! Metrics.

use wasmtime::Linker;

use crate::Status;
use crate::memory::{Fault, Guest, answer, read, write_u32, write_u64};
use crate::metrics::MetricKind;
use crate::state::HostState;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker
        .func_wrap(
            "env",
            "proxy_define_metric",
            |mut guest: Guest<'_>, kind, name: u32, name_size: u32, id| {
                answer(define(&mut guest, kind, (name, name_size), id))
            },
        )?
        .func_wrap("env", "proxy_increment_metric", |guest: Guest<'_>, id: u32, by: i64| {
            let state = guest.data();
            let done = state.metrics.increment(&state.settings.metrics, id, by);
            answer(done.map_err(Fault::from))
        })?
        .func_wrap("env", "proxy_record_metric", |guest: Guest<'_>, id: u32, value: u64| {
            let state = guest.data();
            let done = state.metrics.record(&state.settings.metrics, id, value);
            answer(done.map_err(Fault::from))
        })?
        .func_wrap("env", "proxy_get_metric", |mut guest: Guest<'_>, id: u32, value: u32| {
            answer(get(&mut guest, id, value))
        })?;
    Ok(())
}

fn define(
    guest: &mut Guest<'_>,
    kind: u32,
    (name, name_size): (u32, u32),
    return_id: u32,
) -> Result<(), Fault> {
    let kind = MetricKind::from_abi(kind)?;
    let name = read(guest, name, name_size)?;
    let name = String::from_utf8(name).map_err(|_| Status::BadArgument)?;
    let state = guest.data_mut();
    let id = state.metrics.define(&state.settings.metrics, kind, name)?;
    Ok(write_u32(guest, return_id, id)?)
}

fn get(guest: &mut Guest<'_>, id: u32, return_value: u32) -> Result<(), Fault> {
    let state = guest.data();
    let value = state.metrics.get(&state.settings.metrics, id)?;
    Ok(write_u64(guest, return_value, value)?)
}
