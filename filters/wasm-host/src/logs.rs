//! What guests say.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::LogLevel;

/// A guest that logs without end must not fill the memory of the test that runs it.
const MAX_RECORDS: usize = 65_536;

/// Nor must one that says little, at length.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// A longer line is cut off here.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// An error message is for reading.
const MAX_SAID: usize = 20;

/// One line, by `proxy_log`, by the guest's standard output (as info) or standard error (as error),
/// or by the host itself where it says why a guest failed (as critical).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// How bad it is.
    pub level: LogLevel,
    /// What was said; bytes that are not UTF-8 are replaced.
    pub message: String,
    /// Whether it was said in the canary VM that tries each configuration first.
    pub canary: bool,
}

/// The newest records of a VM and of its canaries.
#[derive(Clone, Debug)]
pub(crate) struct Logs {
    kept: Arc<Mutex<Kept>>,
    /// The lowest level that is kept.
    level: Arc<AtomicU32>,
}

#[derive(Debug, Default)]
struct Kept {
    records: VecDeque<LogRecord>,
    bytes: usize,
}

impl Default for Logs {
    fn default() -> Self {
        Self { kept: Arc::default(), level: Arc::new(AtomicU32::new(LogLevel::Trace as u32)) }
    }
}

impl Logs {
    pub(crate) fn level(&self) -> LogLevel {
        LogLevel::from_abi(self.level.load(Ordering::Relaxed)).unwrap_or(LogLevel::Trace)
    }

    pub(crate) fn set_level(&self, level: LogLevel) {
        self.level.store(level as u32, Ordering::Relaxed);
    }

    pub(crate) fn push(&self, level: LogLevel, message: &[u8], canary: bool) {
        if level < self.level() {
            return;
        }
        let message = message.get(..MAX_LINE_BYTES).unwrap_or(message);
        let message = String::from_utf8_lossy(message).into_owned();
        let mut kept = self.lock();
        kept.bytes += message.len();
        kept.records.push_back(LogRecord { level, message, canary });
        while kept.records.len() > MAX_RECORDS || kept.bytes > MAX_BYTES {
            let Some(dropped) = kept.records.pop_front() else {
                break;
            };
            kept.bytes = kept.bytes.saturating_sub(dropped.message.len());
        }
    }

    pub(crate) fn all(&self) -> Vec<LogRecord> {
        self.lock().records.iter().cloned().collect()
    }

    /// The last of what was said, on one line: for the error of a VM that did not start, and whose
    /// log nobody can ask for.
    pub(crate) fn said(&self) -> String {
        let kept = self.lock();
        let last = kept.records.len().saturating_sub(MAX_SAID);
        let messages = kept.records.iter().skip(last);
        let said: Vec<_> = messages.map(|record| record.message.as_str()).collect();
        if said.is_empty() { "nothing".to_owned() } else { said.join("; ") }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
