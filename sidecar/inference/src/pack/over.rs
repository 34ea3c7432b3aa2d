//! Fine-tuned models as packages of what they change of their base.

use std::fmt;

use artifact::{Header, Identity, Package, PackageBuilder, SectionKind};
use half::f16;
use kernels::{Element, PanelShape, column_blocks};
use zerocopy::{Immutable, IntoBytes};

use super::{
    Deviation, Pack, PackError, RUNS,
    factor::{Thin, factor},
    header, measure, pack,
};
use crate::{
    Backend, LoadError,
    changes::{
        CHANGES, CHANGES_VERSION, Changes, ConstantChange, MAX_RANK, MatrixChange, NUMBERS,
        NUMBERS_ALIGNMENT, PairKind, WeightChange,
    },
    cpu::{CpuBackend, model::Typed, unpacked},
    lower::{Lowered, Weights, lower},
    plan::{PackedPlan, Place, difference},
};

/// Matrices of so many bytes are kept whole, where that takes no more than a thin change.
const SMALL_BYTES: usize = 1024;

/// How a fine-tuned model is packed over its base.
#[derive(Debug, Clone)]
pub struct PackOver {
    /// Whose model it is.
    pub identity: Identity,
    /// The largest rank of what a matrix is changed by.
    pub rank: usize,
    /// What such changes are kept as; see [`Wider`] for where they are kept as more.
    pub pairs: PairKind,
    /// The largest [`Deviation::largest`] from the fine-tuned model that is accepted.
    pub largest_deviation: f64,
    /// Whether the ONNX file goes along, which is as large as the model that it is of.
    pub with_source: bool,
}

impl Default for PackOver {
    /// Rank 8, kept as 16-bit floats, answers within a hundredth, nobody's, and without the ONNX file.
    fn default() -> Self {
        Self {
            identity: Identity::default(),
            rank: 8,
            pairs: PairKind::F16,
            largest_deviation: 0.01,
            with_source: false,
        }
    }
}

/// A package of changes.
#[derive(Debug)]
pub struct Adapted {
    /// The package.
    pub bytes: Vec<u8>,
    /// What it changes.
    pub changed: Changed,
    /// How far its answers are from those of the fine-tuned model.
    pub deviation: Deviation,
}

/// What a package changes of its base.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changed {
    /// Matrices that are changed by thin ones.
    pub thin: usize,
    /// The largest rank of those.
    pub rank: usize,
    /// What they are kept as.
    pub pairs: Option<PairKind>,
    /// How many of them are kept as 32-bit floats instead.
    pub wide: usize,
    /// Why some or all take more than was asked for.
    pub because: Option<Wider>,
    /// Matrices that are kept whole.
    pub whole: usize,
    /// Matrices of which the bias differs and nothing else.
    pub biases: usize,
    /// Other constants that differ.
    pub constants: usize,
    /// Bytes of all the numbers.
    pub bytes: usize,
}

/// Why thin matrices are kept as wider numbers than was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wider {
    /// They have numbers that 16-bit floats do not reach.
    OutOfRange,
    /// With what was asked for, answers deviate by more than is accepted.
    Deviates(PairKind),
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { thin, rank, pairs, wide, because, whole, biases, constants, bytes } = self;
        write!(f, "over its base: {thin} matrices changed by rank {rank} at most")?;
        let kept = pairs.filter(|_| wide < thin);
        if let Some(pairs) = kept {
            write!(f, " in {pairs}")?;
        }
        if *wide > 0 {
            let of = kept.map_or_else(String::new, |_| format!(" but {wide}"));
            write!(f, "{of} in {}", PairKind::F32)?;
        }
        match because {
            Some(Wider::OutOfRange) => f.write_str(" (numbers that f16 does not reach)")?,
            Some(Wider::Deviates(asked)) => {
                write!(f, " ({asked} deviates by more than is accepted)")?;
            }
            None => {}
        }
        write!(f, ", {whole} whole, {biases} biases, {constants} constants, {bytes} bytes")
    }
}

