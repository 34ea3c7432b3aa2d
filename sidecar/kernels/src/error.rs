//! Why a product was not computed.

/// Why a product was not computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// An operand is longer or shorter than the product needs.
    #[error("expected {expected} elements in the {operand} of a product, found {found}")]
    Length {
        /// Which operand.
        operand: &'static str,
        /// What the shapes ask for.
        expected: usize,
        /// What there is.
        found: usize,
    },
    /// A shape whose size passes the address space.
    #[error("expected a matrix that fits the address space, found {inner} by {columns}")]
    TooLarge {
        /// Rows of the matrix.
        inner: usize,
        /// Columns of the matrix.
        columns: usize,
    },
    /// Panels that do not start where a kernel can read them.
    #[error("expected panels that start at a multiple of {expected} bytes, found others")]
    Misaligned {
        /// The alignment that is needed.
        expected: usize,
    },
    /// Panels in a layout that this processor's kernels do not read.
    #[error("expected panels of {expected} lanes on this processor, found {found}: repack them")]
    Lanes {
        /// What this processor's kernels read.
        expected: usize,
        /// What the panels have.
        found: usize,
    },
    /// The kernel refused.
    #[error("a matrix kernel failed: {detail}")]
    Kernel {
        /// What it said.
        detail: String,
    },
}
