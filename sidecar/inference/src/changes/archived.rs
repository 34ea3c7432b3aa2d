//! Changes where they are mapped.

use std::ops::Range;

use artifact::{ArchivedTensor, Package, SectionKind};
use kernels::{Element, LowRank, PanelShape, Panels};
use tenancy::Digest;
use zerocopy::{FromBytes, Immutable};

use super::{
    ArchivedChanges, ArchivedConstantChange, ArchivedMatrixChange, ArchivedWeightChange, CHANGES,
    CHANGES_VERSION, MAX_RANK, NUMBERS, NUMBERS_ALIGNMENT, PairKind,
};
use crate::plan::{ArchivedMatrix, ArchivedPlace, ArchivedPlan, PackedPlan};

self_cell::self_cell! {
    struct Checked {
        owner: Package,
        #[covariant]
        dependent: Found,
    }
}

/// What a package holds, found once: a run reads nothing of it but the numbers.
struct Found<'a> {
    changes: &'a ArchivedChanges,
    numbers: &'a [u8],
    matrices: Box<[MatrixRef<'a>]>,
}

/// A package of changes that were checked against its base: whatever they refer to is in both.
pub struct PackedChanges {
    checked: Checked,
}

/// Why changes were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangesError {
    /// The package says nothing of a base.
    #[error("expected a package that changes a base, found one that stands for itself")]
    NoBase,
    /// It changes another package.
    #[error(
        "expected changes of the base with digest {found}, which is the one given, found changes of \
         {expected}: give them that base, or pack the model over this one"
    )]
    OtherBase {
        /// The base that the package names.
        expected: Digest,
        /// The base that was given.
        found: Digest,
    },
    /// It was made for another release.
    #[error("expected changes of version {expected}, found {found}: pack the model again")]
    Version {
        /// What this release reads.
        expected: u32,
        /// What the package says.
        found: u32,
    },
    /// They do not fit the base, or refer to what is not there.
    #[error("the package's changes do not fit its base: {detail}")]
    Malformed {
        /// What is wrong.
        detail: String,
    },
}

fn malformed(detail: impl Into<String>) -> ChangesError {
    ChangesError::Malformed { detail: detail.into() }
}

/// What stands for a matrix of the base.
#[derive(Debug, Clone, Copy)]
pub struct MatrixRef<'a> {
    /// An index into the matrices of the base's plan.
    pub matrix: u32,
    /// What stands for its weights.
    pub weights: WeightsRef<'a>,
    /// What is added to its bias, a number for each column.
    pub bias: Option<&'a [f32]>,
}

/// What stands for the weights of a matrix.
#[derive(Debug, Clone, Copy)]
pub enum WeightsRef<'a> {
    /// The base's.
    Same,
    /// The base's with a change added.
    LowRank(LowRank<'a>),
    /// These.
    Whole(Panels<'a>),
}

impl PackedChanges {
    /// Checks that `package` holds changes of `base`. Takes time by their number, not by their size.
    ///
    /// # Errors
    /// [`ChangesError`] for every package that is made for another base, or does not fit this one.
    pub fn open(package: Package, base: &PackedPlan) -> Result<Self, ChangesError> {
        let named = package.header().base.as_ref().ok_or(ChangesError::NoBase)?;
        let (expected, found) = (Digest::from_bytes(*named), *base.package().file().digest());
        if expected != found {
            return Err(ChangesError::OtherBase { expected, found });
        }
        let (own, its) = (package.header(), base.package().header());
        same_tensors("inputs", &own.inputs, &its.inputs)?;
        same_tensors("outputs", &own.outputs, &its.outputs)?;
        let checked = Checked::try_new(package, |package| {
            let bytes = section(package, CHANGES).ok_or_else(|| malformed("there are none"))?;
            let changes = rkyv::access::<ArchivedChanges, rkyv::rancor::Error>(bytes)
                .map_err(|error| malformed(error.to_string()))?;
            let found = changes.version.to_native();
            if found != CHANGES_VERSION {
                return Err(ChangesError::Version { expected: CHANGES_VERSION, found });
            }
            let numbers = section(package, NUMBERS).unwrap_or_default();
            check(changes, base.plan(), numbers.len())?;
            let found = |change| matrix(change, base.plan(), numbers);
            let matrices = changes.matrices.iter().map(found).collect::<Option<_>>();
            let matrices = matrices.ok_or_else(|| malformed("a change that cannot be read"))?;
            Ok(Found { changes, numbers, matrices })
        })?;
        Ok(Self { checked })
    }

    /// What is changed.
    pub fn changes(&self) -> &ArchivedChanges {
        self.checked.borrow_dependent().changes
    }

    /// The package that says so.
    pub fn package(&self) -> &Package {
        self.checked.borrow_owner()
    }

    /// The bytes of all changes.
    pub fn numbers(&self) -> &[u8] {
        self.checked.borrow_dependent().numbers
    }

    /// All matrices that differ, by rising index.
    pub fn matrices(&self) -> &[MatrixRef<'_>] {
        &self.checked.borrow_dependent().matrices
    }

    /// What stands for a matrix, where something does.
    pub fn matrix(&self, matrix: u32) -> Option<&MatrixRef<'_>> {
        let all = self.matrices();
        all.get(all.binary_search_by_key(&matrix, |it| it.matrix).ok()?)
    }

    /// What stands for the constant that starts at `start`, where something does.
    pub fn constant(&self, start: u64) -> Option<&[u8]> {
        let all = &self.changes().constants;
        let at = all.binary_search_by_key(&start, |it| it.start.to_native()).ok()?;
        let change = all.get(at)?;
        let range = placed(change.at.to_native(), change.bytes.to_native());
        self.numbers().get(range?)
    }

    /// What it takes of the process's memory beside its package.
    pub(crate) fn private_bytes(&self) -> u64 {
        size_of_val(self.matrices()) as u64
    }
}

