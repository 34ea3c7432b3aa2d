//! Thousands of tenants' models on one node, through the store and the cache that serve them.

use std::{path::Path, sync::Arc, time::Instant};

use anyhow::{Context, Result, anyhow, ensure};
use artifact::Store;
use inference::{Backend, Outputs, cpu::CpuBackend, plan::WeightKind};
use scheduler::{Loaded, ModelCache, ModelKey, residency::Footprint};
use serde::Serialize;
use tenancy::Digest;

use super::{
    memory::{Memory, mappings_below, open_files, status},
    ours::{Ours, milliseconds, numbers, request},
    peer::{File, Peer, Setting},
    variants::Template,
};
use crate::spread::quantile;

/// The layers of every model here: 4,712 numbers.
const WIDTHS: &[usize] = &[32, 64, 32, 8];
/// The peer's models, which are enough to see what each holds.
const PEERS: usize = 200;
/// How the peer holds least: its weights mapped, and nothing rearranged.
const LEAST: Setting =
    Setting { file: File::External, prepack: false, optimise: "off", arena: false };
/// Models that are loaded and dropped before anything is measured, so that allocators and threads
/// have what they keep.
const WARM_UP: usize = 256;
const LIMIT: u64 = 1 << 20;
const WRITERS: usize = 16;
pub(super) const EVICTIONS: u64 = 10_000;
const REQUESTS: usize = 100_000;

/// Memory in KiB, times in microseconds.
#[derive(Debug, Serialize)]
pub(super) struct Density {
    pub(super) models: usize,
    pub(super) package_bytes: usize,
    /// Of each model that is loaded, was asked once, and is idle.
    pub(super) anon_kib_each: f64,
    pub(super) file_kib_each: f64,
    /// The kernel's tables for its mappings.
    pub(super) page_tables_kib_each: f64,
    pub(super) peer_anon_kib_each: f64,
    pub(super) mappings: usize,
    pub(super) files_left_open: usize,
    pub(super) first: Quantiles,
    pub(super) random: Quantiles,
    /// Requests of which most find their model evicted.
    pub(super) evicting: Quantiles,
    pub(super) evictions: u64,
    /// How far private memory went while so many were evicted.
    pub(super) drift_kib: i64,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Quantiles {
    fn of(mut microseconds: Vec<f64>) -> Result<Self> {
        microseconds.sort_by(f64::total_cmp);
        let at = |share| quantile(&microseconds, share).context("nothing was measured");
        Ok(Self { p50: at(0.5)?, p99: at(0.99)?, max: at(1.0)? })
    }
}

pub(super) fn measure(
    folder: &Path,
    ours: &Ours,
    peer: &mut Peer,
    models: usize,
) -> Result<Density> {
    peer.make(folder, PEERS, WIDTHS)?;
    let packed = ours.add(&File::Single.path(folder, 0), WeightKind::F32)?;
    let template = Template::new(&std::fs::read(ours.file(&packed))?)?;
    let started = Instant::now();
    let package_bytes = template.variant(0)?.len();
    let keys = fill(ours.store(), &template, models)?;
    eprintln!("  {models} packages in the store after {:.0} s", started.elapsed().as_secs_f64());
    let peer_anon_kib_each = peers(folder, peer)?;
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build()?;
    runtime.block_on(async {
        let node = Node::new(ours.store().clone());
        let mut density = node.all_loaded(folder, &keys).await?;
        density.package_bytes = package_bytes;
        density.peer_anon_kib_each = peer_anon_kib_each;
        let (evicting, evictions, drift_kib) = node.evicting(&keys).await?;
        Ok(Density { evicting, evictions, drift_kib, ..density })
    })
}

/// Puts so many packages into the store, several at once: each waits for the disk twice.
fn fill(store: &Store, template: &Template, models: usize) -> Result<Vec<ModelKey>> {
    let add = |number: usize| -> Result<ModelKey> {
        let bytes = template.variant(number)?;
        let digest = Digest::of(&bytes);
        store.insert(bytes.as_slice(), &digest, LIMIT)?;
        key(number, digest)
    };
    let add = &add;
    let every = move |first: usize| (first..models).step_by(WRITERS).map(add).collect::<Vec<_>>();
    let written = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|it| scope.spawn(move || every(it))).collect();
        writers.into_iter().map(|it| it.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    let keys = written.into_iter().flatten().collect::<Result<Vec<_>>>()?;
    ensure!(keys.len() == models, "expected {models} packages, found {}", keys.len());
    Ok(keys)
}

fn key(number: usize, digest: Digest) -> Result<ModelKey> {
    Ok(ModelKey::dedicated(
        format!("org_{number}").parse()?,
        format!("model-{number}").parse()?,
        "1".parse()?,
        digest,
    ))
}

/// What each of the peer's models holds, in KiB.
fn peers(folder: &Path, peer: &mut Peer) -> Result<f64> {
    let before = peer.memory()?;
    for model in 0..PEERS {
        let path = LEAST.file.path(folder, model);
        peer.first(&path, &LEAST, WIDTHS.first().copied().unwrap_or(1), true)?;
    }
    let (anon_kib, _) = peer.memory()?.each_since(&before, PEERS);
    peer.forget()?;
    Ok(anon_kib)
}

/// What a node has for its models.
struct Node {
    store: Store,
    backend: Arc<CpuBackend>,
}

impl Node {
    fn new(store: Store) -> Self {
        Self { store, backend: Arc::default() }
    }

