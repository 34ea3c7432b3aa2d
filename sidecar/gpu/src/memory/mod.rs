//! The memory of a device: what is taken of it, for weights and for runs, and that nobody finds there
//! what somebody else left.

mod budget;
mod family;
mod pool;
mod ranges;
mod store;

pub(crate) use budget::{Budget, Charge};
pub(crate) use family::{Families, Family, Slab, Slot};
pub(crate) use pool::{Piece, Pools};
pub(crate) use store::Store;

use inference::DeviceError;
use wgpu::{Buffer, BufferDescriptor, BufferUsages, CommandEncoderDescriptor};

use crate::device::Opened;

/// Bytes of a word.
pub(crate) const WORD_BYTES: u64 = 4;
/// Everything starts and ends at multiples of so many words.
pub(crate) const GRAIN_WORDS: u64 = 64;

/// A buffer of so many bytes that the budget has room for.
fn allocate(
    opened: &Opened,
    bytes: u64,
    usage: BufferUsages,
) -> Result<(Buffer, Charge), DeviceError> {
    if bytes > opened.buffer_bytes {
        let (limit, found) = (opened.buffer_bytes, bytes);
        return Err(DeviceError::TooLarge { what: "buffer", limit, found });
    }
    let charge = Budget::take(&opened.budget, bytes).or_else(|_| {
        // What is kept for later runs is less needed than this one.
        opened.pools.clear();
        Budget::take(&opened.budget, bytes)
    })?;
    let descriptor =
        BufferDescriptor { label: None, size: bytes, usage, mapped_at_creation: false };
    let create = |opened: &Opened| Ok(opened.device().create_buffer(&descriptor));
    let buffer = opened.guarded(bytes, create).or_else(|error| match error {
        DeviceError::OutOfMemory { .. } => {
            opened.pools.clear();
            opened.guarded(bytes, create)
        }
        error => Err(error),
    })?;
    Ok((buffer, charge))
}

/// Zeroes bytes of a buffer, behind everything that was submitted before.
fn zero(opened: &Opened, buffer: &Buffer, start: u64, bytes: u64) -> Result<(), DeviceError> {
    opened.guarded(0, |opened| {
        let mut encoder =
            opened.device().create_command_encoder(&CommandEncoderDescriptor::default());
        encoder.clear_buffer(buffer, start, Some(bytes));
        opened.queue.submit([encoder.finish()]);
        Ok(())
    })
}
