//! WASI preview 1, as much as Rust's std asks of it and as Envoy answers it: a log for standard output
//! and error, the environment, clocks and random bytes. There are no files.
//!
//! Source: <https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md>.

use wasmtime::{FuncType, Linker, Val, ValType};

use crate::LogLevel;
use crate::Status;
use crate::error::Exit;
use crate::memory::{Guest, read, write, write_u32, write_u64};
use crate::state::HostState;

const MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// The C++ host gives no more random bytes at once.
const MAX_RANDOM_BYTES: u32 = 64 * 1024;
/// One write of more pieces than this is no write that Rust's std makes.
const MAX_IO_VECTORS: u32 = 1024;
/// Pieces may overlap, so that a small memory could make a huge line.
const MAX_WRITE_BYTES: usize = 1024 * 1024;

/// WASI's error numbers.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
enum Errno {
    Success = 0,
    BadDescriptor = 8,
    Fault = 21,
    Invalid = 28,
    NoEntry = 44,
    NotImplemented = 52,
    NotSupported = 58,
}

impl From<Status> for Errno {
    fn from(_: Status) -> Self {
        Self::Fault
    }
}

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    for module in MODULES {
        link_process(linker, module)?;
        link_descriptors(linker, module)?;
        link_refusals(linker, module)?;
    }
    Ok(())
}

fn link_process(linker: &mut Linker<HostState>, module: &str) -> wasmtime::Result<()> {
    linker
        .func_wrap(module, "args_get", |_: u32, _: u32| Errno::Success as u32)?
        .func_wrap(module, "args_sizes_get", |mut guest: Guest<'_>, count: u32, size: u32| {
            errno(write_sizes(&mut guest, (count, 0), (size, 0)))
        })?
        .func_wrap(module, "environ_get", |mut guest: Guest<'_>, pointers: u32, text: u32| {
            errno(environ_get(&mut guest, pointers, text))
        })?
        .func_wrap(module, "environ_sizes_get", |mut guest: Guest<'_>, count: u32, size: u32| {
            errno(environ_sizes_get(&mut guest, count, size))
        })?
        .func_wrap(
            module,
            "clock_time_get",
            |mut guest: Guest<'_>, id: u32, _precision: u64, time: u32| {
                errno(clock_time_get(&mut guest, id, time))
            },
        )?
        .func_wrap(module, "clock_res_get", |mut guest: Guest<'_>, id: u32, resolution: u32| {
            errno(clock_resolution_get(&mut guest, id, resolution))
        })?
        .func_wrap(module, "random_get", |mut guest: Guest<'_>, pointer: u32, size: u32| {
            errno(random_get(&mut guest, pointer, size))
        })?
        .func_wrap(module, "sched_yield", || Errno::Success as u32)?
        .func_wrap(
            module,
            "poll_oneoff",
            |mut guest: Guest<'_>, _in: u32, _out: u32, _count: u32, events: u32| {
                errno(write_u32(&mut guest, events, 0).map_err(Errno::from))
            },
        )?
        .func_wrap(module, "proc_exit", |code: u32| -> wasmtime::Result<()> {
            Err(wasmtime::Error::new(Exit(code)))
        })?;
    Ok(())
}

fn link_descriptors(linker: &mut Linker<HostState>, module: &str) -> wasmtime::Result<()> {
    linker
        .func_wrap(
            module,
            "fd_write",
            |mut guest: Guest<'_>, descriptor: u32, vectors: u32, count: u32, written: u32| {
                errno(fd_write(&mut guest, descriptor, vectors, count, written))
            },
        )?
        .func_wrap(module, "fd_fdstat_get", |mut guest: Guest<'_>, descriptor: u32, stat: u32| {
            errno(fd_fdstat_get(&mut guest, descriptor, stat))
        })?
        .func_wrap(module, "fd_close", |_: u32| Errno::Success as u32)?
        .func_wrap(module, "fd_seek", |_: u32, _: i64, _: u32, _: u32| Errno::Success as u32)?;
    Ok(())
}

