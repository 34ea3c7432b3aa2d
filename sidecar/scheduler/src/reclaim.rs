//! Memory that is given back to the operating system.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Less than this stays with the allocator until there is more: asking it to look through all that it
/// holds takes longer than freeing does.
const WORTH_IT_BYTES: u64 = 256 << 10;

/// Counts what was freed, and gives it back.
#[derive(Debug, Default)]
pub(crate) struct Reclaim {
    freed_bytes: AtomicU64,
}

impl Reclaim {
    /// Says that so many bytes were freed. Blocks for as long as the allocator takes.
    fn freed(&self, bytes: u64) {
        if self.freed_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes >= WORTH_IT_BYTES {
            self.freed_bytes.store(0, Ordering::Relaxed);
            trim();
        }
    }
}

/// Says that a model was freed, when it is dropped: after the model, whoever held it last.
#[derive(Debug)]
pub(crate) struct Freed {
    pub(crate) bytes: u64,
    pub(crate) reclaim: Arc<Reclaim>,
}

impl Drop for Freed {
    fn drop(&mut self) {
        self.reclaim.freed(self.bytes);
    }
}

#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "no safe crate asks the allocator of the C library")]
fn trim() {
    // SAFETY: the allocator gives back pages that it holds free; nothing that is allocated moves.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries give back what is free by themselves, or have no way to be asked.
#[cfg(not(target_env = "gnu"))]
const fn trim() {}
