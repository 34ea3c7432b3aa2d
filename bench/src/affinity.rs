//! Which processors run what: the proxies on one, everything that loads them on the others, so
//! that neither is moved and neither waits for the other.

use std::fs;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

/// A division of the processors that this process may use.
#[derive(Debug)]
pub(crate) struct Division {
    proxies: CpuSet,
    load: CpuSet,
    /// How many processors there are.
    pub(crate) processors: u32,
}

impl Division {
    /// The first processor for the proxies and the rest for the load; all for both where there is
    /// only one.
    pub(crate) fn of_this_machine() -> Result<Self> {
        let all = sched_getaffinity(None).context("could not read the processor affinity")?;
        let mut proxies = CpuSet::new();
        let mut load = all;
        match (0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)) {
            Some(first) if all.count() > 1 => {
                proxies.set(first);
                load.unset(first);
            }
            _ => proxies = all,
        }
        Ok(Self { proxies, load, processors: all.count() })
    }

    /// Keeps every thread of process `pid` on the proxies' processor.
    pub(crate) fn keep_proxy(&self, pid: u32) -> Result<()> {
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            let name = thread?.file_name();
            let id = name.to_str().and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
            sched_setaffinity(id, &self.proxies)
                .with_context(|| format!("could not set the affinity of process {pid}"))?;
        }
        Ok(())
    }

    /// Keeps the calling thread on the load's processors.
    pub(crate) fn keep_this_thread(&self) -> Result<()> {
        sched_setaffinity(None, &self.load).context("could not set this thread's affinity")
    }
}
