//! The guest's surroundings: log, clock, timer, contexts.

use std::time::Duration;

use wasmtime::Linker;

use crate::Status;
use crate::abi::LogLevel;
use crate::context::RootLife;
use crate::memory::{Fault, Guest, answer, read, write_u32, write_u64};
use crate::state::HostState;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker
        .func_wrap(
            "env",
            "proxy_log",
            |mut guest: Guest<'_>, level: u32, pointer: u32, size: u32| {
                answer(log(&mut guest, level, pointer, size))
            },
        )?
        .func_wrap("env", "proxy_get_log_level", |mut guest: Guest<'_>, pointer: u32| {
            let level = guest.data().settings.log_level as u32;
            answer(write_u32(&mut guest, pointer, level).map_err(Fault::from))
        })?
        .func_wrap(
            "env",
            "proxy_get_current_time_nanoseconds",
            |mut guest: Guest<'_>, pointer: u32| {
                let now = guest.data().settings.clock.realtime_nanoseconds();
                answer(write_u64(&mut guest, pointer, now).map_err(Fault::from))
            },
        )?
        .func_wrap(
            "env",
            "proxy_set_tick_period_milliseconds",
            |mut guest: Guest<'_>, period: u32| answer(set_tick_period(&mut guest, period)),
        )?
        .func_wrap("env", "proxy_set_effective_context", |mut guest: Guest<'_>, id: u32| {
            answer(set_effective_context(&mut guest, id))
        })?
        .func_wrap("env", "proxy_done", |mut guest: Guest<'_>| answer(done(&mut guest)))?;
    Ok(())
}

fn log(guest: &mut Guest<'_>, level: u32, pointer: u32, size: u32) -> Result<(), Fault> {
    let level = LogLevel::from_abi(level).ok_or(Status::BadArgument)?;
    let message = read(guest, pointer, size)?;
    guest.data().log(level, &message);
    Ok(())
}

/// Zero stops the timer.
fn set_tick_period(guest: &mut Guest<'_>, milliseconds: u32) -> Result<(), Fault> {
    let root = guest.data_mut().root_mut().ok_or(Status::BadArgument)?;
    root.tick_period = (milliseconds > 0).then(|| Duration::from_millis(u64::from(milliseconds)));
    Ok(())
}

fn set_effective_context(guest: &mut Guest<'_>, id: u32) -> Result<(), Fault> {
    let state = guest.data_mut();
    if !state.contexts.contains_key(&id) {
        return Err(Status::BadArgument.into());
    }
    state.effective = Some(id);
    Ok(())
}

/// Counts only where `proxy_on_done` had answered false.
fn done(guest: &mut Guest<'_>) -> Result<(), Fault> {
    let state = guest.data_mut();
    let id = state.acting_root();
    let root = state.root_by_id(id).ok_or(Status::NotFound)?;
    if root.life != RootLife::AwaitingDone {
        return Err(Status::NotFound.into());
    }
    root.life = RootLife::Done;
    state.done_roots.push(id);
    Ok(())
}
