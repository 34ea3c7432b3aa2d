//! What an embedder sees of a VM.

use super::{Vm, lock};
use crate::error::Trap;
use crate::logs::LogRecord;
use crate::{LogLevel, Metrics, SharedData, SharedQueues};

impl Vm {
    /// What the guest has said, oldest first; canaries too.
    #[must_use]
    pub fn logs(&self) -> Vec<LogRecord> {
        self.settings.logs.all()
    }

    /// Changes the lowest level that is kept. The guest is not told: it has to ask again.
    pub fn set_log_level(&self, level: LogLevel) {
        self.settings.logs.set_level(level);
    }

    /// The value of a counter or gauge, or the number of a histogram's samples.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<u64> {
        self.settings.metrics.value(name)
    }

    /// The metrics that this VM adds to.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.settings.metrics.clone()
    }

    /// The data that this VM shares.
    #[must_use]
    pub fn shared_data(&self) -> SharedData {
        self.settings.shared_data.clone()
    }

    /// The queues that this VM shares.
    #[must_use]
    pub fn shared_queues(&self) -> SharedQueues {
        self.settings.shared_queues.clone()
    }

    /// Why the guest runs no more, where that is so.
    #[must_use]
    pub fn failure(&self) -> Option<Trap> {
        lock(&self.machine()).failure().cloned()
    }

    /// How many bytes of memory the guest has. It does not shrink.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let machine = self.machine();
        let machine = lock(&machine);
        let memory = machine.store.data().guest.as_ref().map(|guest| guest.memory);
        memory.map_or(0, |memory| memory.data_size(&machine.store))
    }

    /// How many contexts the guest has, roots and streams: for tests that nothing leaks.
    #[must_use]
    pub fn contexts(&self) -> usize {
        lock(&self.machine()).store.data().contexts.len()
    }
}
