//! Matrices into panels.

use half::f16;

use crate::{
    Element, KernelError, PanelShape,
    panels::{ALIGNMENT, push},
};

impl PanelShape {
    /// Appends the matrix `weights`, `inner` rows of `columns` numbers, in this shape's layout.
    /// `into` has to end at a multiple of 64 bytes, so that the panels start at one.
    ///
    /// For [`Element::I8`], each column is divided by its largest magnitude over 127 and rounded
    /// to nearest. For [`Element::F16`], a column whose numbers pass the range of a 16-bit float
    /// is scaled to fit.
    ///
    /// # Errors
    /// [`KernelError::Length`] where `weights` or `bias` has another length than this shape asks
    /// for, [`KernelError::TooLarge`].
    pub fn pack(
        &self,
        weights: &[f32],
        bias: Option<&[f32]>,
        into: &mut Vec<u8>,
    ) -> Result<(), KernelError> {
        self.check(weights, bias)?;
        let start = into.len();
        into.reserve(self.bytes()?);
        let mut record = vec![0.0_f32; self.lanes];
        for first in (0..self.columns).step_by(self.lanes) {
            let width = self.lanes.min(self.columns - first);
            let rows =
                || weights.chunks_exact(self.columns).filter_map(|it| it.get(first..first + width));
            let bias = bias.and_then(|it| it.get(first..first + width));
            match self.element {
                Element::F32 => {
                    for row in rows().chain(bias) {
                        fill(&mut record, row);
                        push(into, &record);
                    }
                    fill(&mut record, &[]);
                    push(into, &record);
                }
                Element::F16 | Element::I8 => {
                    let limit = if self.element == Element::I8 { 127.0 } else { f16::MAX.to_f32() };
                    let mut scales = vec![0.0_f32; self.lanes];
                    for row in rows() {
                        scales
                            .iter_mut()
                            .zip(row)
                            .for_each(|(scale, it)| *scale = scale.max(it.abs()));
                    }
                    for scale in &mut scales {
                        *scale = match self.element {
                            Element::F16 if *scale <= limit => 1.0,
                            _ if *scale > 0.0 => *scale / limit,
                            _ => 1.0,
                        };
                    }
                    push(into, &scales);
                    fill(&mut record, bias.unwrap_or_default());
                    push(into, &record);
                    for row in rows() {
                        fill(&mut record, row);
                        record.iter_mut().zip(&scales).for_each(|(number, scale)| *number /= scale);
                        narrow(self.element, &record, into);
                    }
                }
            }
            into.resize(start + (into.len() - start).next_multiple_of(ALIGNMENT), 0);
        }
        Ok(())
    }

    fn check(&self, weights: &[f32], bias: Option<&[f32]>) -> Result<(), KernelError> {
        let elements = self.inner.checked_mul(self.columns);
        let expected =
            elements.ok_or(KernelError::TooLarge { inner: self.inner, columns: self.columns })?;
        if weights.len() != expected {
            return Err(KernelError::Length { operand: "weights", expected, found: weights.len() });
        }
        let expected = if self.has_bias { self.columns } else { 0 };
        let found = bias.map_or(0, <[f32]>::len);
        if found != expected {
            return Err(KernelError::Length { operand: "bias", expected, found });
        }
        Ok(())
    }
}

fn fill(record: &mut [f32], from: &[f32]) {
    record.fill(0.0);
    record.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

fn narrow(element: Element, record: &[f32], into: &mut Vec<u8>) {
    match element {
        Element::F32 => push(into, record),
        Element::F16 => {
            into.extend(record.iter().flat_map(|it| f16::from_f32(*it).to_le_bytes()));
        }
        // `as` saturates, and rounding keeps to the range anyway.
        Element::I8 => into.extend(record.iter().map(|it| (it.round() as i8).cast_unsigned())),
    }
}
