//! Which processors run what: what is measured on some, everything that loads it on the others, so
//! that neither is moved and neither waits for the other.

use std::fs;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

/// A division of the processors that this process may use.
#[derive(Debug)]
pub(crate) struct Division {
    measured: CpuSet,
    load: CpuSet,
    /// How many processors there are.
    pub(crate) processors: u32,
}

impl Division {
    /// The first processor for what is measured and the rest for the load; all for both where there
    /// is only one.
    pub(crate) fn of_the_first() -> Result<Self> {
        Self::after(|_| 1)
    }

    /// The first half of the processors for what is measured and the rest for the load; all for both
    /// where there is only one.
    pub(crate) fn in_halves() -> Result<Self> {
        Self::after(|all| all / 2)
    }

    fn after(measured: impl Fn(usize) -> usize) -> Result<Self> {
        let all = sched_getaffinity(None).context("could not read the processor affinity")?;
        let numbers = numbers(&all);
        let mut division = Self { measured: all, load: all, processors: all.count() };
        if let Some((first, rest)) = numbers.split_at_checked(measured(numbers.len()))
            && !(first.is_empty() || rest.is_empty())
        {
            rest.iter().for_each(|number| division.measured.unset(*number));
            first.iter().for_each(|number| division.load.unset(*number));
        }
        Ok(division)
    }

    /// The processors of what is measured, as `0,1,2`.
    pub(crate) fn measured(&self) -> String {
        numbers(&self.measured).iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// Keeps every thread of process `pid` on the processors of what is measured.
    pub(crate) fn keep_measured(&self, pid: u32) -> Result<()> {
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            let name = thread?.file_name();
            let id = name.to_str().and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
            sched_setaffinity(id, &self.measured)
                .with_context(|| format!("could not set the affinity of process {pid}"))?;
        }
        Ok(())
    }

    /// Keeps the calling thread on the load's processors.
    pub(crate) fn keep_this_thread(&self) -> Result<()> {
        sched_setaffinity(None, &self.load).context("could not set this thread's affinity")
    }
}

fn numbers(set: &CpuSet) -> Vec<usize> {
    (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
}
