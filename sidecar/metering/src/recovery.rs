//! What a start finds on the disk, and how far it can be trusted.
//!
//! A crash leaves at most a torn tail in the last segment: those bytes were never acknowledged
//! and are cut off. Anything else that is no event is damage: it is reported with its file and
//! offset, its bytes are kept, and reading goes on at the next sound frame. The sequence numbers
//! tell exactly how many events are missing.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use crate::{
    cursor, disk,
    frame::{FORMAT, HEADER_BYTES, Header, HeaderError},
    scan::{Found, Scanner},
    segment::{self, Segment},
};

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk refused.
    #[error("could not {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process, or another log of this one, writes the directory.
    #[error(
        "expected to be the only writer of {}, found it locked: stop the other process or give \
         this one a directory of its own", directory.display()
    )]
    Locked {
        /// The directory.
        directory: PathBuf,
    },
    /// A newer program wrote the directory.
    #[error(
        "expected format {FORMAT} in {}, found format {found}: run the version of bulkhead that \
         wrote it until it has shipped everything", path.display()
    )]
    Format {
        /// The segment.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

/// What was found when a log was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Events that wait to be shipped.
    pub events: u64,
    /// Bytes of a torn tail that were cut off: a batch that was being written, none of which
    /// had been acknowledged.
    pub torn_bytes: u64,
    /// Bytes that are no events although the log had gone on after them.
    pub damages: Vec<Damage>,
    /// Events that were in the log and are not any more. Where a segment's header is damaged,
    /// those of a failed batch before it may be counted too.
    pub missing_events: u64,
}

/// Damaged bytes of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub segment: PathBuf,
    /// Where the damage starts, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// Where a copy of the bytes is kept.
    pub kept_in: PathBuf,
}

/// A directory that was read.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub segments: BTreeMap<u64, Segment>,
    /// The number of the next event.
    pub next: u64,
    /// The number of the first event to ship.
    pub cursor: u64,
    pub backlog_bytes: u64,
    pub report: Recovery,
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { action, path: path.to_owned(), source }
}

/// Makes the directory where there is none, and locks it against every other writer.
pub(crate) fn lock(directory: &Path) -> Result<File, OpenError> {
    fs::create_dir_all(directory).map_err(io_error("make the directory", directory))?;
    if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        disk::sync_directory(parent).map_err(io_error("sync the directory", parent))?;
    }
    let path = directory.join("lock");
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    let file = options.open(&path).map_err(io_error("open the lock file", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            Err(OpenError::Locked { directory: directory.to_owned() })
        }
        Err(fs::TryLockError::Error(source)) => Err(io_error("lock", &path)(source)),
    }
}

/// Reads every segment of a locked directory.
pub(crate) fn recover(directory: &Path) -> Result<Recovered, OpenError> {
    let cursor = cursor::load(directory).map_err(io_error("read the cursor of", directory))?;
    let segments = segment::list(directory).map_err(io_error("list", directory))?;
    let mut pass =
        Pass { directory, cursor: cursor.unwrap_or(0), end: cursor, found: Recovered::default() };
    let firsts: Vec<u64> = segments.keys().copied().collect();
    let mut remaining = Vec::new();
    for (index, (first, path)) in segments.into_iter().enumerate() {
        let successor = firsts.get(index + 1).copied();
        if successor.is_some_and(|successor| successor <= pass.cursor) {
            remove(&path)?;
            continue;
        }
        let header = read_header(&path)?;
        remaining.push((first, path, header));
    }
    // A segment's frames are void from where any later segment says that the log went on.
    let mut void_from = u64::MAX;
    let mut plans = Vec::new();
    for (first, path, header) in remaining.into_iter().rev() {
        plans.push((first, path, header, void_from));
        void_from = void_from.min(header.map_or(first, |header| header.continues_from));
    }
    for (first, path, header, void_from) in plans.into_iter().rev() {
        pass.segment(first, &path, header, void_from)?;
    }
    let mut found = pass.found;
    found.cursor = pass.cursor;
    found.next = pass.end.unwrap_or(0).max(pass.cursor);
    Ok(found)
}

struct Pass<'a> {
    directory: &'a Path,
    cursor: u64,
    /// The number after the last event read; unknown before the first where no cursor says it.
    end: Option<u64>,
    found: Recovered,
}

