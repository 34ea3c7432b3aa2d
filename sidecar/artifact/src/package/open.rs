//! Reading packages where they are mapped.

use std::fmt;

use tenancy::Digest;

use super::{
    ArchivedHeader, ArchivedSection, MAGIC, MAX_HEADER_BYTES, OPTIONAL, PAGE_BYTES, PREAMBLE_BYTES,
    PackageError, SectionKind,
};
use crate::Mapped;

type HeaderRef<'a> = &'a ArchivedHeader;

self_cell::self_cell! {
    struct Checked {
        owner: Mapped,
        #[covariant]
        dependent: HeaderRef,
    }
}

/// A package whose header was checked: whatever it says of positions and lengths lies inside the
/// file. What its sections hold is for their readers to check.
pub struct Package {
    checked: Checked,
}

impl Package {
    /// Whether `bytes` start as a package does.
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Checks the header of the package in `file`. This takes the same time for every model of
    /// the same graph, however large its weights are: none of them is read.
    ///
    /// # Errors
    /// [`PackageError`], for every file that is not laid out as a package is.
    pub fn open(file: Mapped) -> Result<Self, PackageError> {
        let checked = Checked::try_new(file, check)?;
        Ok(Self { checked })
    }

    /// What it says of itself.
    pub fn header(&self) -> &ArchivedHeader {
        self.checked.borrow_dependent()
    }

    /// The file.
    pub fn file(&self) -> &Mapped {
        self.checked.borrow_owner()
    }

    /// The SHA-256 of its header, and so of all that is in it.
    pub fn digest(&self) -> Digest {
        self.file().get(16..48).and_then(|it| it.try_into().ok()).map_or_else(
            || Digest::of(&[]), // `check` saw the preamble.
            Digest::from_bytes,
        )
    }

    /// The bytes of a section.
    pub fn bytes(&self, section: &ArchivedSection) -> &[u8] {
        range(section).and_then(|range| self.file().get(range)).unwrap_or_default()
    }

    /// The sections of a kind, with their keys.
    pub fn sections(&self, kind: SectionKind) -> impl Iterator<Item = (&str, &[u8])> {
        let of_kind = self.header().sections.iter().filter(move |it| it.kind() == Some(kind));
        of_kind.map(|section| (section.key.as_str(), self.bytes(section)))
    }

    /// The first section of a kind.
    pub fn section(&self, kind: SectionKind) -> Option<&[u8]> {
        self.sections(kind).next().map(|(_, bytes)| bytes)
    }

    /// Reads the whole file and checks every digest in it, and that nothing else is in it.
    ///
    /// # Errors
    /// [`PackageError::SectionDigest`], [`PackageError::Stray`].
    pub fn verify(&self) -> Result<(), PackageError> {
        let file = self.file();
        let mut end = PREAMBLE_BYTES + header_length(file).unwrap_or_default();
        for section in self.header().sections.iter() {
            let expected = Digest::from_bytes(section.digest);
            let found = Digest::of(self.bytes(section));
            if expected != found {
                let section = section.label();
                return Err(PackageError::SectionDigest { section, expected, found });
            }
            let Some(range) = range(section) else { continue };
            zeros(file, end, range.start)?;
            end = range.end;
        }
        if file.len() > end {
            return Err(PackageError::Stray { at: end as u64 });
        }
        zeros(file, 48, PREAMBLE_BYTES)
    }
}

impl fmt::Debug for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Package({:?}, {} sections)", self.file(), self.header().sections.len())
    }
}

fn check(file: &Mapped) -> Result<&ArchivedHeader, PackageError> {
    if !Package::is_one(file) {
        let found = String::from_utf8_lossy(file.get(..8).unwrap_or(file)).into_owned();
        return Err(PackageError::NotPackage { found });
    }
    let short = |what: &str, expected: u64| PackageError::Short {
        what: what.to_owned(),
        expected,
        found: file.len() as u64,
    };
    let length = header_length(file).ok_or_else(|| short("preamble", PREAMBLE_BYTES as u64))?;
    let flags = number(file, 12).unwrap_or_default();
    if flags != 0 {
        return Err(PackageError::Newer { what: format!("the flags {flags:#x}") });
    }
    if length > MAX_HEADER_BYTES {
        return Err(PackageError::TooLarge {
            what: "header",
            limit: MAX_HEADER_BYTES as u64,
            found: length as u64,
        });
    }
    let end = PREAMBLE_BYTES + length;
    let archive = file.get(PREAMBLE_BYTES..end).ok_or_else(|| short("header", end as u64))?;
    let expected = file
        .get(16..48)
        .and_then(|it| it.try_into().ok())
        .map(Digest::from_bytes)
        .ok_or_else(|| short("preamble", PREAMBLE_BYTES as u64))?;
    let found = Digest::of(archive);
    if expected != found {
        return Err(PackageError::HeaderDigest { expected, found });
    }
    let header = rkyv::access::<ArchivedHeader, rkyv::rancor::Error>(archive)
        .map_err(|error| PackageError::Malformed { detail: error.to_string() })?;
    let mut free = end as u64;
    for section in header.sections.iter() {
        free = check_section(section, free, file.len() as u64)?;
    }
    Ok(header)
}

/// Checks that a section is of a kind that may be there, starts on a page, after `free`, and ends inside the file. Gives its end.
fn check_section(section: &ArchivedSection, free: u64, length: u64) -> Result<u64, PackageError> {
    let kind = section.kind.to_native();
    if section.kind().is_none() && kind & OPTIONAL == 0 {
        return Err(PackageError::Newer { what: format!("a section of kind {kind}") });
    }
    let (start, bytes) = (section.offset.to_native(), section.length.to_native());
    if start < free || !start.is_multiple_of(PAGE_BYTES as u64) {
        let detail = format!(
            "expected section {} at a multiple of {PAGE_BYTES} from byte {free} on, found {start}",
            section.label()
        );
        return Err(PackageError::Malformed { detail });
    }
    let end = start.checked_add(bytes).ok_or_else(|| PackageError::Malformed {
        detail: format!("section {} ends beyond any file", section.label()),
    })?;
    if end > length {
        return Err(PackageError::Short {
            what: format!("section {}", section.label()),
            expected: end,
            found: length,
        });
    }
    Ok(end)
}

fn header_length(file: &[u8]) -> Option<usize> {
    if file.len() < PREAMBLE_BYTES {
        return None;
    }
    usize::try_from(number(file, 8)?).ok()
}

fn number(file: &[u8], at: usize) -> Option<u32> {
    file.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn range(section: &ArchivedSection) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(section.offset.to_native()).ok()?;
    let length = usize::try_from(section.length.to_native()).ok()?;
    Some(start..start.checked_add(length)?)
}

fn zeros(file: &[u8], start: usize, end: usize) -> Result<(), PackageError> {
    let between = file.get(start..end).unwrap_or_default();
    match between.iter().position(|byte| *byte != 0) {
        Some(at) => Err(PackageError::Stray { at: (start + at) as u64 }),
        None => Ok(()),
    }
}
