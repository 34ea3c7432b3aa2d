//! The sidecar's table of one tenant: the checks that hold in the process that runs its model,
//! and what their variables are read from. It is a part of the tenant's assignment, so that a
//! tenant and its checks change as one.

use rkyv::{Archive, Serialize, util::AlignedVec};

use super::{
    ArchivedCheckRow, ArchivedDataPlaneRow, ArchivedTierRow, CheckRow, DataPlaneRow, Labels,
    TableError, TierRow, rows, wire,
};

const KIND: [u8; 4] = *b"side";

/// What a sidecar decides by for one tenant, before it is archived.
#[derive(Debug, Clone, PartialEq, Archive, Serialize)]
#[rkyv(archived = ArchivedSidecarTable)]
pub struct SidecarRows {
    /// The tenant's labels.
    pub labels: Labels,
    /// Its tier.
    pub tier: TierRow,
    /// Its data plane.
    pub plane: DataPlaneRow,
    /// The checks that hold for it at the sidecar.
    pub checks: Vec<CheckRow>,
}

impl SidecarRows {
    /// The table as it travels. The same rows in any order give the same bytes.
    ///
    /// # Errors
    /// [`TableError::Size`] where it would be too large to be accepted.
    pub fn encode(mut self) -> Result<Vec<u8>, TableError> {
        [&mut self.labels, &mut self.tier.labels, &mut self.plane.labels]
            .into_iter()
            .for_each(rows::order_labels);
        rows::order(&mut self.checks, std::iter::empty())?;
        wire::encode(KIND, &self)
    }
}

type ArchivedRef<'a> = &'a ArchivedSidecarTable;

self_cell::self_cell! {
    struct Checked {
        owner: AlignedVec,
        #[covariant]
        dependent: ArchivedRef,
    }
}

/// The sidecar's table of one tenant as it arrived: checked, and read in place from then on.
pub struct SidecarTable {
    checked: Checked,
    revision: String,
}

impl SidecarTable {
    /// Checks and keeps `bytes`.
    ///
    /// # Errors
    /// [`TableError`], saying what about them is no table of a sidecar.
    pub fn decode(bytes: &[u8]) -> Result<Self, TableError> {
        let (archive, digest) = wire::unwrap(KIND, "sidecar", bytes)?;
        let checked = Checked::try_new(archive, |archive| {
            rkyv::access::<ArchivedSidecarTable, rkyv::rancor::Error>(archive)
                .map_err(|error| TableError::Archive(error.to_string()))
        })?;
        Ok(Self { checked, revision: digest.short() })
    }

    /// The revision: a content hash.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The checks that hold for the tenant, in the order of evaluation: by name.
    pub fn checks(&self) -> &[ArchivedCheckRow] {
        &self.rows().checks
    }

    /// The tenant's labels.
    pub fn labels(&self) -> &rkyv::Archived<Labels> {
        &self.rows().labels
    }

    /// The tenant's tier.
    pub fn tier(&self) -> &ArchivedTierRow {
        &self.rows().tier
    }

    /// The tenant's data plane.
    pub fn plane(&self) -> &ArchivedDataPlaneRow {
        &self.rows().plane
    }

    fn rows(&self) -> &ArchivedSidecarTable {
        self.checked.borrow_dependent()
    }
}

impl std::fmt::Debug for SidecarTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SidecarTable").field("revision", &self.revision).finish_non_exhaustive()
    }
}
