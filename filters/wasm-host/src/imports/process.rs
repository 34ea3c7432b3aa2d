//! The guest's surroundings: log, clock, timer, contexts.

use std::time::Duration;

use wasmtime::Linker;

use crate::Status;
use crate::abi::LogLevel;
use crate::contexts::{Context, RootLife, StreamLife, Timer};
use crate::memory::{Fault, Guest, answer, give, read, write_u32, write_u64};
use crate::state::{AfterCall, HostState};

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
            let level = guest.data().settings.logs.level() as u32;
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
        .func_wrap(
            "env",
            "proxy_get_status",
            |mut guest: Guest<'_>, code: u32, message: u32, message_size: u32| {
                answer(get_status(&mut guest, code, (message, message_size)))
            },
        )?
        .func_wrap("env", "proxy_done", |mut guest: Guest<'_>| answer(done(&mut guest)))?;
    Ok(())
}

fn log(guest: &mut Guest<'_>, level: u32, pointer: u32, size: u32) -> Result<(), Fault> {
    let level = LogLevel::from_abi(level).ok_or(Status::BadArgument)?;
    let message = read(guest, pointer, size)?;
    guest.data().log(level, &message);
    Ok(())
}

/// Zero stops the timer. A period that is set again begins again.
fn set_tick_period(guest: &mut Guest<'_>, milliseconds: u32) -> Result<(), Fault> {
    let now = guest.data().settings.clock.monotonic();
    let root = guest.data_mut().root_mut().ok_or(Status::BadArgument)?;
    let period = Duration::from_millis(u64::from(milliseconds));
    root.timer = (milliseconds > 0).then(|| Timer { period, due: now.saturating_add(period) });
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

/// How the call ended that the running callback is about.
fn get_status(
    guest: &mut Guest<'_>,
    return_code: u32,
    (return_message, return_size): (u32, u32),
) -> Result<(), Fault> {
    let status = guest.data().delivered().map(|delivered| delivered.status.clone());
    let (code, message) = status.unwrap_or_default();
    write_u32(guest, return_code, code)?;
    give(guest, message.as_bytes(), return_message, return_size)
}

/// Counts only where `proxy_on_done` had answered false. In Envoy only a plugin can be waiting, also
/// where the guest acts for a stream.
fn done(guest: &mut Guest<'_>) -> Result<(), Fault> {
    let state = guest.data_mut();
    let acting = state.acting();
    if let Some(origin) = state.contexts.get_mut(&acting).and_then(Context::origin_mut)
        && origin.life == StreamLife::AwaitingDone
    {
        origin.life = StreamLife::Done;
        state.defer(AfterCall::Finish(acting));
        return Ok(());
    }
    let id = state.acting_root();
    let root = state.root_by_id(id).ok_or(Status::NotFound)?;
    if root.life != RootLife::AwaitingDone {
        return Err(Status::NotFound.into());
    }
    root.life = RootLife::Done;
    state.defer(AfterCall::Finish(id));
    Ok(())
}
