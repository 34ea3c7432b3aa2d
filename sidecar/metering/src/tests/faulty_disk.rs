//! A disk that fails when told to, and that knows what it has synced.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use crate::disk::{Disk, RealDisk, SegmentFile};

/// What is asked of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Create,
    Append(usize),
    Sync,
    Truncate,
    SyncDirectory,
}

/// What it does: it obeys, or fails, having appended so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Obey,
    Fail(usize),
}

type Plan = Box<dyn FnMut(Ask) -> Answer + Send>;

/// What would be left after a power cut.
#[derive(Default)]
struct Synced {
    lengths: BTreeMap<PathBuf, u64>,
    names: BTreeSet<PathBuf>,
    new_names: BTreeSet<PathBuf>,
}

#[derive(Clone)]
pub(super) struct FaultyDisk {
    plan: Arc<Mutex<Plan>>,
    synced: Arc<Mutex<Synced>>,
}

impl FaultyDisk {
    pub(super) fn new(plan: impl FnMut(Ask) -> Answer + Send + 'static) -> Self {
        Self { plan: Arc::new(Mutex::new(Box::new(plan))), synced: Arc::default() }
    }

    pub(super) fn set(&self, plan: impl FnMut(Ask) -> Answer + Send + 'static) {
        *self.plan.lock().unwrap() = Box::new(plan);
    }

    fn ask(&self, ask: Ask) -> Result<(), usize> {
        match (self.plan.lock().unwrap())(ask) {
            Answer::Obey => Ok(()),
            Answer::Fail(bytes) => Err(bytes),
        }
    }

    /// Takes back what was never synced: names that no directory sync covered, and of each
    /// file's unsynced bytes all but `kept` parts in 256.
    pub(super) fn cut_power(&self, kept: u8) {
        let synced = self.synced.lock().unwrap();
        for path in synced.new_names.difference(&synced.names) {
            let _ = fs::remove_file(path);
        }
        for (path, length) in &synced.lengths {
            let Ok(metadata) = fs::metadata(path) else { continue };
            let unsynced = metadata.len().saturating_sub(*length);
            let left = length + unsynced * u64::from(kept) / 256;
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(left.min(metadata.len())).unwrap();
        }
    }
}

fn broken() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        self.ask(Ask::Create).map_err(|_| broken())?;
        let file = RealDisk.create(path)?;
        let mut synced = self.synced.lock().unwrap();
        synced.new_names.insert(path.to_owned());
        synced.lengths.insert(path.to_owned(), 0);
        Ok(Box::new(FaultyFile { disk: self.clone(), path: path.to_owned(), file }))
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.ask(Ask::SyncDirectory).map_err(|_| broken())?;
        let synced = &mut *self.synced.lock().unwrap();
        synced.names.extend(synced.new_names.iter().cloned());
        RealDisk.sync_directory(directory)
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    path: PathBuf,
    file: Box<dyn SegmentFile>,
}

impl SegmentFile for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.disk.ask(Ask::Append(bytes.len())) {
            Ok(()) => self.file.append(bytes),
            Err(part) => {
                self.file.append(&bytes[..part.min(bytes.len())])?;
                Err(broken())
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.ask(Ask::Sync).map_err(|_| broken())?;
        let length = fs::metadata(&self.path)?.len();
        self.disk.synced.lock().unwrap().lengths.insert(self.path.clone(), length);
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.disk.ask(Ask::Truncate).map_err(|_| broken())?;
        self.file.truncate(length)
    }
}
