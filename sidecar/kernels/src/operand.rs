//! Borrowed panels as the operand that tract-linalg asks for.

use std::{alloc::Layout, fmt, sync::LazyLock};

use tract_data::internal::ExoticFact;
use tract_data::prelude::{DatumType, TractResult, f16};
use tract_linalg::{
    mmm::{MMMInputFormat, MMMInputValue, PackedExoticFact},
    pack::PackedFormat,
};

/// Panels at an address, each so many bytes after the one before.
///
/// tract-linalg wants operands without a lifetime. Whoever makes one keeps the memory borrowed
/// while a kernel runs: `run.rs`, which is the only place that makes them.
#[derive(Clone)]
pub(crate) struct Operand {
    pub(crate) address: usize,
    pub(crate) panel_bytes: usize,
    pub(crate) panels: usize,
    pub(crate) depth: usize,
    pub(crate) format: &'static dyn MMMInputFormat,
}

impl Operand {
    fn parts(&self) -> (usize, usize, usize, usize) {
        (self.address, self.panel_bytes, self.panels, self.depth)
    }
}

impl MMMInputValue for Operand {
    fn format(&self) -> &dyn MMMInputFormat {
        self.format
    }

    fn scratch_panel_buffer_layout(&self) -> Option<Layout> {
        None
    }

    fn panel_bytes(&self, at: usize, _buffer: Option<*mut u8>) -> TractResult<*const u8> {
        if at >= self.panels {
            let refusal = format!("expected a panel below {}, found {at}", self.panels);
            return Err(std::io::Error::other(refusal).into());
        }
        Ok(std::ptr::with_exposed_provenance(self.address + at * self.panel_bytes))
    }

    fn mn(&self) -> usize {
        self.panels * self.format.r()
    }

    fn k(&self) -> usize {
        self.depth
    }

    fn exotic_fact(&self) -> &dyn ExoticFact {
        &*FACT
    }

    fn extract_at_mn_f16(&self, _: usize, _: &mut [f16]) -> TractResult<()> {
        Err(std::io::Error::other("an operand of a product gives no single columns").into())
    }

    fn extract_at_mn_f32(&self, _: usize, _: &mut [f32]) -> TractResult<()> {
        Err(std::io::Error::other("an operand of a product gives no single columns").into())
    }
}

/// What an operand says of itself to graphs, in which it never is.
static FACT: LazyLock<PackedExoticFact> = LazyLock::new(|| PackedExoticFact {
    format: Box::new(PackedFormat::new(DatumType::F32, 1, 4)),
    mn: 0.into(),
    k: 0,
});

impl PartialEq for Operand {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Operand {}

impl std::hash::Hash for Operand {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl fmt::Debug for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Operand({} panels of {} records)", self.panels, self.depth)
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