/// Makes a package of what a fine-tuned ONNX file changes of `base`.
///
/// # Errors
/// [`PackError::OtherPlan`] where the file is no model of the base's graph, with the first difference;
/// [`PackError::Deviates`] where the changes do not give its answers; and [`PackError`] otherwise.
pub fn pack_over(base: &Package, tuned: &[u8], options: &PackOver) -> Result<Adapted, PackError> {
    if !(1..=MAX_RANK).contains(&options.rank) {
        return Err(PackError::Rank { most: MAX_RANK, found: options.rank });
    }
    if base.header().base.is_some() || base.section(SectionKind::Plan).is_none() {
        return Err(LoadError::NoBasePlan.into());
    }
    let typed = Typed::read(tuned)?;
    let lowered = typed
        .simplified()
        .map_err(|error| error.to_string())
        .and_then(|graph| lower(&graph).map_err(|because| because.to_string()))
        .map_err(|because| PackError::NoPlanOver { because })?;
    let plan = PackedPlan::open(Package::open(base.file().clone()).map_err(LoadError::from)?)
        .map_err(LoadError::from)?;
    let whole = Pack { identity: options.identity.clone(), ..Pack::default() };
    let mut header = header(tuned, &typed, &whole);
    let same = |(a, b): (&artifact::Tensor, &artifact::ArchivedTensor)| {
        a.name == b.name.as_str()
            && a.datatype == b.datatype.as_str()
            && a.shape.iter().copied().eq(b.shape.iter().map(|it| it.to_native()))
    };
    for (what, own, its) in [
        ("inputs", &mut header.inputs, &base.header().inputs),
        ("outputs", &mut header.outputs, &base.header().outputs),
    ] {
        if own.len() != its.len() || !own.iter().zip(its.iter()).all(same) {
            let difference = format!("the {what} are not the base's");
            return Err(PackError::OtherPlan { difference });
        }
        // What open dimensions are called is the base's to say: it is run by its plan.
        for (own, its) in own.iter_mut().zip(its.iter()) {
            own.names = its.names.iter().map(|it| it.as_str().to_owned()).collect();
        }
    }
    if let Some(difference) = difference(plan.plan(), &lowered.plan) {
        return Err(PackError::OtherPlan { difference });
    }

    header.base = Some(*base.file().digest().as_bytes());
    let base_matrices = unpacked(&plan).map_err(LoadError::from)?;
    let changed = |pairs: PairKind| -> Result<(Vec<u8>, Changed), PackError> {
        let mut writing = Writing::of(pairs);
        for (at, (tuned, base)) in lowered.matrices.iter().zip(&base_matrices).enumerate() {
            writing.matrix(at as u32, tuned, base, options.rank)?;
        }
        writing.constants(&lowered, plan.constants());
        let source = options.with_source.then_some(tuned);
        writing.finish(header.clone(), source, options.pairs)
    };

    let backend = CpuBackend::default();
    let mapped = |bytes: &[u8]| artifact::Mapped::copied(bytes).map_err(PackError::from);
    let wide = backend.load(&mapped(&pack(tuned, &whole)?.bytes)?)?;
    let loaded = backend.load(base.file())?;
    let mut pairs = options.pairs;
    loop {
        let (bytes, changed) = changed(pairs)?;
        let narrow = backend.load_over(&mapped(&bytes)?, &loaded)?;
        let deviation = measure::deviation(&*wide, &*narrow)?;
        // Not a number is no smaller than the limit.
        if deviation.largest <= options.largest_deviation {
            return Ok(Adapted { bytes, changed, deviation });
        }
        pairs = match pairs {
            PairKind::I8 if changed.thin > 0 => PairKind::F16,
            PairKind::F16 if changed.wide < changed.thin => PairKind::F32,
            _ => {
                let (limit, found) = (options.largest_deviation, deviation.largest);
                return Err(PackError::DeviatesFromTuned { limit, found });
            }
        };
    }
}

/// Changes that are being put together.
struct Writing {
    pairs: PairKind,
    changes: Changes,
    changed: Changed,
    numbers: Vec<u8>,
}

impl Writing {
    fn of(pairs: PairKind) -> Self {
        let (changes, changed, numbers) = Default::default();
        Self { pairs, changes, changed, numbers }
    }

