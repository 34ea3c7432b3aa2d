//! A fixed matrix as kernels read it.

use half::{f16, slice::HalfFloatSliceExt};
use zerocopy::{FromBytes, IntoBytes};

use crate::KernelError;

/// Where panels start: a cache line, and what the widest vector instruction asks for.
pub(crate) const ALIGNMENT: usize = 64;

/// What the elements of panels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element {
    /// 32-bit floats, read where they are.
    F32,
    /// 16-bit floats, widened panel by panel while they are used.
    F16,
    /// 8-bit integers with a scale for each column, widened likewise.
    I8,
}

impl Element {
    /// Bytes of one.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::I8 => 1,
        }
    }

    /// Widens as many narrow elements as `into` takes. It is part of whatever function calls it, and
    /// compiled for that one's processor.
    #[inline(always)]
    pub(crate) fn widen(self, bytes: &[u8], into: &mut [f32]) {
        let bytes = bytes.get(..into.len() * self.bytes()).unwrap_or_default();
        match self {
            Self::F32 => {}
            Self::F16 => {
                let halves = <[f16]>::ref_from_bytes(bytes).unwrap_or_default();
                if halves.len() == into.len() {
                    halves.convert_to_f32_slice(into);
                }
            }
            Self::I8 => {
                let pairs = into.iter_mut().zip(bytes);
                pairs.for_each(|(to, from)| *to = f32::from(from.cast_signed()));
            }
        }
    }
}

/// What a packed matrix holds, and so how many bytes it takes.
///
/// The columns are taken in groups of `lanes`, the last one filled up with zeros. A group is a
/// panel. It starts at a multiple of 64 bytes and holds, with all numbers little-endian:
///
/// * `F32`: `inner` records of `lanes` numbers, one record more with the bias where there is one,
///   and a record of zeros, which kernels may read ahead.
/// * `F16`, `I8`: a record of `lanes` 32-bit floats with the scales of the columns, one with their
///   bias, and `inner` records of `lanes` elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PanelShape {
    /// Rows of the matrix: the length of what it is multiplied with.
    pub inner: usize,
    /// Columns of the matrix: the length of what comes out.
    pub columns: usize,
    /// Whether a bias is added to what comes out.
    pub has_bias: bool,
    /// What the elements are.
    pub element: Element,
    /// How many columns a panel has.
    pub lanes: usize,
}

impl PanelShape {
    /// How many panels there are.
    pub const fn panels(&self) -> usize {
        self.columns.div_ceil(self.lanes)
    }

    /// Bytes of one panel.
    ///
    /// # Errors
    /// [`KernelError::TooLarge`].
    pub fn panel_bytes(&self) -> Result<usize, KernelError> {
        let wide = self.lanes.checked_mul(4);
        let bytes = match self.element {
            Element::F32 => {
                let records = self.inner.checked_add(1 + usize::from(self.has_bias));
                records.zip(wide).and_then(|(records, wide)| records.checked_mul(wide))
            }
            Element::F16 | Element::I8 => {
                let elements = self.inner.checked_mul(self.lanes);
                let bytes = elements.and_then(|it| it.checked_mul(self.element.bytes()));
                wide.and_then(|it| it.checked_mul(2)).zip(bytes).and_then(|(a, b)| a.checked_add(b))
            }
        };
        bytes.and_then(|it| it.checked_next_multiple_of(ALIGNMENT)).ok_or_else(|| self.too_large())
    }

    /// Bytes of all panels.
    ///
    /// # Errors
    /// [`KernelError::TooLarge`].
    pub fn bytes(&self) -> Result<usize, KernelError> {
        self.panel_bytes()?.checked_mul(self.panels()).ok_or_else(|| self.too_large())
    }

    /// The records that a kernel multiplies over: the rows of the matrix, and its bias.
    pub(crate) const fn depth(&self) -> usize {
        self.inner + self.has_bias as usize
    }

    fn too_large(&self) -> KernelError {
        KernelError::TooLarge { inner: self.inner, columns: self.columns }
    }
}

/// A packed matrix in borrowed memory. See [`PanelShape`] for its layout.
#[derive(Debug, Clone, Copy)]
pub struct Panels<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) shape: PanelShape,
    pub(crate) panel_bytes: usize,
}

