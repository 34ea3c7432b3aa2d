//! Many distinct models out of one package.

use std::ops::Range;

use anyhow::{Context, Result};
use artifact::{
    ArchivedTensor, Header, Identity, Mapped, Package, PackageBuilder, SectionKind, Tensor,
};
use half::f16;
use inference::{
    changes::{self, ArchivedWeightChange, PackedChanges, PairKind},
    plan::PackedPlan,
};

/// A package from which others are made that differ in their names and weights.
pub(crate) struct Template {
    package: Package,
    /// Where there are 16-bit floats among what it changes of its base.
    halves: Vec<Range<usize>>,
    /// Where there are 8-bit integers, which stay as they are.
    bytes: Vec<Range<usize>>,
    /// And their scales.
    scales: Vec<Range<usize>>,
}

impl Template {
    pub(crate) fn new(bytes: &[u8]) -> Result<Self> {
        Ok(Self {
            package: Package::open(Mapped::copied(bytes)?)?,
            halves: vec![],
            bytes: vec![],
            scales: vec![],
        })
    }

    /// One of changes to `base`.
    pub(crate) fn over(bytes: &[u8], base: &Mapped) -> Result<Self> {
        let base = PackedPlan::open(Package::open(base.clone())?)?;
        let mut template = Self::new(bytes)?;
        let changes = PackedChanges::open(Package::open(Mapped::copied(bytes)?)?, &base)?;
        for change in changes.changes().matrices.iter() {
            let matrix = base.plan().matrices.get(change.matrix.to_native() as usize);
            let (ArchivedWeightChange::LowRank { element, rank, down, up }, Some(matrix)) =
                (&change.weights, matrix)
            else {
                continue;
            };
            let rank = rank.to_native() as usize;
            let range = |start: u64, numbers: u64| {
                let start = start as usize;
                start..start + rank * numbers as usize * element.get().bytes()
            };
            let (down, up) = (down.to_native(), up.to_native());
            let (inner, columns) = (matrix.inner.to_native(), matrix.columns.to_native());
            match element.get() {
                PairKind::F32 => {}
                PairKind::F16 => template.halves.extend([range(down, inner), range(up, columns)]),
                PairKind::I8 => {
                    // The numbers begin behind the scales, where the next thing may.
                    let (start, scales) = (down as usize, rank * size_of::<f32>());
                    template.scales.push(start..start + scales);
                    let down = down + scales.next_multiple_of(changes::NUMBERS_ALIGNMENT) as u64;
                    template.bytes.extend([range(down, inner), range(up, columns)]);
                }
            }
        }
        Ok(template)
    }

    /// The package number `number`. Its weights, or what it changes of its base, are the template's, each
    /// times a number between 1 and 2 that only this package has; 16-bit floats, and scales of 8-bit
    /// integers, tell 1024 of those apart.
    pub(crate) fn variant(&self, number: usize) -> Result<Vec<u8>> {
        let mut builder = PackageBuilder::new(self.header(number));
        for (kind, key, bytes) in SectionKind::ALL
            .into_iter()
            .flat_map(|kind| self.package.sections(kind).map(move |(key, it)| (kind, key, it)))
        {
            let is_weights = kind == SectionKind::Panels
                || (kind == SectionKind::Delta && key == changes::NUMBERS);
            let bytes = if is_weights { self.scaled(bytes, number) } else { bytes.to_vec() };
            builder.section(kind, key, bytes);
        }
        builder.finish().context("a package of another size than its template's")
    }

    fn header(&self, number: usize) -> Header {
        let header = self.package.header();
        let tensor = |it: &ArchivedTensor| Tensor {
            name: it.name.as_str().to_owned(),
            datatype: it.datatype.as_str().to_owned(),
            shape: it.shape.iter().map(|dim| dim.to_native()).collect(),
            names: it.names.iter().map(|name| name.as_str().to_owned()).collect(),
        };
        Header {
            identity: Identity {
                tenant: Some(format!("org_{number}")),
                name: format!("model-{number}"),
                version: "1".to_owned(),
                trained_on: vec![format!("org_{number}")],
            },
            inputs: header.inputs.iter().map(tensor).collect(),
            outputs: header.outputs.iter().map(tensor).collect(),
            producer: header.producer.as_str().to_owned(),
            source: header.source,
            base: header.base.as_ref().copied(),
            ..Header::default()
        }
    }

    fn scaled(&self, bytes: &[u8], number: usize) -> Vec<u8> {
        let scale = 1.0 + number as f32 / (1 << 20) as f32;
        let (numbers, _) = bytes.as_chunks::<4>();
        let scaled = numbers.iter().map(|it| f32::from_le_bytes(*it) * scale);
        let mut all: Vec<u8> = scaled.flat_map(f32::to_le_bytes).collect();
        let far = 1.0 + (number % 1024) as f32 / 1024.0;
        for range in &self.scales {
            let numbers = bytes.get(range.clone()).unwrap_or_default().as_chunks::<4>().0;
            let to = all.get_mut(range.clone()).unwrap_or_default().as_chunks_mut::<4>().0;
            for (to, from) in to.iter_mut().zip(numbers) {
                *to = (f32::from_le_bytes(*from) * far).to_le_bytes();
            }
        }
        let scale = f16::from_f32(far);
        for range in &self.halves {
            let halves = bytes.get(range.clone()).unwrap_or_default().as_chunks::<2>().0;
            let to = all.get_mut(range.clone()).unwrap_or_default().as_chunks_mut::<2>().0;
            for (to, from) in to.iter_mut().zip(halves) {
                *to = (f16::from_le_bytes(*from) * scale).to_le_bytes();
            }
        }
        for range in &self.bytes {
            if let (Some(to), Some(from)) = (all.get_mut(range.clone()), bytes.get(range.clone())) {
                to.copy_from_slice(from);
            }
        }
        all
    }
}
