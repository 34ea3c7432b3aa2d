//! The calls of kernels: the one place that is unsafe.

use half::f16;
use tract_data::{internal::TensorView, prelude::Tensor};
use tract_linalg::mmm::{AsInputValue, FusedSpec, ScratchSpace};

use crate::{
    Element, Function, KernelError,
    low_rank::{Rows, STEP, widened},
    native::Kernel,
    operand::Operand,
    row::{Record, Row},
    tiles::Pair,
};

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

/// Computes a product of one row, with the widest registers that the processor surely has.
#[allow(unsafe_code, reason = "what is compiled for a processor may be run only there")]
pub(crate) fn one_row(row: Row<'_>) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { one_row_avx2(row) };
    }
    row.compute();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn one_row_avx2(row: Row<'_>) {
    row.compute();
}

/// Writes the function of each number, with the widest registers that the processor surely has.
#[allow(unsafe_code, reason = "what is compiled for a processor may be run only there")]
pub(crate) fn map(function: Function, from: &[f32], to: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { map_avx2(function, from, to) };
    }
    function.compute(from, to);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn map_avx2(function: Function, from: &[f32], to: &mut [f32]) {
    function.compute(from, to);
}

/// Corrects rows of a product, with the widest registers that the processor surely has.
#[allow(unsafe_code, reason = "what is compiled for a processor may be run only there")]
pub(crate) fn correct(rows: Rows<'_>) {
    #[cfg(target_arch = "x86_64")]
    if has_tiles() {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { correct_avx512(rows) };
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("f16c") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { correct_avx2(rows) };
    }
    rows.compute(widened);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[allow(unsafe_code, reason = "instructions take pointers")]
fn correct_avx512(rows: Rows<'_>) {
    use std::arch::x86_64::{_mm256_loadu_si256, _mm512_cvtph_ps, _mm512_storeu_ps};
    rows.compute(|numbers: &[f16; STEP]| {
        let mut wide = [0.0; STEP];
        // SAFETY: as many bytes are read as there are, and written as there is room for.
        unsafe {
            let numbers = _mm256_loadu_si256(numbers.as_ptr().cast());
            _mm512_storeu_ps(wide.as_mut_ptr(), _mm512_cvtph_ps(numbers));
        }
        wide
    });
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,f16c")]
#[allow(unsafe_code, reason = "instructions take pointers")]
fn correct_avx2(rows: Rows<'_>) {
    use std::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps, _mm256_storeu_ps};
    rows.compute(|numbers: &[f16; STEP]| {
        let mut wide = [0.0; STEP];
        let (halves, _) = numbers.as_chunks::<8>();
        for (to, from) in wide.as_chunks_mut::<8>().0.iter_mut().zip(halves) {
            // SAFETY: as many bytes are read as there are, and written as there is room for.
            unsafe {
                let numbers = _mm_loadu_si128(from.as_ptr().cast());
                _mm256_storeu_ps(to.as_mut_ptr(), _mm256_cvtph_ps(numbers));
            }
        }
        wide
    });
}

/// Asks for a line of memory that will be read, which says nothing of whether there is one.
#[inline(always)]
#[allow(unsafe_code, reason = "instructions take pointers")]
pub(crate) fn fetch(line: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor of this kind has the instruction, which reads nothing and never fails.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// Whether this processor computes tiles.
pub(crate) fn has_tiles() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Writes the sums of each row over its products with two panels, without scales and bias. There
/// are as many rows in `left` as sums, at most [`crate::tiles::TILE_ROWS`], and as many numbers in
/// each as records of `element` in each panel. Does nothing where this does not hold, or the
/// processor has no tiles.
#[allow(unsafe_code, reason = "what is compiled for a processor may be run only there")]
pub(crate) fn tile(left: &[f32], element: Element, panels: [&[u8]; 2], sums: &mut [Pair]) {
    #[cfg(target_arch = "x86_64")]
    macro_rules! tile {
        ($of:ident: $($rows:literal)*) => {
            match sums.len() {
                // SAFETY: the processor has what the function is compiled for.
                $($rows => unsafe { avx512::$of::<$rows>(left, panels, sums) },)*
                _ => {}
            }
        };
    }
    #[cfg(target_arch = "x86_64")]
    if has_tiles() {
        match element {
            Element::F32 => tile!(f32: 1 2 3 4 5 6 7 8 9 10 11 12),
            Element::F16 => tile!(f16: 1 2 3 4 5 6 7 8 9 10 11 12),
            Element::I8 => tile!(i8: 1 2 3 4 5 6 7 8 9 10 11 12),
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (left, element, panels, sums);
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "instructions take pointers, and numbers are read without a check")]
mod avx512 {
    use std::arch::x86_64::{
        __m512, _mm_loadu_si128, _mm256_loadu_si256, _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps,
        _mm512_cvtph_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps,
        _mm512_storeu_ps,
    };

    use super::{Pair, Record};

    /// A tile over panels of one kind of element. See [`super::tile`]. All sums stay in registers,
    /// which `ROWS` is a constant for.
    macro_rules! tile {
        ($name:ident, $bytes:literal, $load:ident) => {
            #[target_feature(enable = "avx512f")]
            pub(super) fn $name<const ROWS: usize>(
                left: &[f32],
                panels: [&[u8]; 2],
                sums: &mut [Pair],
            ) {
                let [first, second] = panels.map(|panel| panel.as_chunks::<$bytes>().0);
                let inner = first.len();
                let Some(pairs) = sums.first_chunk_mut::<ROWS>() else { return };
                if second.len() != inner || left.len() != ROWS * inner {
                    return;
                }
                let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
                for (at, (first, second)) in first.iter().zip(second).enumerate() {
                    let (first, second) = ($load(first), $load(second));
                    for (row, sums) in sums.iter_mut().enumerate() {
                        // SAFETY: `at` is below `inner`, of which `left` has `ROWS` times as many.
                        let number = unsafe { *left.get_unchecked(row * inner + at) };
                        let number = _mm512_set1_ps(number);
                        sums[0] = _mm512_fmadd_ps(first, number, sums[0]);
                        sums[1] = _mm512_fmadd_ps(second, number, sums[1]);
                    }
                }
                for (pair, sums) in pairs.iter_mut().zip(sums) {
                    pair.iter_mut().zip(sums).for_each(|(to, from)| store(to, from));
                }
            }
        };
    }

    tile!(f32, 64, load_f32);
    tile!(f16, 32, load_f16);
    tile!(i8, 16, load_i8);

    #[target_feature(enable = "avx512f")]
    fn load_f32(record: &[u8; 64]) -> __m512 {
        // SAFETY: as many bytes are read as there are.
        unsafe { _mm512_loadu_ps(record.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f")]
    fn load_f16(record: &[u8; 32]) -> __m512 {
        // SAFETY: as many bytes are read as there are.
        _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(record.as_ptr().cast()) })
    }

    #[target_feature(enable = "avx512f")]
    fn load_i8(record: &[u8; 16]) -> __m512 {
        // SAFETY: as many bytes are read as there are.
        let bytes = unsafe { _mm_loadu_si128(record.as_ptr().cast()) };
        _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))
    }

    #[target_feature(enable = "avx512f")]
    fn store(record: &mut Record, numbers: __m512) {
        // SAFETY: a record has room for the sixteen numbers that are written.
        unsafe { _mm512_storeu_ps(record.as_mut_ptr(), numbers) }
    }
}

fn at_least(operand: &'static str, expected: usize, found: usize) -> Result<(), KernelError> {
    if found < expected { Err(KernelError::Length { operand, expected, found }) } else { Ok(()) }
}
