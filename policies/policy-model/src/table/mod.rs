//! The tables that the filters read: rkyv archives, checked once on arrival, then read in place.
//!
//! On the wire a table is a header (magic, kind, SHA-256 of the archive) and the archive. A
//! table's revision is the first 16 hexadecimal digits of that digest, so equal content is an
//! equal revision and any altered byte is a refused table.

#[cfg(feature = "spec")]
mod build;
mod gate;
mod node;
mod rows;
mod sidecar;
mod wire;

pub use gate::{
    ArchivedGateTable, ArchivedIssuerRow, ArchivedKeyRow, ArchivedTenantRow, GateRows, GateTable,
    IssuerRow, KeyRow, SealedKeyRow, TenantRow,
};
pub use node::{
    ArchivedNodeTable, ArchivedNodeTenantRow, NodeRows, NodeTable, NodeTenantRow, PassportKeyRow,
};
pub use rows::{
    ArchivedCheckRow, ArchivedDataPlaneRow, ArchivedObserveRow, ArchivedRateRow, ArchivedTierRow,
    CheckRow, DataPlaneRow, Labels, ObserveRow, RateRow, TierRow, requests_per_second,
};
pub use sidecar::{ArchivedSidecarTable, SidecarRows, SidecarTable};
pub use wire::TableError;
