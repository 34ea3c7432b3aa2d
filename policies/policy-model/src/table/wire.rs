//! The table's header.

use rkyv::util::AlignedVec;
use tenancy::Digest;

/// The first bytes of every table; the digit is the format's version.
const MAGIC: &[u8; 8] = b"BHTABLE2";
const KIND_BYTES: usize = 4;
const HEADER_BYTES: usize = MAGIC.len() + KIND_BYTES + 32;

/// The largest table accepted, in bytes.
const MAX_TABLE_BYTES: usize = 64 << 20;

/// Why a table was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// It is too short or too long to be one.
    #[error("expected a table of {HEADER_BYTES} to {MAX_TABLE_BYTES} bytes, found {0}")]
    Size(usize),
    /// It is no table of this format's version.
    #[error(
        "expected a table of format {}, found {found:?}; give proxies and control plane the same release",
        String::from_utf8_lossy(MAGIC)
    )]
    Format {
        /// The first bytes found, readable.
        found: String,
    },
    /// It is a table for another filter.
    #[error("expected a table for the {expected} filter, found one for `{found}`")]
    Kind {
        /// Which filter this is.
        expected: &'static str,
        /// What the table says.
        found: String,
    },
    /// Its bytes are not those that were sent.
    #[error("expected a table with digest {expected}, found {found}: it was altered on its way")]
    Digest {
        /// The digest in the header.
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// A tenant names a check that is not there.
    #[error("expected a check at each place that a tenant names, found place {place} of {checks}")]
    UnknownCheck {
        /// The place named.
        place: u16,
        /// How many checks there are.
        checks: usize,
    },
    /// There are more checks than a tenant can name.
    #[error("expected at most 65536 checks, found {0}")]
    TooManyChecks(usize),
    /// The archive does not hold what its type says.
    #[error("the table's archive is malformed: {0}")]
    Archive(String),
}

/// `rows` as an archive with its header.
pub(super) fn encode(
    kind: [u8; KIND_BYTES],
    rows: &impl for<'a> rkyv::Serialize<
        rkyv::api::high::HighSerializer<
            AlignedVec,
            rkyv::ser::allocator::ArenaHandle<'a>,
            rkyv::rancor::Error,
        >,
    >,
) -> Result<Vec<u8>, TableError> {
    let archive = rkyv::to_bytes::<rkyv::rancor::Error>(rows)
        .map_err(|error| TableError::Archive(error.to_string()))?;
    if archive.len() > MAX_TABLE_BYTES / 2 {
        return Err(TableError::Size(archive.len()));
    }
    Ok(wrap(kind, &archive))
}

/// `archive` with its header.
fn wrap(kind: [u8; KIND_BYTES], archive: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + archive.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&kind);
    bytes.extend_from_slice(Digest::of(archive).as_bytes());
    bytes.extend_from_slice(archive);
    bytes
}

/// The archive inside `bytes`, copied to where it is aligned, and its digest.
pub(super) fn unwrap(
    kind: [u8; KIND_BYTES],
    filter: &'static str,
    bytes: &[u8],
) -> Result<(AlignedVec, Digest), TableError> {
    if bytes.len() > MAX_TABLE_BYTES {
        return Err(TableError::Size(bytes.len()));
    }
    let size = || TableError::Size(bytes.len());
    let (magic, rest) = bytes.split_first_chunk::<8>().ok_or_else(size)?;
    if magic != MAGIC {
        return Err(TableError::Format { found: String::from_utf8_lossy(magic).into_owned() });
    }
    let (found, rest) = rest.split_first_chunk::<KIND_BYTES>().ok_or_else(size)?;
    if *found != kind {
        let found = String::from_utf8_lossy(found).into_owned();
        return Err(TableError::Kind { expected: filter, found });
    }
    let (digest, archive) = rest.split_first_chunk::<32>().ok_or_else(size)?;
    let (expected, found) = (Digest::from_bytes(*digest), Digest::of(archive));
    if expected != found {
        return Err(TableError::Digest { expected, found });
    }
    let mut aligned = AlignedVec::with_capacity(archive.len());
    aligned.extend_from_slice(archive);
    Ok((aligned, found))
}
