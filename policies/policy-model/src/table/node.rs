//! The recheck's table: which data plane this node is, and whose passports it accepts.

use rkyv::{Archive, Serialize, util::AlignedVec};

use super::{TableError, wire};

const KIND: [u8; 4] = *b"node";

/// What the recheck decides by, before it is archived.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize)]
#[rkyv(archived = ArchivedNodeTable)]
pub struct NodeRows {
    /// This node's data plane.
    pub data_plane: String,
    /// The keys whose passports are accepted.
    pub passport_keys: Vec<PassportKeyRow>,
}

/// A key whose passports are accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize)]
pub struct PassportKeyRow {
    /// The `kid`.
    pub id: String,
    /// 32 bytes, Ed25519.
    pub public_key: Vec<u8>,
}

impl NodeRows {
    /// The table as it travels. The same rows in any order give the same bytes.
    ///
    /// # Errors
    /// [`TableError::Archive`] where archiving fails, which it does only out of memory.
    pub fn encode(mut self) -> Result<Vec<u8>, TableError> {
        self.passport_keys.sort_by(|a, b| a.id.cmp(&b.id));
        let archive = rkyv::to_bytes::<rkyv::rancor::Error>(&self)
            .map_err(|error| TableError::Archive(error.to_string()))?;
        Ok(wire::wrap(KIND, &archive))
    }
}

/// The recheck's table as it arrived. It is small, so it is copied out rather than kept archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeTable {
    /// The revision: a content hash.
    pub revision: String,
    /// This node's data plane.
    pub data_plane: String,
    /// The keys whose passports are accepted.
    pub passport_keys: Vec<PassportKeyRow>,
}

impl NodeTable {
    /// Checks and reads `bytes`.
    ///
    /// # Errors
    /// [`TableError`], saying what about them is no table of the recheck.
    pub fn decode(bytes: &[u8]) -> Result<Self, TableError> {
        let (archive, digest): (AlignedVec, _) = wire::unwrap(KIND, "recheck", bytes)?;
        let rows = rkyv::access::<ArchivedNodeTable, rkyv::rancor::Error>(&archive)
            .map_err(|error| TableError::Archive(error.to_string()))?;
        let keys = rows.passport_keys.iter().map(|key| PassportKeyRow {
            id: key.id.to_string(),
            public_key: key.public_key.to_vec(),
        });
        Ok(Self {
            revision: digest.short(),
            data_plane: rows.data_plane.to_string(),
            passport_keys: keys.collect(),
        })
    }
}
