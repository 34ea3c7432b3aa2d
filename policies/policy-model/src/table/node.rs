//! The recheck's table: which data plane this node is of, whose passports it accepts, and the
//! checks that hold here.

use rkyv::{Archive, Serialize, util::AlignedVec};
use tenancy::{TenantId, Tier};

use super::{
    ArchivedCheckRow, ArchivedDataPlaneRow, ArchivedObserveRow, ArchivedTierRow, CheckRow,
    DataPlaneRow, Labels, ObserveRow, TableError, TierRow, rows, wire,
};

const KIND: [u8; 4] = *b"node";

/// What the recheck decides by, before it is archived.
#[derive(Debug, Clone, Default, PartialEq, Archive, Serialize)]
#[rkyv(archived = ArchivedNodeTable)]
pub struct NodeRows {
    /// This node's data plane.
    pub data_plane: String,
    /// The keys whose passports are accepted.
    pub passport_keys: Vec<PassportKeyRow>,
    /// What is known of this node's data plane; nothing where no resource names it.
    pub plane: Option<DataPlaneRow>,
    /// Tiers.
    pub tiers: Vec<TierRow>,
    /// The tenants of this data plane, by id.
    pub tenants: Vec<NodeTenantRow>,
    /// The checks that hold at the recheck.
    pub checks: Vec<CheckRow>,
    /// What the operator wants to see.
    pub observe: ObserveRow,
}

/// A key whose passports are accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize)]
pub struct PassportKeyRow {
    /// The `kid`.
    pub id: String,
    /// 32 bytes, Ed25519.
    pub public_key: Vec<u8>,
}

/// A tenant of this node's data plane.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize)]
pub struct NodeTenantRow {
    /// The `org_id`.
    pub id: String,
    /// The tier, as an index into [`Tier::ALL`].
    pub tier: u8,
    /// The labels of its resource.
    pub labels: Labels,
    /// The checks that hold for it, by their places in [`NodeRows::checks`].
    pub checks: Vec<u16>,
}

impl ArchivedNodeTenantRow {
    /// The tier, where the row holds one.
    pub fn tier(&self) -> Option<Tier> {
        Tier::ALL.get(usize::from(self.tier)).copied()
    }
}

impl NodeRows {
    /// The table as it travels. The same rows in any order give the same bytes.
    ///
    /// # Errors
    /// [`TableError::Size`] where it would be too large to be accepted,
    /// [`TableError::UnknownCheck`] where a tenant names a check that is not there.
    pub fn encode(mut self) -> Result<Vec<u8>, TableError> {
        self.passport_keys.sort_by(|a, b| a.id.cmp(&b.id));
        self.tiers.sort_by_key(|row| row.tier);
        self.tenants.sort_by(|a, b| a.id.cmp(&b.id));
        let labels = self.tenants.iter_mut().map(|row| &mut row.labels);
        let labels = labels.chain(self.tiers.iter_mut().map(|row| &mut row.labels));
        labels.chain(self.plane.iter_mut().map(|row| &mut row.labels)).for_each(rows::order_labels);
        rows::order(&mut self.checks, self.tenants.iter_mut().map(|row| &mut row.checks))?;
        wire::encode(KIND, &self)
    }
}

type ArchivedRef<'a> = &'a ArchivedNodeTable;

self_cell::self_cell! {
    struct Checked {
        owner: AlignedVec,
        #[covariant]
        dependent: ArchivedRef,
    }
}

/// The recheck's table as it arrived: checked, and read in place from then on.
pub struct NodeTable {
    /// The revision: a content hash.
    pub revision: String,
    /// This node's data plane.
    pub data_plane: String,
    /// The keys whose passports are accepted.
    pub passport_keys: Vec<PassportKeyRow>,
    checked: Checked,
}

impl NodeTable {
    /// Checks and keeps `bytes`.
    ///
    /// # Errors
    /// [`TableError`], saying what about them is no table of the recheck.
    pub fn decode(bytes: &[u8]) -> Result<Self, TableError> {
        let (archive, digest) = wire::unwrap(KIND, "recheck", bytes)?;
        let checked = Checked::try_new(archive, |archive| {
            let table = rkyv::access::<ArchivedNodeTable, rkyv::rancor::Error>(archive)
                .map_err(|error| TableError::Archive(error.to_string()))?;
            rows::verify(table.checks.len(), table.tenants.iter().map(|row| &row.checks))?;
            Ok::<_, TableError>(table)
        })?;
        let table = checked.borrow_dependent();
        let keys = table.passport_keys.iter().map(|key| PassportKeyRow {
            id: key.id.to_string(),
            public_key: key.public_key.to_vec(),
        });
        Ok(Self {
            revision: digest.short(),
            data_plane: table.data_plane.to_string(),
            passport_keys: keys.collect(),
            checked,
        })
    }

    /// The row of tenant `id`; nothing where it is no tenant of this data plane.
    pub fn tenant(&self, id: &TenantId) -> Option<&ArchivedNodeTenantRow> {
        let rows = &self.rows().tenants;
        let at = rows.binary_search_by(|row| row.id.as_str().cmp(id.as_str())).ok()?;
        rows.get(at)
    }

    /// The checks that hold for `tenant`, in the order of evaluation: by name.
    pub fn checks_of<'a>(
        &'a self,
        tenant: &'a ArchivedNodeTenantRow,
    ) -> impl Iterator<Item = &'a ArchivedCheckRow> {
        rows::at(&self.rows().checks, &tenant.checks)
    }

    /// Every check, by name.
    pub fn checks(&self) -> &[ArchivedCheckRow] {
        &self.rows().checks
    }

    /// The row of `tier`.
    pub fn tier(&self, tier: Tier) -> Option<&ArchivedTierRow> {
        self.rows().tiers.iter().find(|row| row.tier() == Some(tier))
    }

    /// What is known of this node's data plane; nothing where no resource names it.
    pub fn plane(&self) -> Option<&ArchivedDataPlaneRow> {
        self.rows().plane.as_ref()
    }

    /// What the operator wants to see.
    pub fn observe(&self) -> &ArchivedObserveRow {
        &self.rows().observe
    }

    fn rows(&self) -> &ArchivedNodeTable {
        self.checked.borrow_dependent()
    }
}

impl std::fmt::Debug for NodeTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeTable")
            .field("revision", &self.revision)
            .field("data_plane", &self.data_plane)
            .finish_non_exhaustive()
    }
}
