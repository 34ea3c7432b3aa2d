//! What guests say.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::LogLevel;

/// A guest that logs without end must not fill the memory of the test that runs it.
const MAX_RECORDS: usize = 65_536;

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
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs {
    records: Arc<Mutex<VecDeque<LogRecord>>>,
}

impl Logs {
    pub(crate) fn push(&self, record: LogRecord) {
        let mut records = self.lock();
        if records.len() == MAX_RECORDS {
            records.pop_front();
        }
        records.push_back(record);
    }

    pub(crate) fn all(&self) -> Vec<LogRecord> {
        self.lock().iter().cloned().collect()
    }

    /// The last of what was said, on one line: for the error of a VM that did not start, and whose
    /// log nobody can ask for.
    pub(crate) fn said(&self) -> String {
        let records = self.lock();
        let last = records.len().saturating_sub(MAX_SAID);
        let messages = records.iter().skip(last);
        let said: Vec<_> = messages.map(|record| record.message.as_str()).collect();
        if said.is_empty() { "nothing".to_owned() } else { said.join("; ") }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<LogRecord>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
