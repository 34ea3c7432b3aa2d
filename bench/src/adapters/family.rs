//! A base and adapters of it, in a store.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, anyhow, ensure};
use artifact::{Mapped, Package, Store};
use inference::{
    Backend, Inputs, Model, Pack, PackOver, changes::PairKind, cpu::CpuBackend, pack, pack_over,
};
use scheduler::{Loaded, ModelCache, ModelKey};
use tenancy::{Digest, TenantId};

use super::clients::first;
use crate::{
    engine::variants::Template,
    onnx::{numbers, perceptron},
};

/// The layers of the base: 22 MB of weights.
const WIDTHS: [usize; 4] = [512, 2048, 2048, 128];
pub(super) const RANK: usize = 8;
const LIMIT: u64 = 1 << 30;

/// A base that is loaded, and adapters of it that a node may load.
pub(super) struct Family {
    store: Store,
    backend: Arc<CpuBackend>,
    base: Arc<dyn Model>,
    keys: Vec<(TenantId, ModelKey)>,
    pairs: PairKind,
    deviation: f64,
    adapter_bytes: usize,
    base_bytes: usize,
}

impl Family {
    pub(super) fn make(folder: &Path, adapters: usize, pairs: PairKind) -> Result<Self> {
        let store = Store::open(folder.join("store"))?;
        let backend = Arc::new(CpuBackend::default());
        let whole = Pack { with_source: false, ..Pack::default() };
        let packed = pack(&perceptron(&WIDTHS, &[], base_weights), &whole)?;
        let digest = Digest::of(&packed.bytes);
        store.insert(packed.bytes.as_slice(), &digest, LIMIT)?;
        let base = store.map(&digest)?;
        let over = PackOver { rank: RANK, pairs, ..PackOver::default() };
        let tuned = perceptron(&WIDTHS, &[], tuned_weights);
        let adapted = pack_over(&Package::open(base.clone())?, &tuned, &over)?;
        let changed = &adapted.changed;
        let is_as_asked = changed.rank == RANK && changed.pairs == Some(pairs);
        ensure!(is_as_asked && changed.wide == 0, "expected rank {RANK} in {pairs}: {changed}");
        let template = Template::over(&adapted.bytes, &base)?;
        let mut keys = Vec::with_capacity(adapters);
        for number in 0..adapters {
            let bytes = template.variant(number)?;
            let digest = Digest::of(&bytes);
            store.insert(bytes.as_slice(), &digest, LIMIT)?;
            let tenant: TenantId = format!("org_{number}").parse()?;
            let (name, version) = (format!("model-{number}").parse()?, "1".parse()?);
            keys.push((tenant.clone(), ModelKey::dedicated(tenant, name, version, digest)));
        }
        let base_model = backend.load(&base)?;
        ensure!(base_model.family().is_some(), "expected rows that keep to themselves");
        let (adapter_bytes, base_bytes) = (adapted.bytes.len(), packed.bytes.len());
        let deviation = adapted.deviation.largest;
        Ok(Self {
            store,
            backend,
            base: base_model,
            keys,
            pairs,
            deviation,
            adapter_bytes,
            base_bytes,
        })
    }

    pub(super) const fn adapter_bytes(&self) -> usize {
        self.adapter_bytes
    }

    /// What thin matrices are kept as, and how far that takes answers from the fine-tuned model's.
    pub(super) const fn pairs(&self) -> (PairKind, f64) {
        (self.pairs, self.deviation)
    }

    pub(super) const fn base_bytes(&self) -> usize {
        self.base_bytes
    }

    pub(super) fn adapters(&self) -> usize {
        self.keys.len()
    }

    /// The tenant of this number, and its adapter's key.
    pub(super) fn of(&self, number: usize) -> Result<&(TenantId, ModelKey)> {
        self.keys.get(number).context("expected an adapter")
    }

    /// How many numbers a row has.
    pub(super) const fn width() -> usize {
        WIDTHS[0]
    }

    /// What each adapter answers alone: the first number. None of them is loaded then.
    pub(super) fn answers(&self, given: &Inputs) -> Result<Vec<f32>> {
        let answer = |(_, key): &(TenantId, ModelKey)| {
            let mapped = self.store.map(key.digest())?;
            first(&self.backend.load_over(&mapped, &self.base)?.infer(given.clone())?)
        };
        self.keys.iter().map(answer).collect()
    }

    pub(super) async fn load(
        &self,
        cache: &ModelCache<anyhow::Error>,
        key: &ModelKey,
    ) -> Result<Arc<Loaded>> {
        let (store, backend, base) =
            (self.store.clone(), Arc::clone(&self.backend), Arc::clone(&self.base));
        let digest = *key.digest();
        let load = move || {
            let mapped: Mapped = store.map(&digest)?;
            Ok(Loaded::new(backend.load_over(&mapped, &base)?, mapped))
        };
        cache.get_or_load(key, load).await.map_err(|error| anyhow!("{error}"))
    }
}

fn base_weights(layer: usize, size: (usize, usize)) -> Vec<f32> {
    numbers(layer as u32, size)
}

/// The base's, and a product of two thin matrices.
fn tuned_weights(layer: usize, (rows, columns): (usize, usize)) -> Vec<f32> {
    let mut weights = base_weights(layer, (rows, columns));
    let (down, up) = (numbers(100, (RANK, rows)), numbers(200, (RANK, columns)));
    for (down, up) in down.chunks(rows).zip(up.chunks(columns)) {
        for (row, x) in weights.chunks_mut(columns).zip(down) {
            row.iter_mut().zip(up).for_each(|(to, y)| *to += 0.1 * x * y);
        }
    }
    weights
}