    fn push(&mut self, bytes: &[u8]) -> u64 {
        self.numbers.resize(self.numbers.len().next_multiple_of(NUMBERS_ALIGNMENT), 0);
        let at = self.numbers.len() as u64;
        self.numbers.extend_from_slice(bytes);
        at
    }

    fn matrix(
        &mut self,
        at: u32,
        tuned: &Weights,
        base: &Unpacked,
        rank: usize,
    ) -> Result<(), PackError> {
        let difference = |tuned: &[f32], base: &[f32]| -> Vec<f32> {
            tuned.iter().zip(base).map(|(tuned, base)| tuned - base).collect()
        };
        let weights = difference(&tuned.numbers, &base.weights);
        let bias = tuned.bias.as_deref().map(|bias| difference(bias, &base.bias));
        let differs = |it: &[f32]| it.iter().any(|it| *it != 0.0);
        let has_bias = bias.as_deref().is_some_and(differs);
        if !differs(&weights) && !has_bias {
            return Ok(());
        }
        let shape = PanelShape { element: Element::F32, ..base.shape };
        let whole_bytes = shape.bytes()?;
        let thin = factor(&weights, tuned.inner, tuned.columns, rank);
        let thin = thin.filter(|_| !has_bias || bias.iter().flatten().all(|it| it.is_finite()));
        let thin = thin.map(|thin| (Kept::of(&thin, self.pairs, tuned.columns), thin));
        let thin_bytes = |kept: &Kept| {
            let bias = if has_bias { tuned.columns * size_of::<f32>() } else { 0 };
            kept.down.len() + kept.up.len() + bias
        };
        let is_small = tuned.numbers.len() * size_of::<f32>() <= SMALL_BYTES;
        let change = match thin {
            Some((_, thin)) if thin.rank == 0 => {
                self.changed.biases += 1;
                WeightChange::Same
            }
            Some((kept, thin)) if thin_bytes(&kept) < whole_bytes && !is_small => {
                self.changed.thin += 1;
                self.changed.rank = self.changed.rank.max(thin.rank);
                let (element, rank) = (kept.element, thin.rank as u32);
                if element == PairKind::F32 {
                    self.changed.wide += 1;
                }
                if element != self.pairs {
                    self.changed.because = self.changed.because.or(Some(Wider::OutOfRange));
                }
                let (down, up) = (self.push(&kept.down), self.push(&kept.up));
                WeightChange::LowRank { element, rank, down, up }
            }
            _ => {
                self.changed.whole += 1;
                let mut panels = vec![];
                shape.pack(&tuned.numbers, tuned.bias.as_deref(), &mut panels)?;
                let panels = self.push(&panels);
                WeightChange::Whole { lanes: shape.lanes as u32, panels }
            }
        };
        let is_whole = matches!(change, WeightChange::Whole { .. });
        let bias = bias.filter(|_| has_bias && !is_whole).map(|bias| self.push(bias.as_bytes()));
        self.changes.matrices.push(MatrixChange { matrix: at, weights: change, bias });
        Ok(())
    }

    /// Both have the same constants at the same places, of other values.
    fn constants(&mut self, tuned: &Lowered, base: &[u8]) {
        let mut places: Vec<(u64, u64)> = vec![];
        for value in &tuned.plan.values {
            let dims = value.shape.iter().map(|at| tuned.plan.dimensions.get(*at as usize));
            let numbers = dims.map(|dim| dim.and_then(|dim| dim.number()));
            let count = numbers.collect::<Option<Vec<u64>>>().map(|it| it.iter().product::<u64>());
            if let (Place::Constant(at), Some(count)) = (value.place, count) {
                places.push((at, count * value.kind.bytes() as u64));
            }
        }
        places.sort_unstable();
        places.dedup();
        for (start, bytes) in places {
            let range = start as usize..(start + bytes) as usize;
            let (Some(own), Some(its)) = (tuned.constants.get(range.clone()), base.get(range))
            else {
                continue;
            };
            if own != its {
                let at = self.push(own);
                self.changed.constants += 1;
                self.changes.constants.push(ConstantChange { start, bytes, at });
            }
        }
    }

