//! Where the packed matrices of a model are: in its package, or, where none of the package's layouts
//! is for this processor, in a file that the node made of it once, or else in memory.

use artifact::{ArtifactError, Derived, Mapped, Origin};
use kernels::{PanelShape, Panels};

use super::run::Fault;
use crate::{
    pack::Unpacked,
    plan::{PackedPlan, PlanError},
};

/// How panels lie in files of a node's: another number where that changes.
const PANELS_VERSION: u32 = 1;

/// Where the panels of each matrix are.
#[derive(Debug)]
pub(super) enum Matrices {
    /// In the package, in this layout of the plan's.
    Packed { layout: usize },
    /// Packed again for this processor, each from one of `starts` on.
    Repacked { lanes: usize, starts: Vec<usize>, bytes: Repacked },
}

/// Panels that were packed again.
#[derive(Debug)]
pub(super) enum Repacked {
    /// In a file of the node's, which every process that runs the model maps.
    Kept(Mapped),
    /// In memory of this process.
    Own(AlignedBytes),
}

/// Why panels were not packed again.
#[derive(Debug, thiserror::Error)]
enum RepackError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Store(#[from] ArtifactError),
}

impl Matrices {
    /// The layout that this processor's kernels read, or one that is made of another: once for a node
    /// where there is `kept` to keep it in.
    ///
    /// # Errors
    /// [`PlanError`]. Where files fail it is made in memory.
    pub(super) fn of(plan: &PackedPlan, kept: Option<&Derived>) -> Result<Self, PlanError> {
        if let Some(layout) = readable(plan) {
            return Ok(Self::Packed { layout });
        }
        let lanes = kernels::lanes();
        let starts = starts(plan, lanes)?;
        let bytes = match kept.map(|kept| keep(plan, lanes, kept)) {
            Some(Ok(mapped)) => Repacked::Kept(mapped),
            Some(Err(RepackError::Plan(error))) => return Err(error),
            Some(Err(RepackError::Store(error))) => {
                tracing::warn!(%error, lanes, "packed again panels are in memory, not in a file");
                Repacked::Own(in_memory(plan, lanes)?)
            }
            None => Repacked::Own(in_memory(plan, lanes)?),
        };
        Ok(Self::Repacked { lanes, starts, bytes })
    }

    /// What they take of this process's memory.
    pub(super) fn private_bytes(&self) -> u64 {
        let Self::Repacked { starts, bytes, .. } = self else { return 0 };
        let own = match bytes {
            Repacked::Kept(_) => 0,
            Repacked::Own(bytes) => bytes.bytes.len(),
        };
        (own + size_of_val(starts.as_slice())) as u64
    }

    /// What is mapped for them beside the package.
    pub(super) fn mapped_bytes(&self) -> u64 {
        match self {
            Self::Repacked { bytes: Repacked::Kept(mapped), .. } => mapped.mapped_bytes(),
            Self::Packed { .. } | Self::Repacked { .. } => 0,
        }
    }

    /// The panels of a matrix.
    pub(super) fn panels<'a>(
        &'a self,
        plan: &'a PackedPlan,
        matrix: u32,
    ) -> Result<Panels<'a>, Fault> {
        let none = Fault::Plan { what: "a matrix that there is not" };
        let at = matrix as usize;
        let Some(row) = plan.plan().matrices.get(at) else { return Err(none) };
        let (bytes, start, lanes) = match self {
            Self::Packed { layout } => {
                let Some(layout) = plan.plan().layouts.get(*layout) else { return Err(none) };
                let sections = plan.package().sections(artifact::SectionKind::Panels);
                let mut of_layout = sections.filter(|(key, _)| *key == layout.key.as_str());
                let bytes = of_layout.next().map(|(_, bytes)| bytes).unwrap_or_default();
                let start = layout.offsets.get(at).map_or(0, |it| it.to_native());
                (
                    bytes,
                    usize::try_from(start).unwrap_or(usize::MAX),
                    layout.lanes.to_native() as usize,
                )
            }
            Self::Repacked { lanes, starts, bytes } => {
                (bytes.bytes(), starts.get(at).copied().unwrap_or(usize::MAX), *lanes)
            }
        };
        let shape = row.shape(lanes);
        let end = start.saturating_add(shape.bytes()?);
        Ok(Panels::new(bytes.get(start..end).unwrap_or_default(), shape)?)
    }
}

impl Repacked {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Kept(mapped) => mapped,
            Self::Own(bytes) => bytes.bytes(),
        }
    }
}

