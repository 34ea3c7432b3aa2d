//! A plan where it is mapped.

use artifact::{Package, SectionKind};
use tenancy::Digest;

use super::{ArchivedPlan, PLAN_VERSION, PlanError, check, streams};

type PlanRef<'a> = &'a ArchivedPlan;

self_cell::self_cell! {
    struct Checked {
        owner: Package,
        #[covariant]
        dependent: PlanRef,
    }
}

/// A package with a plan that was checked: whatever it refers to is there.
pub struct PackedPlan {
    checked: Checked,
    /// Windows that are shown to the product behind them alone, and what they write; both rising.
    streams: Box<[u32]>,
    streamed: Box<[u32]>,
}

impl PackedPlan {
    /// Checks the plan in `package`. Takes time by the size of the plan, not of the weights.
    ///
    /// # Errors
    /// [`PlanError`] for every plan that refers to what is not there, or does not fit together.
    pub fn open(package: Package) -> Result<Self, PlanError> {
        let checked = Checked::try_new(package, |package| {
            let bytes = package.section(SectionKind::Plan).ok_or(PlanError::None)?;
            let plan =
                rkyv::access::<ArchivedPlan, rkyv::rancor::Error>(bytes).map_err(|error| {
                    // A step that this release does not know is nothing that it can read.
                    match said_version(bytes) {
                        Some(found) if found > PLAN_VERSION => {
                            PlanError::Version { expected: PLAN_VERSION, found }
                        }
                        _ => PlanError::Malformed { detail: error.to_string() },
                    }
                })?;
            let found = plan.version.to_native();
            if !(1..=PLAN_VERSION).contains(&found) {
                return Err(PlanError::Version { expected: PLAN_VERSION, found });
            }
            check::check(package, plan)?;
            Ok(plan)
        })?;
        let plan = checked.borrow_dependent();
        let streams = streams::streams(plan);
        let steps = streams.iter().filter_map(|at| plan.steps.get(*at as usize));
        let mut streamed: Box<[u32]> = steps.map(|step| step.operands().1).collect();
        streamed.sort_unstable();
        Ok(Self { checked, streams, streamed })
    }

    /// Whether a step is a window that the product behind it, and nothing else, reads: what it shows
    /// can be made as it is multiplied.
    pub(crate) fn is_stream(&self, step: usize) -> bool {
        self.streams.binary_search(&(step as u32)).is_ok()
    }

    /// Whether a value is what such a window shows.
    pub(crate) fn is_streamed(&self, value: u32) -> bool {
        self.streamed.binary_search(&value).is_ok()
    }

    /// The plan.
    pub fn plan(&self) -> &ArchivedPlan {
        self.checked.borrow_dependent()
    }

    /// The package that it is in.
    pub fn package(&self) -> &Package {
        self.checked.borrow_owner()
    }

    /// The constants.
    pub fn constants(&self) -> &[u8] {
        self.package().section(SectionKind::Constants).unwrap_or_default()
    }

    /// The SHA-256 that stands for the package.
    pub fn digest(&self) -> Digest {
        self.package().digest()
    }
}

/// The version that an archive says, whatever else is in it: its root lies at its end.
fn said_version(bytes: &[u8]) -> Option<u32> {
    let root = bytes.len().checked_sub(size_of::<ArchivedPlan>())?;
    let at = root.checked_add(std::mem::offset_of!(ArchivedPlan, version))?;
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

impl std::fmt::Debug for PackedPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedPlan({:?}, {} steps)", self.package(), self.plan().steps.len())
    }
}
