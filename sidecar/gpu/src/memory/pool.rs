//! The memory of runs, kept for the next ones.

use std::sync::{Mutex, PoisonError};

use inference::DeviceError;
use wgpu::{Buffer, BufferUsages};

use super::{Charge, GRAIN_WORDS, WORD_BYTES, allocate, zero};
use crate::device::Opened;

/// More buffers of a kind than runs go on at once are not kept.
const MOST_KEPT: usize = 32;
/// The smallest buffer.
const LEAST_BYTES: u64 = 16 * GRAIN_WORDS * WORD_BYTES;
/// A buffer that is this many times larger than what is asked for is left for who needs it.
const MOST_WASTE: u64 = 8;

/// The buffers of runs, by what they are for.
pub(crate) struct Pools {
    /// What kernels compute in. All of it is 0 between two runs.
    pub(crate) arenas: Pool,
    /// What kernels are told: places and sizes, nothing of a request or a model.
    pub(crate) params: Pool,
    /// What answers are read from. A run zeroes it before it uses it.
    pub(crate) answers: Pool,
}

impl Default for Pools {
    fn default() -> Self {
        let pool = |usage| Pool { usage, idle: Mutex::default() };
        Self {
            arenas: pool(BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC),
            params: pool(BufferUsages::STORAGE | BufferUsages::COPY_DST),
            answers: pool(BufferUsages::MAP_READ | BufferUsages::COPY_DST),
        }
    }
}

impl Pools {
    /// Gives up what is kept.
    pub(crate) fn clear(&self) {
        for pool in [&self.arenas, &self.params, &self.answers] {
            drop(pool.with_idle(std::mem::take));
        }
    }
}

/// Buffers of one use, of which nobody uses those that are in it.
pub(crate) struct Pool {
    usage: BufferUsages,
    idle: Mutex<Vec<Piece>>,
}

/// A buffer, and what it takes of the budget.
pub(crate) struct Piece {
    pub(crate) buffer: Buffer,
    _charge: Charge,
}

impl Pool {
    /// A buffer of at least so many bytes.
    pub(crate) fn take(&self, opened: &Opened, bytes: u64) -> Result<Piece, DeviceError> {
        let limit = opened.limits.binding_bytes;
        if bytes > limit {
            return Err(DeviceError::TooLarge { what: "run", limit, found: bytes });
        }
        // A few sizes, so that what is kept fits what comes.
        let roomy = bytes.max(LEAST_BYTES).next_power_of_two().min(limit);
        let kept = self.with_idle(|idle| {
            let fits = |it: &Piece| {
                let size = it.buffer.size();
                size >= bytes && size <= roomy.saturating_mul(MOST_WASTE)
            };
            let fitting = idle.iter().enumerate().filter(|(_, it)| fits(it));
            let least = fitting.min_by_key(|(_, it)| it.buffer.size()).map(|(at, _)| at);
            least.map(|at| idle.swap_remove(at))
        });
        if let Some(piece) = kept {
            return Ok(piece);
        }
        let allocated = allocate(opened, roomy, self.usage).or_else(|error| match error {
            DeviceError::OutOfMemory { .. } => {
                allocate(opened, bytes.next_multiple_of(GRAIN_WORDS * WORD_BYTES), self.usage)
            }
            error => Err(error),
        });
        allocated.map(|(buffer, charge)| Piece { buffer, _charge: charge })
    }

    /// Keeps a buffer for the next run.
    pub(crate) fn give_back(&self, piece: Piece) {
        self.with_idle(|idle| {
            if idle.len() < MOST_KEPT {
                idle.push(piece);
            }
        });
    }

    /// Those that nobody uses.
    pub(crate) fn with_idle<T>(&self, of: impl FnOnce(&mut Vec<Piece>) -> T) -> T {
        of(&mut self.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Piece {
    /// Zeroes a buffer whose run did not come to its end, and gives it up.
    pub(crate) fn give_up(self, opened: &Opened) {
        if let Err(error) = zero(opened, &self.buffer, 0, self.buffer.size()) {
            tracing::debug!(%error, "a run's memory was not zeroed, since its device is gone");
        }
    }
}