/// Every matrix as numbers, from the first layout.
pub(super) fn unpacked(plan: &PackedPlan) -> Result<Vec<Unpacked>, PlanError> {
    let packed = Matrices::Packed { layout: 0 };
    let unpack = |at: usize| {
        let panels = packed.panels(plan, at as u32).map_err(refused)?;
        let (weights, bias) = panels.unpack();
        Ok(Unpacked { shape: *panels.shape(), weights, bias })
    };
    (0..plan.plan().matrices.len()).map(unpack).collect()
}

/// The layout of the package that is read where it is: one for this processor, and any where there is
/// nothing to be read.
pub(super) fn readable(plan: &PackedPlan) -> Option<usize> {
    let plan = plan.plan();
    let is_read = |lanes: u32| lanes as usize == kernels::lanes() || plan.matrices.is_empty();
    let found = plan.layouts.iter().position(|layout| is_read(layout.lanes.to_native()));
    found.or(plan.matrices.is_empty().then_some(0))
}

/// The file with all panels for `lanes`, which is made where it is not there.
fn keep(plan: &PackedPlan, lanes: usize, kept: &Derived) -> Result<Mapped, RepackError> {
    let package = plan.package().file().digest();
    let format = format!("panels-v{PANELS_VERSION}-lanes-{lanes}");
    let (mapped, origin) = kept.get_or_make(package, &format, |file| {
        repack(plan, lanes, |panels| file.write(panels).map_err(RepackError::Store))
    })?;
    match origin {
        Origin::Kept => {}
        Origin::Made => tracing::info!(
            %package, lanes,
            "no panels of a package are for this processor: they were packed again, into a file"
        ),
        Origin::MadeAnew(error) => {
            tracing::warn!(%package, lanes, %error, "panels were packed again once more");
        }
    }
    Ok(mapped)
}

fn in_memory(plan: &PackedPlan, lanes: usize) -> Result<AlignedBytes, PlanError> {
    tracing::info!(lanes, "no panels of a package are for this processor: they are packed again");
    let mut bytes = vec![];
    repack(plan, lanes, |panels| {
        bytes.extend_from_slice(panels);
        Ok::<_, PlanError>(())
    })?;
    Ok(AlignedBytes::of(&bytes))
}

/// Packs every matrix again, one after another.
fn repack<E: From<PlanError>>(
    plan: &PackedPlan,
    lanes: usize,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let packed = Matrices::Packed { layout: 0 };
    let mut bytes = vec![];
    for at in 0..plan.plan().matrices.len() {
        let panels = packed.panels(plan, at as u32).map_err(refused)?;
        let shape = PanelShape { lanes, ..*panels.shape() };
        let (weights, bias) = panels.unpack();
        bytes.clear();
        shape.pack(&weights, shape.has_bias.then_some(&*bias), &mut bytes).map_err(refused)?;
        take(&bytes)?;
    }
    Ok(())
}

/// Where each matrix starts among panels for `lanes` that lie one after another.
///
/// # Errors
/// Where matrices share bytes of the package. None of those that are packed do, and a small file that
/// says so of many would be packed into a huge one.
fn starts(plan: &PackedPlan, lanes: usize) -> Result<Vec<usize>, PlanError> {
    let rows = plan.plan();
    let Some(layout) = rows.layouts.first() else { return Ok(vec![]) };
    let mut places = vec![];
    let (mut starts, mut end) = (vec![], 0_usize);
    for (matrix, from) in rows.matrices.iter().zip(layout.offsets.iter()) {
        let length = matrix.shape(layout.lanes.to_native() as usize).bytes().map_err(refused)?;
        places.push((from.to_native(), length as u64));
        starts.push(end);
        end = end.saturating_add(matrix.shape(lanes).bytes().map_err(refused)?);
    }
    places.sort_unstable();
    let overlap = |pair: &[(u64, u64)]| matches!(pair, [(start, length), (next, _)] if start.saturating_add(*length) > *next);
    if places.windows(2).any(overlap) {
        return Err(refused("two matrices share their panels"));
    }
    Ok(starts)
}

fn refused(error: impl std::fmt::Display) -> PlanError {
    PlanError::Malformed { detail: error.to_string() }
}

/// Bytes that start at a multiple of 64, as kernels want panels to.
#[derive(Debug, Default)]
pub(super) struct AlignedBytes {
    bytes: Vec<u8>,
    start: usize,
}

impl AlignedBytes {
    const ALIGNMENT: usize = 64;

    pub(super) fn of(contents: &[u8]) -> Self {
        let mut bytes = vec![0; contents.len() + Self::ALIGNMENT];
        let start = bytes.as_ptr().align_offset(Self::ALIGNMENT);
        let to = bytes.get_mut(start..).unwrap_or_default();
        to.iter_mut().zip(contents).for_each(|(to, from)| *to = *from);
        Self { bytes, start }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    pub(super) const fn private_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
}
