//! Who asks.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use futures::future::try_join_all;
use inference::{InferError, Inputs, Outputs, Tensor, TensorData};
use scheduler::{
    Execution, Executor, Kind, ModelCache, Threads, execute,
    queue::{Join, Request, Room, Share},
    residency::Footprint,
};

use super::family::Family;
use crate::engine::memory::Memory;

/// How far an answer may be from what the adapter answers alone, as a part of it or of 1.
const NEAR: f32 = 1e-3;

/// Whose adapters are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// One adapter, by all tenants.
    One,
    /// Each tenant's own, all of which are loaded.
    Each,
    /// Each tenant's own, of which a quarter fits.
    Evicting,
}

impl Side {
    pub(super) const ALL: [Self; 3] = [Self::One, Self::Each, Self::Evicting];
}

/// What came of asking for a while.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) per_second: f64,
    /// How many requests ran as one, in the mean.
    pub(super) together: f64,
    pub(super) evictions: u64,
}

pub(super) struct Clients<'f> {
    family: &'f Family,
    executor: Executor<Kind, Execution, Result<Outputs, InferError>>,
    whole: ModelCache<anyhow::Error>,
    quarter: ModelCache<anyhow::Error>,
    count: usize,
    join: Join,
    given: Inputs,
    /// The first number that each adapter answers alone.
    expected: Vec<f32>,
    next: AtomicU64,
}

impl<'f> Clients<'f> {
    pub(super) fn start(family: &'f Family, count: usize, max_rows: u64) -> Result<Self> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let room = Room { requests: 2 * count, bytes: u64::MAX };
        let executor = Executor::start(Threads::Alike(processors), room, execute)?;
        let share = Share { concurrency: u32::MAX, waiting: u32::MAX, ..Share::default() };
        let tenants = (0..family.adapters()).map(|number| family.of(number));
        let tenants = tenants.collect::<Result<Vec<_>>>()?;
        executor.set_shares(tenants.iter().map(|(tenant, _)| (tenant, share)));
        let budget = |mapped_bytes| Footprint {
            mapped_bytes,
            private_bytes: u64::MAX,
            device_bytes: u64::MAX,
        };
        let cache = |mapped| ModelCache::new(budget(mapped), Duration::ZERO);
        let all = (family.adapter_bytes() as u64).next_multiple_of(4096) * family.adapters() as u64;
        let numbers = (0..Family::width()).map(|at| ((at * 37 + 11) % 101) as f32 * 0.02 - 1.0);
        let shape = vec![1, Family::width() as u64];
        let given = Tensor::new("x", shape, TensorData::Fp32(numbers.collect()))?;
        let given = Inputs::new(vec![given])?;
        Ok(Self {
            family,
            executor,
            whole: cache(u64::MAX),
            quarter: cache(all / 4),
            count,
            join: Join { max_rows, wait: Duration::ZERO },
            expected: family.answers(&given)?,
            given,
            next: AtomicU64::new(0),
        })
    }

    /// Loads every adapter and asks it once; gives what each holds then, in KiB: private, and of files.
    pub(super) async fn idle_memory(&self) -> Result<(f64, f64)> {
        let before = Memory::now()?;
        let mut outputs = Outputs::default();
        for number in 0..self.family.adapters() {
            let (_, key) = self.family.of(number)?;
            let loaded = self.family.load(&self.whole, key).await?;
            loaded.model().infer_into(&self.given, &mut outputs)?;
        }
        Ok(Memory::now()?.each_since(&before, self.family.adapters()))
    }

    /// Asks for so long, with all clients, and checks every answer.
    pub(super) async fn ask(&self, side: Side, slot: Duration) -> Result<Asked> {
        let cache = if side == Side::Evicting { &self.quarter } else { &self.whole };
        let (started, evictions) = (Instant::now(), cache.stats().evictions);
        let clients = (0..self.count).map(|_| self.client(side, cache, started + slot));
        let answered = try_join_all(clients).await?;
        let seconds = started.elapsed().as_secs_f64();
        let (requests, shared) = answered
            .iter()
            .fold((0_u64, 0.0), |(count, shared), (own, its)| (count + own, shared + its));
        ensure!(requests > 0, "expected answers, found none");
        Ok(Asked {
            per_second: requests as f64 / seconds,
            together: requests as f64 / shared,
            evictions: cache.stats().evictions - evictions,
        })
    }

    /// Asks one request after another; gives how many were answered, and the executions that they took,
    /// each as the part that was its own.
    async fn client(
        &self,
        side: Side,
        cache: &ModelCache<anyhow::Error>,
        until: Instant,
    ) -> Result<(u64, f64)> {
        let (mut requests, mut executions) = (0, 0.0);
        while Instant::now() < until {
            let number = self.pick();
            let (tenant, own) = self.family.of(number)?;
            let asked = if side == Side::One { 0 } else { number };
            let key = if side == Side::One { &self.family.of(0)?.1 } else { own };
            let loaded = self.family.load(cache, key).await?;
            let execution = Execution { loaded, inputs: self.given.clone() };
            let executed = self
                .executor
                .run(Request {
                    tenant: tenant.clone(),
                    kind: execution.kind(),
                    rows: 1,
                    bytes: execution.inputs.memory_bytes(),
                    join: Some(self.join),
                    deadline: None,
                    payload: execution,
                })
                .await
                .map_err(|error| anyhow!("{error}"))?;
            let found = first(&executed.answer?)?;
            let expected = *self.expected.get(asked).context("expected an adapter")?;
            let near = (found - expected).abs() <= NEAR * expected.abs().max(1.0);
            ensure!(near, "expected {expected} of adapter {asked}, found {found}");
            requests += 1;
            executions += 1.0 / executed.requests as f64;
        }
        Ok((requests, executions))
    }

    /// Numbers that look random and are always the same (splitmix64, Steele, Lea and Flood 2014).
    fn pick(&self) -> usize {
        let mut at = self.next.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        at = (at ^ (at >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        at = (at ^ (at >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((at ^ (at >> 31)) % self.family.adapters().max(1) as u64) as usize
    }
}

/// The first number of an answer.
pub(super) fn first(outputs: &Outputs) -> Result<f32> {
    match outputs.tensors().first().map(Tensor::data) {
        Some(TensorData::Fp32(numbers)) => numbers.first().copied().context("an empty answer"),
        other => Err(anyhow!("expected an answer of FP32, found {other:?}")),
    }
}
