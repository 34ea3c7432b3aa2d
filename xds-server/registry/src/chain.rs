//! The hash chain that makes an edited journal visible.
//!
//! An entry's hash covers the hash before it and all that the entry says. Whoever can write the
//! file can also write a whole new chain, and can cut off the end; against that, keep the
//! [`crate::Head`] somewhere else and compare.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tenancy::Digest;

use crate::error::ChainError;

/// An entry as it lies in the journal.
#[derive(Debug, Clone)]
pub(crate) struct RawEntry {
    pub(crate) seq: u64,
    pub(crate) at_unix_micros: i64,
    pub(crate) actor: String,
    pub(crate) kind: String,
    pub(crate) payload: String,
    pub(crate) previous_hash: Digest,
    pub(crate) hash: Digest,
}

/// What the first entry follows.
pub(crate) fn genesis() -> Digest {
    Digest::from_bytes([0; 32])
}

impl RawEntry {
    /// The entry that follows `previous_hash`.
    pub(crate) fn new(
        previous_hash: Digest,
        seq: u64,
        at_unix_micros: i64,
        actor: String,
        kind: String,
        payload: String,
    ) -> Self {
        let mut entry =
            Self { seq, at_unix_micros, actor, kind, payload, previous_hash, hash: genesis() };
        entry.hash = entry.compute();
        entry
    }

    /// When it was written.
    pub(crate) fn at(&self) -> Timestamp {
        Timestamp::from_microsecond(self.at_unix_micros).unwrap_or_default()
    }

    /// SHA-256 over the fields in order, each text after its length, so that no two entries have
    /// the same bytes.
    fn compute(&self) -> Digest {
        let mut hasher = Sha256::new();
        hasher.update(self.previous_hash.as_bytes());
        hasher.update(self.seq.to_be_bytes());
        hasher.update(self.at_unix_micros.to_be_bytes());
        for text in [&self.actor, &self.kind, &self.payload] {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
        Digest::from_bytes(hasher.finalize().into())
    }
}

/// Walks a journal from its start.
pub(crate) struct Walk {
    seq: u64,
    hash: Digest,
}

impl Walk {
    pub(crate) fn new() -> Self {
        Self { seq: 0, hash: genesis() }
    }

    /// Takes the next entry.
    pub(crate) fn step(&mut self, entry: &RawEntry) -> Result<(), ChainError> {
        if entry.seq != self.seq + 1 {
            return Err(ChainError::Gap { expected: self.seq + 1, found: entry.seq });
        }
        if entry.previous_hash != self.hash {
            return Err(ChainError::Link { seq: entry.seq });
        }
        let found = entry.compute();
        if found != entry.hash {
            return Err(ChainError::Altered { seq: entry.seq, expected: entry.hash, found });
        }
        self.seq = entry.seq;
        self.hash = entry.hash;
        Ok(())
    }

    /// The last entry taken and its hash.
    pub(crate) fn end(&self) -> (u64, Digest) {
        (self.seq, self.hash)
    }
}