/// What `change` makes of its matrix, which the base's plan has. None where numbers lie outside
/// `numbers`.
fn matrix<'a>(
    change: &ArchivedMatrixChange,
    plan: &ArchivedPlan,
    numbers: &'a [u8],
) -> Option<MatrixRef<'a>> {
    let at = change.matrix.to_native();
    let matrix = plan.matrices.get(at as usize)?;
    let (inner, columns) = (matrix.inner.to_native(), matrix.columns.to_native());
    let weights = match &change.weights {
        ArchivedWeightChange::Same => WeightsRef::Same,
        ArchivedWeightChange::LowRank { element, rank, down, up } => {
            let (rank, down, up) = (rank.to_native(), down.to_native(), up.to_native());
            let rows = u64::from(rank);
            let (downs, ups) = (rows.checked_mul(inner)?, rows.checked_mul(columns)?);
            let pair = match element.get() {
                PairKind::F32 => LowRank::new(
                    read(numbers, down, downs)?,
                    read(numbers, up, ups)?,
                    rank as usize,
                ),
                PairKind::F16 => LowRank::of_halves(
                    read(numbers, down, downs)?,
                    read(numbers, up, ups)?,
                    rank as usize,
                ),
                PairKind::I8 => LowRank::of_bytes(
                    read(numbers, down.checked_add(scales_bytes(rows)?)?, downs)?,
                    read(numbers, up, ups)?,
                    read(numbers, down, rows)?,
                ),
            };
            WeightsRef::LowRank(pair.ok()?)
        }
        ArchivedWeightChange::Whole { lanes, panels } => {
            let shape = whole(matrix, lanes.to_native());
            let range = placed(panels.to_native(), shape.bytes().ok()? as u64)?;
            WeightsRef::Whole(Panels::new(numbers.get(range)?, shape).ok()?)
        }
    };
    let bias = match change.bias.as_ref() {
        Some(bias) => Some(read(numbers, bias.to_native(), columns)?),
        None => None,
    };
    Some(MatrixRef { matrix: at, weights, bias })
}

/// So many numbers from byte `at` on.
fn read<N: FromBytes + Immutable>(numbers: &[u8], at: u64, count: u64) -> Option<&[N]> {
    let bytes = numbers.get(placed(at, count.checked_mul(size_of::<N>() as u64)?)?)?;
    <[N]>::ref_from_bytes(bytes).ok()
}

/// What the scales of so many rows take, up to where something else may start.
pub(crate) const fn scales_bytes(rows: u64) -> Option<u64> {
    match rows.checked_mul(size_of::<f32>() as u64) {
        Some(bytes) => bytes.checked_next_multiple_of(NUMBERS_ALIGNMENT as u64),
        None => None,
    }
}

impl std::fmt::Debug for PackedChanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let changes = self.changes();
        let (matrices, constants) = (changes.matrices.len(), changes.constants.len());
        write!(f, "PackedChanges({matrices} matrices, {constants} constants)")
    }
}

fn section<'p>(package: &'p Package, key: &str) -> Option<&'p [u8]> {
    package.sections(SectionKind::Delta).find(|(it, _)| *it == key).map(|(_, bytes)| bytes)
}

fn placed(at: u64, bytes: u64) -> Option<Range<usize>> {
    let start = usize::try_from(at).ok()?;
    Some(start..start.checked_add(usize::try_from(bytes).ok()?)?)
}

fn whole(matrix: &ArchivedMatrix, lanes: u32) -> PanelShape {
    PanelShape { element: Element::F32, ..matrix.shape(lanes as usize) }
}