impl Pass<'_> {
    fn segment(
        &mut self,
        first: u64,
        path: &Path,
        header: Option<Header>,
        void_from: u64,
    ) -> Result<(), OpenError> {
        let bytes = fs::read(path).map_err(io_error("read", path))?;
        let is_last = void_from == u64::MAX;
        // Without a header, numbers that a failed batch used up cannot be told from lost events.
        self.expect(header.map_or(first, |header| header.continues_from), path);
        self.end = Some(first.max(self.end.unwrap_or(first)));
        let start = if header.is_some() { HEADER_BYTES } else { 0 };
        let mut scanner = Scanner::new(&bytes, start, first, void_from);
        let mut durable = start;
        let mut kept = false;
        while let Some(found) = scanner.next() {
            match found {
                Found::Event { sequence, size, .. } => {
                    self.expect(sequence, path);
                    self.end = Some(scanner.expected());
                    kept = true;
                    if sequence >= self.cursor {
                        self.found.report.events += 1;
                        self.found.backlog_bytes += size as u64;
                    }
                }
                Found::Damage { range, torn: true } if is_last => {
                    self.found.report.torn_bytes += range.len() as u64;
                    cut(path, range)?;
                    break;
                }
                Found::Damage { range, .. } => {
                    kept = true;
                    self.damaged(first, path, range, &bytes)?;
                }
            }
            durable = scanner.offset();
        }
        if !kept {
            return remove(path);
        }
        if is_last {
            // What a killed process wrote may still be in memory only, and the log goes on
            // from it.
            let file = OpenOptions::new().write(true).open(path).map_err(io_error("open", path))?;
            file.sync_all().map_err(io_error("sync", path))?;
        }
        let end = scanner.expected();
        self.end = Some(end);
        let segment = Segment { durable_bytes: durable as u64, end };
        self.found.segments.insert(first, segment);
        Ok(())
    }

    /// Notes the events between the last one read and the one that follows.
    fn expect(&mut self, sequence: u64, path: &Path) {
        let Some(end) = self.end else { return };
        let missing = sequence.saturating_sub(end.max(self.cursor));
        if missing > 0 {
            self.found.report.missing_events += missing;
            tracing::error!(
                segment = %path.display(), missing, expected = end, found = sequence,
                "expected the usage log to be whole, found events missing: compare the bill with \
                 the access log of that time"
            );
        }
    }

    fn damaged(
        &mut self,
        first: u64,
        path: &Path,
        range: Range<usize>,
        bytes: &[u8],
    ) -> Result<(), OpenError> {
        let damaged = bytes.get(range.clone()).unwrap_or_default();
        let offset = range.start as u64;
        let (kept_in, _) = segment::quarantine(self.directory, first, offset, damaged)
            .map_err(io_error("keep the damaged bytes of", path))?;
        tracing::error!(
            segment = %path.display(), offset, bytes = damaged.len(), kept_in = %kept_in.display(),
            "expected a usage event, found damaged bytes: going on after them"
        );
        self.found.report.damages.push(Damage {
            segment: path.to_owned(),
            offset,
            bytes: damaged.len() as u64,
            kept_in,
        });
        Ok(())
    }
}

/// The header; `None` where it is damaged.
fn read_header(path: &Path) -> Result<Option<Header>, OpenError> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    let file = File::open(path).map_err(io_error("open", path))?;
    io::Read::read_to_end(&mut io::Read::take(file, HEADER_BYTES as u64), &mut bytes)
        .map_err(io_error("read", path))?;
    match Header::decode(&bytes) {
        Ok(header) => Ok(Some(header)),
        Err(HeaderError::Damaged) => Ok(None),
        Err(HeaderError::Format(found)) => Err(OpenError::Format { path: path.to_owned(), found }),
    }
}

fn cut(path: &Path, torn: Range<usize>) -> Result<(), OpenError> {
    tracing::warn!(
        segment = %path.display(), offset = torn.start, bytes = torn.len(),
        "cut off the torn tail of the usage log: its events had not been acknowledged"
    );
    let file = OpenOptions::new().write(true).open(path).map_err(io_error("open", path))?;
    file.set_len(torn.start as u64)
        .and_then(|()| file.sync_all())
        .map_err(io_error("cut the torn tail of", path))
}

fn remove(path: &Path) -> Result<(), OpenError> {
    fs::remove_file(path).map_err(io_error("remove", path))
}
