//! A buffer of weights.

use std::sync::Arc;

use inference::DeviceError;
use wgpu::{Buffer, BufferUsages};

use super::{Charge, WORD_BYTES, allocate, zero};
use crate::device::Opened;

/// A buffer of weights, which is emptied when the last who reads it is done.
pub(crate) struct Store {
    pub(crate) opened: Arc<Opened>,
    pub(crate) buffer: Buffer,
    pub(crate) words: u64,
    _charge: Charge,
}

/// How many bytes are copied at once out of a mapping: what waits for the device is bounded by it.
const PIECE_BYTES: usize = 16 << 20;

impl Store {
    pub(super) fn new(opened: &Arc<Opened>, words: u64) -> Result<Arc<Self>, DeviceError> {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let (buffer, charge) = allocate(opened, words * WORD_BYTES, usage)?;
        Ok(Arc::new(Self { opened: Arc::clone(opened), buffer, words, _charge: charge }))
    }

    /// Copies `bytes`, for instance of a mapped file, to `word` and on, straight into memory that the
    /// device reads from.
    pub(crate) fn write(&self, word: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        for (at, piece) in bytes.chunks(PIECE_BYTES).enumerate() {
            let start = word * WORD_BYTES + (at * PIECE_BYTES) as u64;
            // Whole words: what is behind the last byte is padding, and 0.
            let size = wgpu::BufferSize::new((piece.len() as u64).next_multiple_of(WORD_BYTES));
            let Some(size) = size else { return Ok(()) };
            self.opened.guarded(size.get(), |opened| {
                let none = || DeviceError::OutOfMemory {
                    bytes: size.get(),
                    detail: "nothing to copy through".to_owned(),
                };
                let view = opened.queue.write_buffer_with(&self.buffer, start, size);
                let mut view = view.ok_or_else(none)?;
                view.slice(..piece.len()).copy_from_slice(piece);
                let padding = view.len() - piece.len();
                view.slice(piece.len()..)
                    .copy_from_slice([0; WORD_BYTES as usize].get(..padding).unwrap_or_default());
                drop(view);
                opened.queue.submit([]);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Zeroes words, behind everything that was submitted before.
    pub(super) fn zero(&self, start: u64, words: u64) -> Result<(), DeviceError> {
        zero(&self.opened, &self.buffer, start * WORD_BYTES, words * WORD_BYTES)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Where the device is lost, so is what was on it.
        if let Err(error) = self.zero(0, self.words) {
            tracing::debug!(%error, "weights were not zeroed, since their device is gone");
        }
    }
}