/// Requests of both are joined, so both take and give the same.
fn same_tensors(
    what: &str,
    own: &[ArchivedTensor],
    its: &[ArchivedTensor],
) -> Result<(), ChangesError> {
    let same = |(own, its): (&ArchivedTensor, &ArchivedTensor)| {
        own.name == its.name
            && own.datatype == its.datatype
            && own.shape == its.shape
            && own.names == its.names
    };
    if own.len() == its.len() && own.iter().zip(its).all(same) {
        return Ok(());
    }
    Err(malformed(format!("its {what} are not those of the base")))
}

fn check(
    changes: &ArchivedChanges,
    plan: &ArchivedPlan,
    length: usize,
) -> Result<(), ChangesError> {
    let is_there = |at: u64, bytes: Option<u64>| {
        let end = bytes.and_then(|bytes| at.checked_add(bytes));
        let fits = end.is_some_and(|end| end <= length as u64);
        if fits && at.is_multiple_of(NUMBERS_ALIGNMENT as u64) {
            Ok(())
        } else {
            Err(malformed("a change does not lie inside its section"))
        }
    };
    let mut last = None;
    for change in changes.matrices.iter() {
        let at = change.matrix.to_native();
        let matrix = plan.matrices.get(at as usize);
        let matrix = matrix.ok_or_else(|| malformed("a matrix that the base has not"))?;
        if last.replace(at).is_some_and(|last| last >= at) {
            return Err(malformed("changes of matrices that are not in order"));
        }
        check_matrix(change, matrix, is_there)?;
    }
    let mut sizes = vec![];
    if !changes.constants.is_empty() {
        let constants = plan.values.iter().filter_map(|value| match &value.place {
            ArchivedPlace::Constant(at) => Some((at.to_native(), plan.fixed_bytes(value))),
            _ => None,
        });
        sizes.extend(constants);
        sizes.sort_unstable();
        sizes.dedup();
    }
    let mut last = None;
    for change in changes.constants.iter() {
        let start = change.start.to_native();
        if last.replace(start).is_some_and(|last| last >= start) {
            return Err(malformed("changes of constants that are not in order"));
        }
        check_constant(change, &sizes)?;
        is_there(change.at.to_native(), Some(change.bytes.to_native()))?;
    }
    Ok(())
}

fn check_matrix(
    change: &ArchivedMatrixChange,
    matrix: &ArchivedMatrix,
    is_there: impl Fn(u64, Option<u64>) -> Result<(), ChangesError>,
) -> Result<(), ChangesError> {
    let (inner, columns) = (matrix.inner.to_native(), matrix.columns.to_native());
    let bytes = |rows: u64, width: u64, of: PairKind| {
        rows.checked_mul(width)?.checked_mul(of.bytes() as u64)
    };
    match &change.weights {
        ArchivedWeightChange::Same => {}
        ArchivedWeightChange::LowRank { element, rank, down, up } => {
            let rank = u64::from(rank.to_native());
            if rank > MAX_RANK as u64 {
                return Err(malformed(format!("expected a rank of at most {MAX_RANK}")));
            }
            let scales = match element.get() {
                PairKind::I8 => scales_bytes(rank),
                PairKind::F16 | PairKind::F32 => Some(0),
            };
            let downs = bytes(rank, inner, element.get());
            is_there(down.to_native(), downs.zip(scales).and_then(|(a, b)| a.checked_add(b)))?;
            is_there(up.to_native(), bytes(rank, columns, element.get()))?;
        }
        ArchivedWeightChange::Whole { lanes, panels } => {
            let shape = whole(matrix, lanes.to_native());
            if lanes.to_native() == 0 || change.bias.is_some() {
                return Err(malformed("a whole matrix that is none"));
            }
            is_there(panels.to_native(), shape.bytes().ok().map(|it| it as u64))?;
        }
    }
    match change.bias.as_ref() {
        Some(bias) => is_there(bias.to_native(), bytes(1, columns, PairKind::F32)),
        None => Ok(()),
    }
}

/// A change is of one constant, all of it. `sizes` says where the base's start, in order, and how many
/// bytes each has; one that has several sizes is in it as often.
fn check_constant(
    change: &ArchivedConstantChange,
    sizes: &[(u64, Option<u64>)],
) -> Result<(), ChangesError> {
    let start = change.start.to_native();
    let from = sizes.partition_point(|(at, _)| *at < start);
    let mut of_it = sizes.get(from..).unwrap_or_default().iter().take_while(|it| it.0 == start);
    match (of_it.next(), of_it.next()) {
        (Some((_, Some(bytes))), None) if *bytes == change.bytes.to_native() => Ok(()),
        (None, _) => Err(malformed("a constant that the base has not")),
        _ => Err(malformed("a constant of another size than the base's")),
    }
}
