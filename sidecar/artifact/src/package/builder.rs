//! Making packages.

use tenancy::Digest;

use super::{
    Header, MAGIC, MAX_HEADER_BYTES, PAGE_BYTES, PREAMBLE_BYTES, PackageError, SectionKind,
    header::Section,
};

/// A package that is being put together.
#[derive(Debug, Default)]
pub struct PackageBuilder {
    header: Header,
    contents: Vec<Vec<u8>>,
}

impl PackageBuilder {
    /// A package that says `header` of itself. Its list of sections is made here.
    pub fn new(header: Header) -> Self {
        Self { header: Header { sections: vec![], ..header }, contents: vec![] }
    }

    /// Adds a section.
    pub fn section(&mut self, kind: SectionKind, key: impl Into<String>, bytes: Vec<u8>) {
        self.header.sections.push(Section {
            kind: kind.code(),
            key: key.into(),
            offset: 0,
            length: bytes.len() as u64,
            digest: *Digest::of(&bytes).as_bytes(),
        });
        self.contents.push(bytes);
    }

    /// The package's bytes. Equal contents give equal bytes.
    ///
    /// # Errors
    /// [`PackageError::TooLarge`] where the header would not be accepted.
    pub fn finish(mut self) -> Result<Vec<u8>, PackageError> {
        // Offsets have a fixed size in the archive, so its length is known before they are.
        let length = self.archive()?.len();
        let mut offset = (PREAMBLE_BYTES + length).next_multiple_of(PAGE_BYTES);
        for (section, content) in self.header.sections.iter_mut().zip(&self.contents) {
            section.offset = offset as u64;
            offset = (offset + content.len()).next_multiple_of(PAGE_BYTES);
        }
        let archive = self.archive()?;
        let mut file = Vec::with_capacity(offset);
        file.extend_from_slice(MAGIC);
        // `archive` refused what does not fit.
        file.extend_from_slice(&(archive.len() as u32).to_le_bytes());
        file.extend_from_slice(&[0; 4]);
        file.extend_from_slice(Digest::of(&archive).as_bytes());
        file.resize(PREAMBLE_BYTES, 0);
        file.extend_from_slice(&archive);
        for content in &self.contents {
            file.resize(file.len().next_multiple_of(PAGE_BYTES), 0);
            file.extend_from_slice(content);
        }
        Ok(file)
    }

    fn archive(&self) -> Result<Vec<u8>, PackageError> {
        let archive = rkyv::to_bytes::<rkyv::rancor::Error>(&self.header)
            .map_err(|error| PackageError::Malformed { detail: error.to_string() })?;
        if archive.len() > MAX_HEADER_BYTES {
            return Err(PackageError::TooLarge {
                what: "header",
                limit: MAX_HEADER_BYTES as u64,
                found: archive.len() as u64,
            });
        }
        Ok(archive.into_vec())
    }
}
