//! A host in memory, for tests: time is a value, shared data obeys Envoy's rules, and what a
//! filter did to a request can be looked at.

mod native;
mod shared_data;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{CasMismatch, Header, Headers, Host, Level, Note};

pub use native::verify_signature;
pub use shared_data::SharedData;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A wall clock that stands still until it is moved. Clones show the same time.
#[derive(Debug, Clone)]
pub struct Clock(Arc<AtomicU64>);

impl Default for Clock {
    /// 2026-05-28T20:26:40Z.
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(1_780_000_000 * NANOS_PER_SECOND)))
    }
}

impl Clock {
    /// The time in Unix seconds.
    pub fn unix_secs(&self) -> u64 {
        self.nanos() / NANOS_PER_SECOND
    }

    /// Puts the clock to `secs` Unix seconds.
    pub fn set_unix_secs(&self, secs: u64) {
        self.0.store(secs.saturating_mul(NANOS_PER_SECOND), Ordering::SeqCst);
    }

    /// Moves the clock ahead.
    pub fn advance_secs(&self, secs: u64) {
        self.advance_nanos(secs.saturating_mul(NANOS_PER_SECOND));
    }

    /// Moves the clock ahead.
    pub fn advance_nanos(&self, nanos: u64) {
        self.0.fetch_add(nanos, Ordering::SeqCst);
    }

    fn nanos(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// An answer that a filter gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

/// One worker. Give several the same [`Clock`] and [`SharedData`] to model a proxy.
pub struct MemoryHost {
    clock: Clock,
    shared: SharedData,
    worker: u8,
    native: bool,
    refuses_writes: Cell<bool>,
    before_write: RefCell<Option<Box<dyn FnOnce()>>>,
    request: RefCell<Vec<Header>>,
    reply: RefCell<Option<Reply>>,
    verifications: Cell<u32>,
    shared_reads: Cell<u32>,
    counters: RefCell<BTreeMap<String, u64>>,
    lines: RefCell<Vec<(Level, String)>>,
    notes: RefCell<BTreeMap<Note, String>>,
}

impl MemoryHost {
    /// A worker that has the native `verify_signature`.
    pub fn new(clock: &Clock, shared: &SharedData) -> Self {
        Self {
            clock: clock.clone(),
            shared: shared.clone(),
            worker: shared.next_worker(),
            native: true,
            refuses_writes: Cell::default(),
            before_write: RefCell::default(),
            request: RefCell::default(),
            reply: RefCell::default(),
            verifications: Cell::default(),
            shared_reads: Cell::default(),
            counters: RefCell::default(),
            lines: RefCell::default(),
            notes: RefCell::default(),
        }
    }

    /// The same without the native `verify_signature`.
    #[must_use]
    pub fn without_native_verification(mut self) -> Self {
        self.native = false;
        self
    }

    /// Makes `headers` the request at hand.
    pub fn begin(&self, headers: Vec<Header>) {
        *self.request.borrow_mut() = headers;
        *self.reply.borrow_mut() = None;
        self.notes.borrow_mut().clear();
    }

    /// The request's headers as they are now.
    pub fn request(&self) -> Vec<Header> {
        self.request.borrow().clone()
    }

    /// The answer that the filter gave, where it did.
    pub fn replied(&self) -> Option<Reply> {
        self.reply.borrow().clone()
    }

    /// What the filter noted of the request at hand.
    pub fn noted(&self, note: Note) -> Option<String> {
        self.notes.borrow().get(&note).cloned()
    }

    /// How often a signature was verified natively.
    pub fn verifications(&self) -> u32 {
        self.verifications.get()
    }

    /// How often shared data was read.
    pub fn shared_reads(&self) -> u32 {
        self.shared_reads.get()
    }

    /// What the counter `metric` stands at.
    pub fn counter(&self, metric: &str) -> u64 {
        self.counters.borrow().get(metric).copied().unwrap_or(0)
    }

    /// What was logged.
    pub fn logged(&self) -> Vec<(Level, String)> {
        self.lines.borrow().clone()
    }

    /// Runs `act` just before the next write of shared data, as if another worker were quicker.
    pub fn before_next_write(&self, act: impl FnOnce() + 'static) {
        *self.before_write.borrow_mut() = Some(Box::new(act));
    }

    /// From now on every write of shared data meets a mismatch.
    pub fn refuse_writes(&self) {
        self.refuses_writes.set(true);
    }
}

impl Host for MemoryHost {
    fn request_headers(&self) -> Headers {
        self.request().into_iter().collect()
    }

    fn change_request_headers(&self, remove: &[&str], set: &[(&str, &[u8])]) {
        let mut request = self.request.borrow_mut();
        let goes = |name: &str| {
            remove.contains(&name) || set.iter().any(|(replaced, _)| *replaced == name)
        };
        request.retain(|(name, _)| !goes(name));
        request.extend(set.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())));
    }

    fn reply(&self, status: u16, headers: Vec<(&str, &str)>, body: &str) {
        let headers = headers.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        *self.reply.borrow_mut() = Some(Reply { status, headers, body: body.to_owned() });
    }

    fn now(&self) -> u64 {
        self.clock.nanos()
    }

    fn shared_data(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.shared_reads.set(self.shared_reads.get().saturating_add(1));
        self.shared.get(key)
    }

    fn set_shared_data(&self, key: &str, value: &[u8], version: u32) -> Result<(), CasMismatch> {
        let act = self.before_write.borrow_mut().take();
        if let Some(act) = act {
            act();
        }
        if self.refuses_writes.get() {
            return Err(CasMismatch);
        }
        self.shared.set(key, value, version)
    }

    fn verify_signature(
        &self,
        hash: &str,
        spki_der: &[u8],
        signature: &[u8],
        message: &[u8],
    ) -> Option<bool> {
        self.native.then(|| {
            self.verifications.set(self.verifications.get().saturating_add(1));
            verify_signature(hash, spki_der, signature, message)
        })
    }

    fn random_seed(&self) -> Option<[u8; 32]> {
        Some([self.worker; 32])
    }

    fn log(&self, level: Level, message: &str) {
        self.lines.borrow_mut().push((level, message.to_owned()));
    }

    fn note(&self, note: Note, value: &str) {
        self.notes.borrow_mut().insert(note, value.to_owned());
    }

    fn increment(&self, metric: &str) {
        let mut counters = self.counters.borrow_mut();
        let counter = counters.entry(metric.to_owned()).or_default();
        *counter = counter.saturating_add(1);
    }
}

impl std::fmt::Debug for MemoryHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryHost").field("worker", &self.worker).finish_non_exhaustive()
    }
}
