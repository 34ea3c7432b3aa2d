//! The tables that the filters read: rkyv archives, checked once on arrival, then read in place.
//!
//! On the wire a table is a header (magic, kind, SHA-256 of the archive) and the archive. A
//! table's revision is the first 16 hexadecimal digits of that digest, so equal content is an
//! equal revision and any altered byte is a refused table.

mod gate;
mod node;
mod wire;

pub use gate::{
    ArchivedGateTable, ArchivedIssuerRow, ArchivedKeyRow, ArchivedTenantRow, GateRows, GateTable,
    IssuerRow, KeyRow, SealedKeyRow, TenantRow,
};
pub use node::{ArchivedNodeTable, NodeRows, NodeTable, PassportKeyRow};
pub use wire::TableError;