impl<'a> Panels<'a> {
    /// The panels in `bytes`.
    ///
    /// # Errors
    /// [`KernelError::Length`] where there are not exactly as many bytes as `shape` needs,
    /// [`KernelError::Misaligned`], [`KernelError::TooLarge`].
    pub fn new(bytes: &'a [u8], shape: PanelShape) -> Result<Self, KernelError> {
        let (expected, panel_bytes) = (shape.bytes()?, shape.panel_bytes()?);
        if bytes.len() != expected {
            return Err(KernelError::Length { operand: "panels", expected, found: bytes.len() });
        }
        if !bytes.as_ptr().addr().is_multiple_of(ALIGNMENT) {
            return Err(KernelError::Misaligned { expected: ALIGNMENT });
        }
        Ok(Self { bytes, shape, panel_bytes })
    }

    /// What they hold.
    pub const fn shape(&self) -> &PanelShape {
        &self.shape
    }

    /// All of their bytes.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Up to `count` panels from `first` on, as a matrix of their columns alone.
    pub(crate) fn part(&self, first: usize, count: usize) -> Self {
        let start = first.min(self.shape.panels());
        let end = start.saturating_add(count).min(self.shape.panels());
        let column = |panel: usize| (panel * self.shape.lanes).min(self.shape.columns);
        let bytes = self.bytes.get(start * self.panel_bytes..end * self.panel_bytes);
        let shape = PanelShape { columns: column(end) - column(start), ..self.shape };
        Self { bytes: bytes.unwrap_or_default(), shape, panel_bytes: self.panel_bytes }
    }

    pub(crate) fn panel(&self, at: usize) -> &'a [u8] {
        let start = at.saturating_mul(self.panel_bytes);
        self.bytes.get(start..start.saturating_add(self.panel_bytes)).unwrap_or_default()
    }

    /// Writes panel `at` as 32-bit floats, in the layout of [`Element::F32`].
    pub(crate) fn widen(&self, at: usize, into: &mut [f32]) {
        let lanes = self.shape.lanes;
        let depth = self.shape.depth() * lanes;
        into.get_mut(depth..).unwrap_or_default().fill(0.0);
        let into = into.get_mut(..depth).unwrap_or_default();
        let panel = self.panel(at);
        if self.shape.element == Element::F32 {
            let numbers = <[f32]>::ref_from_bytes(panel).unwrap_or_default();
            into.iter_mut().zip(numbers).for_each(|(to, from)| *to = *from);
            return;
        }
        let head = 2 * lanes * size_of::<f32>();
        let (head, body) = panel.split_at_checked(head).unwrap_or_default();
        let body = body.get(..self.shape.inner * lanes * self.shape.element.bytes());
        let (head, body) =
            (<[f32]>::ref_from_bytes(head).unwrap_or_default(), body.unwrap_or_default());
        let (scales, bias) = head.split_at_checked(lanes).unwrap_or_default();
        let (numbers, last) =
            into.split_at_mut_checked(self.shape.inner * lanes).unwrap_or_default();
        self.shape.element.widen(body, numbers);
        for record in numbers.chunks_exact_mut(lanes) {
            record.iter_mut().zip(scales).for_each(|(number, scale)| *number *= scale);
        }
        last.iter_mut().zip(bias).for_each(|(to, from)| *to = *from);
    }

    /// The matrix, row after row, and its bias: zeros where it has none.
    pub fn unpack(&self) -> (Vec<f32>, Vec<f32>) {
        let PanelShape { inner, columns, lanes, has_bias, .. } = self.shape;
        if columns == 0 {
            // There are no bytes that bound how many rows it says that it has.
            return (vec![], vec![]);
        }
        let mut weights = vec![0.0; inner * columns];
        let mut bias = vec![0.0; columns];
        let mut wide = vec![0.0; self.shape.depth() * lanes];
        for panel in 0..self.shape.panels() {
            self.widen(panel, &mut wide);
            let first = panel * lanes;
            let width = lanes.min(columns - first);
            for (at, record) in wide.chunks_exact(lanes).enumerate() {
                let to = if at < inner {
                    weights.get_mut(at * columns + first..)
                } else if has_bias {
                    bias.get_mut(first..)
                } else {
                    None
                };
                to.unwrap_or_default().iter_mut().zip(record).take(width).for_each(|(to, from)| {
                    *to = *from;
                });
            }
        }
        (weights, bias)
    }
}

/// Appends a record of numbers, little-endian.
pub(crate) fn push(into: &mut Vec<u8>, numbers: &[f32]) {
    // The crate runs on little-endian processors only: see the guard below.
    into.extend_from_slice(numbers.as_bytes());
}

#[cfg(not(target_endian = "little"))]
compile_error!("panels are little-endian, and are read where they lie");