    async fn ask(
        &self,
        cache: &ModelCache<anyhow::Error>,
        key: &ModelKey,
        given: &inference::Inputs,
        outputs: &mut Outputs,
    ) -> Result<f64> {
        let started = Instant::now();
        let (store, backend, digest) =
            (self.store.clone(), Arc::clone(&self.backend), *key.digest());
        let load = move || {
            let mapped = store.map(&digest)?;
            Ok(Loaded::new(backend.load(&mapped)?, mapped))
        };
        let loaded = cache.get_or_load(key, load).await.map_err(|error| anyhow!("{error}"))?;
        loaded.model().infer_into(given, outputs)?;
        Ok(milliseconds(started) * 1e3)
    }

    async fn all_loaded(&self, folder: &Path, keys: &[ModelKey]) -> Result<Density> {
        let (given, mut outputs) = (request(32, 1)?, Outputs::default());
        let cache = cache(u64::MAX);
        for key in keys.iter().take(WARM_UP) {
            self.ask(&cache, key, &given, &mut outputs).await?;
        }
        cache.retain(|_| false);
        let (memory, tables, files) = (Memory::now()?, status("VmPTE")?, open_files()?);
        let mut first = Vec::with_capacity(keys.len());
        for key in keys {
            first.push(self.ask(&cache, key, &given, &mut outputs).await?);
        }
        // What was noted here is no model's.
        let noted_kib = (first.capacity() * size_of::<f64>()) as f64 / 1024.0;
        let (anon, file_kib_each) = Memory::now()?.each_since(&memory, keys.len());
        let models = keys.len();
        let density = Density {
            models,
            package_bytes: 0,
            anon_kib_each: anon - noted_kib / models as f64,
            file_kib_each,
            page_tables_kib_each: status("VmPTE")?.saturating_sub(tables) as f64 / models as f64,
            peer_anon_kib_each: 0.0,
            mappings: mappings_below(folder)?,
            files_left_open: open_files()?.saturating_sub(files),
            first: Quantiles::of(first)?,
            random: self.random(&cache, keys).await?,
            evicting: Quantiles { p50: 0.0, p99: 0.0, max: 0.0 },
            evictions: 0,
            drift_kib: 0,
        };
        Ok(density)
    }

    /// Requests over all models, every one as likely as any other.
    async fn random(
        &self,
        cache: &ModelCache<anyhow::Error>,
        keys: &[ModelKey],
    ) -> Result<Quantiles> {
        let (given, mut outputs, mut dice) = (request(32, 1)?, Outputs::default(), Dice(1));
        let mut took = Vec::with_capacity(REQUESTS);
        let mut answers = std::collections::HashSet::new();
        for _ in 0..REQUESTS {
            let key = dice.pick(keys).context("expected models")?;
            took.push(self.ask(cache, key, &given, &mut outputs).await?);
            answers.insert(numbers(&outputs)?.first().copied().unwrap_or_default().to_bits());
        }
        // Some of thousands of answers are equal by chance; if most were, models would be mixed up.
        ensure!(answers.len() * 2 > keys.len().min(REQUESTS), "the models answer alike");
        Quantiles::of(took)
    }

    /// Requests over all models with room for a quarter of them: how long they take, how many
    /// models were evicted, and how far private memory went meanwhile, in KiB.
    async fn evicting(&self, keys: &[ModelKey]) -> Result<(Quantiles, u64, i64)> {
        let (given, mut outputs, mut dice) = (request(32, 1)?, Outputs::default(), Dice(2));
        let each = {
            let digest = *keys.first().context("expected models")?.digest();
            let mapped = self.store.map(&digest)?;
            Loaded::new(self.backend.load(&mapped)?, mapped).footprint().mapped_bytes
        };
        let cache = cache(each * (keys.len() as u64 / 4).max(1));
        let mut took = Vec::with_capacity(keys.len() * 4);
        // The cache is filled, and then turned over once.
        let begun_at = (keys.len() as u64 / 4).max(1);
        let mut begun = None;
        loop {
            let key = dice.pick(keys).context("expected models")?;
            let microseconds = self.ask(&cache, key, &given, &mut outputs).await?;
            let evicted = cache.stats().evictions;
            match begun {
                None if evicted >= begun_at => begun = Some((evicted, Memory::now()?.anon_kib)),
                None => {}
                Some((at, anon_kib)) if evicted - at >= EVICTIONS => {
                    let drift = Memory::now()?.anon_kib.cast_signed() - anon_kib.cast_signed();
                    return Ok((Quantiles::of(took)?, evicted - at, drift));
                }
                Some(_) if took.len() < took.capacity() => took.push(microseconds),
                Some(_) => {}
            }
        }
    }
}

/// A cache for models whose files have so many bytes together. None stays mapped beyond that: what it takes
/// to load and unload them is what is measured.
fn cache(mapped_bytes: u64) -> ModelCache<anyhow::Error> {
    let budget = Footprint { mapped_bytes, private_bytes: u64::MAX, device_bytes: u64::MAX };
    ModelCache::with_cold(budget, std::time::Duration::ZERO, 0)
}

/// Numbers that look random and are always the same (xorshift64*, Vigna 2016).
struct Dice(u64);

impl Dice {
    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16;
        from.get((number % from.len().max(1) as u64) as usize)
    }
}
