//! The gate's table: issuers with their keys, and a row for each tenant.

use rkyv::{Archive, Serialize, util::AlignedVec};
use tenancy::{Digest, TenantId, Tier};

use super::{
    ArchivedCheckRow, ArchivedDataPlaneRow, ArchivedObserveRow, ArchivedTierRow, CheckRow,
    DataPlaneRow, Labels, ObserveRow, TableError, TierRow, rows, wire,
};

const KIND: [u8; 4] = *b"gate";

/// What the gate decides by, before it is archived. Rows are sorted by [`GateRows::encode`].
#[derive(Debug, Clone, Default, PartialEq, Archive, Serialize)]
#[rkyv(archived = ArchivedGateTable)]
pub struct GateRows {
    /// The key that passports are minted with.
    pub passport_key: SealedKeyRow,
    /// Issuers, by `iss`.
    pub issuers: Vec<IssuerRow>,
    /// Tenants, by id.
    pub tenants: Vec<TenantRow>,
    /// Tiers.
    pub tiers: Vec<TierRow>,
    /// Data planes, by name.
    pub data_planes: Vec<DataPlaneRow>,
    /// The checks that hold at the gate.
    pub checks: Vec<CheckRow>,
    /// What the operator wants to see.
    pub observe: ObserveRow,
}

/// A signing key that only the gate can open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize)]
pub struct SealedKeyRow {
    /// The key's id.
    pub key_id: String,
    /// 12 bytes.
    pub nonce: Vec<u8>,
    /// The sealed bytes.
    pub ciphertext: Vec<u8>,
}

/// An identity provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize)]
pub struct IssuerRow {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// Accepted audiences.
    pub audiences: Vec<String>,
    /// Accepted algorithms, by their names in a JWT header.
    pub algorithms: Vec<String>,
    /// The orgs that it may speak for.
    pub orgs: Vec<String>,
    /// The claim that names the org.
    pub org_claim: String,
    /// Its public keys.
    pub keys: Vec<KeyRow>,
}

/// A public key of an issuer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize)]
pub struct KeyRow {
    /// The `kid`; empty where the issuer gives none.
    pub id: String,
    /// The one algorithm that it is used with, by its name in a JWT header.
    pub algorithm: String,
    /// DER `SubjectPublicKeyInfo` (RFC 5280, 4.1).
    pub spki: Vec<u8>,
}

/// A tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize)]
pub struct TenantRow {
    /// The `org_id`.
    pub id: String,
    /// The tier, as an index into [`Tier::ALL`].
    pub tier: u8,
    /// The data plane.
    pub data_plane: String,
    /// The ingress's cluster for that data plane.
    pub cluster: String,
    /// How long the bucket takes to regain one request, in nanoseconds.
    pub interval_ns: u64,
    /// How many requests may pass at once.
    pub burst: u32,
    /// Whether it is shut out.
    pub suspended: bool,
    /// The labels of its resource.
    pub labels: Labels,
    /// The checks that hold for it, by their places in [`GateRows::checks`].
    pub checks: Vec<u16>,
}

impl TenantRow {
    /// The index that stands for `tier`.
    pub fn tier_index(tier: Tier) -> u8 {
        rows::tier_index(tier)
    }
}

impl ArchivedTenantRow {
    /// The tier, where the row holds one.
    pub fn tier(&self) -> Option<Tier> {
        Tier::ALL.get(usize::from(self.tier)).copied()
    }
}

impl GateRows {
    /// The table as it travels. The same rows in any order give the same bytes.
    ///
    /// # Errors
    /// [`TableError::Size`] where it would be too large to be accepted,
    /// [`TableError::UnknownCheck`] where a tenant names a check that is not there.
    pub fn encode(mut self) -> Result<Vec<u8>, TableError> {
        self.issuers.sort_by(|a, b| a.issuer.cmp(&b.issuer));
        for issuer in &mut self.issuers {
            issuer.keys.sort_by(|a, b| {
                (&a.id, &a.algorithm, &a.spki).cmp(&(&b.id, &b.algorithm, &b.spki))
            });
        }
        self.tenants.sort_by(|a, b| a.id.cmp(&b.id));
        self.tiers.sort_by_key(|row| row.tier);
        self.data_planes.sort_by(|a, b| a.id.cmp(&b.id));
        let labels = self.tenants.iter_mut().map(|row| &mut row.labels);
        let labels = labels.chain(self.tiers.iter_mut().map(|row| &mut row.labels));
        labels
            .chain(self.data_planes.iter_mut().map(|row| &mut row.labels))
            .for_each(rows::order_labels);
        rows::order(&mut self.checks, self.tenants.iter_mut().map(|row| &mut row.checks))?;
        wire::encode(KIND, &self)
    }
}

type ArchivedRef<'a> = &'a ArchivedGateTable;

self_cell::self_cell! {
    struct Checked {
        owner: AlignedVec,
        #[covariant]
        dependent: ArchivedRef,
    }
}

/// The gate's table as it arrived: checked, and read in place from then on.
pub struct GateTable {
    checked: Checked,
    revision: String,
}

impl GateTable {
    /// Checks and keeps `bytes`.
    ///
    /// # Errors
    /// [`TableError`], saying what about them is no table of the gate.
    pub fn decode(bytes: &[u8]) -> Result<Self, TableError> {
        let (archive, digest): (AlignedVec, Digest) = wire::unwrap(KIND, "gate", bytes)?;
        let checked = Checked::try_new(archive, |archive| {
            let table = rkyv::access::<ArchivedGateTable, rkyv::rancor::Error>(archive)
                .map_err(|error| TableError::Archive(error.to_string()))?;
            rows::verify(table.checks.len(), table.tenants.iter().map(|row| &row.checks))?;
            Ok(table)
        })?;
        Ok(Self { checked, revision: digest.short() })
    }

    /// The revision: a content hash.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The sealed passport key.
    pub fn passport_key(&self) -> &rkyv::Archived<SealedKeyRow> {
        &self.rows().passport_key
    }

    /// The issuer whose tokens say `iss`.
    pub fn issuer(&self, iss: &str) -> Option<&ArchivedIssuerRow> {
        let rows = &self.rows().issuers;
        let at = rows.binary_search_by(|row| row.issuer.as_str().cmp(iss)).ok()?;
        rows.get(at)
    }

    /// The row of tenant `id`.
    pub fn tenant(&self, id: &TenantId) -> Option<&ArchivedTenantRow> {
        let rows = &self.rows().tenants;
        let at = rows.binary_search_by(|row| row.id.as_str().cmp(id.as_str())).ok()?;
        rows.get(at)
    }

    /// The checks that hold for `tenant`, in the order of evaluation: by name.
    pub fn checks_of<'a>(
        &'a self,
        tenant: &'a ArchivedTenantRow,
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

    /// The row of the data plane of that name.
    pub fn data_plane(&self, name: &str) -> Option<&ArchivedDataPlaneRow> {
        let rows = &self.rows().data_planes;
        let at = rows.binary_search_by(|row| row.id.as_str().cmp(name)).ok()?;
        rows.get(at)
    }

    /// What the operator wants to see.
    pub fn observe(&self) -> &ArchivedObserveRow {
        &self.rows().observe
    }

    /// How many tenants there are.
    pub fn tenants(&self) -> usize {
        self.rows().tenants.len()
    }

    fn rows(&self) -> &ArchivedGateTable {
        self.checked.borrow_dependent()
    }
}

impl std::fmt::Debug for GateTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GateTable").field("revision", &self.revision).finish_non_exhaustive()
    }
}
