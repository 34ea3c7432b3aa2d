//! A plan where it is mapped.

use artifact::{Package, SectionKind};
use tenancy::Digest;

use super::{ArchivedPlan, PLAN_VERSION, PlanError, check};

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
}

impl PackedPlan {
    /// Checks the plan in `package`. Takes time by the size of the plan, not of the weights.
    ///
    /// # Errors
    /// [`PlanError`] for every plan that refers to what is not there, or does not fit together.
    pub fn open(package: Package) -> Result<Self, PlanError> {
        let checked = Checked::try_new(package, |package| {
            let bytes = package.section(SectionKind::Plan).ok_or(PlanError::None)?;
            let plan = rkyv::access::<ArchivedPlan, rkyv::rancor::Error>(bytes)
                .map_err(|error| PlanError::Malformed { detail: error.to_string() })?;
            let found = plan.version.to_native();
            if found != PLAN_VERSION {
                return Err(PlanError::Version { expected: PLAN_VERSION, found });
            }
            check::check(package, plan)?;
            Ok(plan)
        })?;
        Ok(Self { checked })
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

impl std::fmt::Debug for PackedPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedPlan({:?}, {} steps)", self.package(), self.plan().steps.len())
    }
}
