//! The call of a kernel: the one place that is unsafe.

use tract_data::{internal::TensorView, prelude::Tensor};
use tract_linalg::mmm::{AsInputValue, FusedSpec, ScratchSpace};

use crate::{KernelError, native::Kernel, operand::Operand};

/// The scratch space that `kernel` wants.
#[allow(unsafe_code, reason = "tract-linalg's kernels are unsafe to use")]
pub(crate) fn scratch_space(kernel: &Kernel) -> Box<dyn ScratchSpace> {
    // SAFETY: it is used by `multiply` alone, which hands a kernel only what that kernel made.
    unsafe { kernel.routine.allocate_scratch_space() }
}

/// What one call of a kernel multiplies.
pub(crate) struct Call<'a> {
    pub(crate) kernel: &'static Kernel,
    pub(crate) space: &'a mut dyn ScratchSpace,
    /// `panels` times (`depth` + 1) records of the kernel's lanes, from a multiple of 64 bytes on,
    /// a panel every `panel_bytes`.
    pub(crate) fixed: &'a [u8],
    pub(crate) panel_bytes: usize,
    pub(crate) panels: usize,
    /// `tiles` times (`depth` + 1) records of the kernel's rows.
    pub(crate) moving: &'a [f32],
    pub(crate) tiles: usize,
    pub(crate) depth: usize,
    /// Where the product goes: from number `start` on, a row of `panels` times lanes numbers for
    /// each row of `moving`.
    pub(crate) product: &'a mut Tensor,
    pub(crate) start: usize,
}

/// Computes it.
///
/// # Errors
/// [`KernelError::Length`], [`KernelError::Misaligned`], [`KernelError::Kernel`].
#[allow(unsafe_code, reason = "tract-linalg's kernels take pointers")]
pub(crate) fn multiply(call: Call<'_>) -> Result<(), KernelError> {
    let Call { kernel, space, fixed, panel_bytes, panels, moving, tiles, depth, .. } = call;
    let (lanes, rows) = (kernel.routine.mr(), kernel.rows);
    let width = panels * lanes;
    at_least("panels", panels * panel_bytes, fixed.len())?;
    at_least("panel", (depth + 1) * lanes * 4, panel_bytes)?;
    at_least("tiles", tiles * (depth + 1) * rows, moving.len())?;
    at_least("product", call.start + tiles * rows * width, call.product.len())?;
    if !fixed.as_ptr().addr().is_multiple_of(64) || !panel_bytes.is_multiple_of(64) {
        return Err(KernelError::Misaligned { expected: 64 });
    }
    let fixed = Operand {
        address: fixed.as_ptr().expose_provenance(),
        panel_bytes,
        panels,
        depth,
        format: &*kernel.fixed,
    };
    let moving = Operand {
        address: moving.as_ptr().expose_provenance(),
        panel_bytes: (depth + 1) * rows * size_of::<f32>(),
        panels: tiles,
        depth,
        format: &*kernel.moving,
    };
    let (shape, strides) = ([tiles * rows * width], [1]);
    // SAFETY: each operand holds as many panels as it says, each of `depth` records and one more,
    // which the kernel may read ahead, aligned for it, and both stay borrowed until the call ends;
    // `reads_plain_panels` chose kernels that read 32-bit floats in this layout. The kernel writes
    // `panels * lanes` by `tiles * rows` numbers at the strides given, which end where the view
    // ends, inside a tensor of 32-bit floats (`Scratch` makes no other) that is borrowed mutably.
    // All counts are whole tiles, so no tile passes an end. `space` is of this kernel.
    unsafe {
        let start = (call.start * size_of::<f32>()).cast_signed();
        let view = TensorView::from_bytes(call.product, start, &shape, &strides);
        let into = kernel.routine.c_from_data_and_strides(4, 1, width.cast_signed()).wrap(&view);
        let work = [
            FusedSpec::AddMatMul {
                a: AsInputValue::Borrowed(&fixed),
                b: AsInputValue::Borrowed(&moving),
                packing: 0,
            },
            FusedSpec::Store(into),
        ];
        if !kernel.routine.can_use_scratch_space(space) {
            return Err(KernelError::Kernel {
                detail: "another kernel's scratch space".to_owned(),
            });
        }
        kernel
            .routine
            .run_with_scratch_space(width, tiles * rows, space, &work)
            .map_err(|error| KernelError::Kernel { detail: error.to_string() })
    }
}

fn at_least(operand: &'static str, expected: usize, found: usize) -> Result<(), KernelError> {
    if found < expected { Err(KernelError::Length { operand, expected, found }) } else { Ok(()) }
}