/// Everything about files and sockets: their parameters and how each is refused.
fn link_refusals(linker: &mut Linker<HostState>, module: &str) -> wasmtime::Result<()> {
    const I: ValType = ValType::I32;
    const L: ValType = ValType::I64;
    let refusals: [(&str, &[ValType], Errno); 33] = [
        ("fd_advise", &[I, L, L, I], Errno::Success),
        ("fd_allocate", &[I, L, L], Errno::BadDescriptor),
        ("fd_datasync", &[I], Errno::BadDescriptor),
        ("fd_fdstat_set_flags", &[I, I], Errno::NotImplemented),
        ("fd_fdstat_set_rights", &[I, L, L], Errno::BadDescriptor),
        ("fd_filestat_get", &[I, I], Errno::BadDescriptor),
        ("fd_filestat_set_size", &[I, L], Errno::BadDescriptor),
        ("fd_filestat_set_times", &[I, L, L, I], Errno::BadDescriptor),
        ("fd_pread", &[I, I, I, L, I], Errno::NotImplemented),
        ("fd_prestat_dir_name", &[I, I, I], Errno::NotImplemented),
        ("fd_prestat_get", &[I, I], Errno::BadDescriptor),
        ("fd_pwrite", &[I, I, I, L, I], Errno::BadDescriptor),
        ("fd_read", &[I, I, I, I], Errno::NotImplemented),
        ("fd_readdir", &[I, I, I, L, I], Errno::NotSupported),
        ("fd_renumber", &[I, I], Errno::NotSupported),
        ("fd_sync", &[I], Errno::BadDescriptor),
        ("fd_tell", &[I, I], Errno::BadDescriptor),
        ("path_create_directory", &[I, I, I], Errno::NotSupported),
        ("path_filestat_get", &[I, I, I, I, I], Errno::NotSupported),
        ("path_filestat_set_times", &[I, I, I, I, L, L, I], Errno::NotSupported),
        ("path_link", &[I, I, I, I, I, I, I], Errno::NotSupported),
        ("path_open", &[I, I, I, I, I, L, L, I, I], Errno::NoEntry),
        ("path_readlink", &[I, I, I, I, I, I], Errno::NotSupported),
        ("path_remove_directory", &[I, I, I], Errno::NotSupported),
        ("path_rename", &[I, I, I, I, I, I], Errno::NotSupported),
        ("path_symlink", &[I, I, I, I, I], Errno::NotSupported),
        ("path_unlink_file", &[I, I, I], Errno::NotSupported),
        ("proc_raise", &[I], Errno::NotSupported),
        ("sock_accept", &[I, I, I], Errno::NotSupported),
        ("sock_recv", &[I, I, I, I, I, I], Errno::NotSupported),
        ("sock_send", &[I, I, I, I, I], Errno::NotSupported),
        ("sock_shutdown", &[I, I], Errno::NotSupported),
        ("thread_spawn", &[I], Errno::NotSupported),
    ];
    for (name, parameters, refusal) in refusals {
        let signature = FuncType::new(linker.engine(), parameters.iter().cloned(), [I]);
        linker.func_new(module, name, signature, move |_, _, results| {
            if let Some(result) = results.first_mut() {
                *result = Val::I32(refusal as i32);
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn errno(result: Result<(), Errno>) -> u32 {
    match result {
        Ok(()) => Errno::Success as u32,
        Err(errno) => errno as u32,
    }
}

/// Standard output is the log at info, standard error at error.
fn fd_write(
    guest: &mut Guest<'_>,
    descriptor: u32,
    vectors: u32,
    count: u32,
    return_written: u32,
) -> Result<(), Errno> {
    let level = stream_level(descriptor).ok_or(Errno::BadDescriptor)?;
    if count > MAX_IO_VECTORS {
        return Err(Errno::Invalid);
    }
    let table = read(guest, vectors, count.saturating_mul(8))?;
    let mut text = Vec::new();
    for vector in table.chunks_exact(8) {
        let Some((pointer, length)) = vector_of(vector) else {
            return Err(Errno::Fault);
        };
        let piece = read(guest, pointer, length)?;
        if text.len() + piece.len() > MAX_WRITE_BYTES {
            return Err(Errno::Invalid);
        }
        text.extend_from_slice(&piece);
    }
    let written = u32::try_from(text.len()).map_err(|_| Errno::Invalid)?;
    if written > 0 {
        guest.data().log(level, text.strip_suffix(b"\n").unwrap_or(&text));
    }
    Ok(write_u32(guest, return_written, written)?)
}

fn vector_of(bytes: &[u8]) -> Option<(u32, u32)> {
    let (pointer, rest) = bytes.split_first_chunk::<4>()?;
    let (length, _) = rest.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*pointer), u32::from_le_bytes(*length)))
}

fn stream_level(descriptor: u32) -> Option<LogLevel> {
    match descriptor {
        1 => Some(LogLevel::Info),
        2 => Some(LogLevel::Error),
        _ => None,
    }
}

/// A character device that can only be written.
fn fd_fdstat_get(guest: &mut Guest<'_>, descriptor: u32, return_stat: u32) -> Result<(), Errno> {
    const RIGHT_FD_WRITE: u64 = 64;
    stream_level(descriptor).ok_or(Errno::BadDescriptor)?;
    let mut stat = [0; 24];
    for (byte, right) in stat.iter_mut().skip(8).zip(RIGHT_FD_WRITE.to_le_bytes()) {
        *byte = right;
    }
    Ok(write(guest, return_stat, &stat)?)
}

fn environ_get(guest: &mut Guest<'_>, pointers: u32, text: u32) -> Result<(), Errno> {
    let (mut pointer, mut text) = (pointers, text);
    for variable in environment(guest) {
        write_u32(guest, pointer, text)?;
        write(guest, text, &variable)?;
        let size = u32::try_from(variable.len()).map_err(|_| Errno::Invalid)?;
        pointer = pointer.checked_add(4).ok_or(Errno::Fault)?;
        text = text.checked_add(size).ok_or(Errno::Fault)?;
    }
    Ok(())
}

fn environ_sizes_get(
    guest: &mut Guest<'_>,
    return_count: u32,
    return_size: u32,
) -> Result<(), Errno> {
    let variables = environment(guest);
    let size = variables.iter().map(Vec::len).sum();
    write_sizes(guest, (return_count, variables.len()), (return_size, size))
}

/// Each as `NAME=value` and a zero byte.
fn environment(guest: &Guest<'_>) -> Vec<Vec<u8>> {
    let variables = guest.data().settings.environment.iter();
    variables.map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}

fn write_sizes(
    guest: &mut Guest<'_>,
    (return_count, count): (u32, usize),
    (return_size, size): (u32, usize),
) -> Result<(), Errno> {
    let count = u32::try_from(count).map_err(|_| Errno::Invalid)?;
    let size = u32::try_from(size).map_err(|_| Errno::Invalid)?;
    write_u32(guest, return_count, count)?;
    Ok(write_u32(guest, return_size, size)?)
}

fn clock_time_get(guest: &mut Guest<'_>, id: u32, return_time: u32) -> Result<(), Errno> {
    let clock = &guest.data().settings.clock;
    let time = match id {
        0 => clock.realtime_nanoseconds(),
        1 => clock.monotonic_nanoseconds(),
        _ => return Err(Errno::NotSupported),
    };
    Ok(write_u64(guest, return_time, time)?)
}

fn clock_resolution_get(guest: &mut Guest<'_>, id: u32, resolution: u32) -> Result<(), Errno> {
    if id > 1 {
        return Err(Errno::NotSupported);
    }
    Ok(write_u64(guest, resolution, 1)?)
}

fn random_get(guest: &mut Guest<'_>, pointer: u32, size: u32) -> Result<(), Errno> {
    if size > MAX_RANDOM_BYTES {
        return Err(Errno::Invalid);
    }
    let size = usize::try_from(size).map_err(|_| Errno::Invalid)?;
    let bytes = guest.data_mut().random.bytes(size);
    Ok(write(guest, pointer, &bytes)?)
}