    /// The package, of which `asked` is what thin matrices were to be kept as.
    fn finish(
        self,
        header: Header,
        source: Option<&[u8]>,
        asked: PairKind,
    ) -> Result<(Vec<u8>, Changed), PackError> {
        let Self { pairs, mut changes, mut changed, numbers } = self;
        changes.version = CHANGES_VERSION;
        changed.bytes = numbers.len();
        changed.pairs = Some(pairs);
        if pairs != asked {
            changed.because = Some(Wider::Deviates(asked));
        }
        let archive = rkyv::to_bytes::<rkyv::rancor::Error>(&changes)
            .map_err(|error| PackError::Plan { detail: error.to_string() })?;
        let mut builder = PackageBuilder::new(header);
        builder.section(SectionKind::Delta, CHANGES, archive.into_vec());
        if !numbers.is_empty() {
            builder.section(SectionKind::Delta, NUMBERS, numbers);
        }
        if let Some(source) = source {
            builder.section(SectionKind::Source, "onnx", source.to_vec());
        }
        builder.section(SectionKind::Notes, RUNS, changed.to_string().into_bytes());
        Ok((builder.finish()?, changed))
    }
}

/// Two thin matrices as they are kept.
struct Kept {
    element: PairKind,
    down: Vec<u8>,
    up: Vec<u8>,
}

impl Kept {
    /// As `asked`, but as 32-bit floats where a number is out of the range of 16-bit ones.
    fn of(thin: &Thin, asked: PairKind, columns: usize) -> Self {
        let kept = match asked {
            PairKind::F32 => None,
            PairKind::F16 => Self::halves(thin, columns),
            PairKind::I8 => Some(Self::bytes(thin, columns)),
        };
        kept.unwrap_or_else(|| Self {
            element: PairKind::F32,
            down: thin.down.as_bytes().to_vec(),
            up: in_blocks(&thin.up, thin.rank, columns),
        })
    }

    fn halves(thin: &Thin, columns: usize) -> Option<Self> {
        let halves = |numbers: &[f32]| -> Option<Vec<f16>> {
            let halves = numbers.iter().map(|it| f16::from_f32(*it));
            halves.map(|it| it.is_finite().then_some(it)).collect()
        };
        Some(Self {
            element: PairKind::F16,
            down: halves(&thin.down)?.as_bytes().to_vec(),
            up: in_blocks(&halves(&thin.up)?, thin.rank, columns),
        })
    }

    /// The largest number of each row becomes 127, and the others are rounded to the nearest.
    fn bytes(thin: &Thin, columns: usize) -> Self {
        let scaled = |numbers: &[f32]| -> (Vec<f32>, Vec<i8>) {
            let rows = numbers.chunks((numbers.len() / thin.rank.max(1)).max(1));
            let rows = rows.map(|row| {
                let largest = row.iter().fold(0.0_f32, |most, it| most.max(it.abs()));
                let scale = if largest > 0.0 { largest / f32::from(i8::MAX) } else { 1.0 };
                (scale, row.iter().map(move |it| (it / scale).round() as i8))
            });
            let (scales, rows): (Vec<f32>, Vec<_>) = rows.unzip();
            (scales, rows.into_iter().flatten().collect())
        };
        let ((downs, down), (ups, up)) = (scaled(&thin.down), scaled(&thin.up));
        let scales: Vec<f32> = downs.iter().zip(&ups).map(|(down, up)| down * up).collect();
        let mut kept = scales.as_bytes().to_vec();
        kept.resize(kept.len().next_multiple_of(NUMBERS_ALIGNMENT), 0);
        kept.extend_from_slice(down.as_bytes());
        Self { element: PairKind::I8, down: kept, up: in_blocks(&up, thin.rank, columns) }
    }
}

/// The second thin matrix in the order in which it is kept.
fn in_blocks<N: Copy + IntoBytes + Immutable>(up: &[N], rank: usize, columns: usize) -> Vec<u8> {
    let up: Vec<N> = column_blocks(rank, columns).filter_map(|at| up.get(at)).copied().collect();
    up.as_bytes().to_vec()
}

/// A matrix of a base as numbers.
pub(crate) struct Unpacked {
    /// How it is packed.
    pub(crate) shape: PanelShape,
    /// Row after row.
    pub(crate) weights: Vec<f32>,
    /// Zeros where there is none.
    pub(crate) bias: Vec<f32>,
}
