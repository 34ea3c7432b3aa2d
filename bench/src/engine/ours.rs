//! Our side: models in a store, loaded by mapping.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use artifact::Store;
use inference::{
    Backend, Inputs, Model, Outputs, Pack, Path as Runs, Tensor, TensorData, cpu::CpuBackend, pack,
    plan::WeightKind,
};
use tenancy::Digest;

use super::peer::First;

/// Larger than every package here.
const LIMIT: u64 = 1 << 30;

pub(super) struct Ours {
    store: Store,
    folder: PathBuf,
    backend: CpuBackend,
}

impl Ours {
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let folder = folder.join("store");
        Ok(Self { store: Store::open(&folder)?, folder, backend: CpuBackend::default() })
    }

    pub(super) const fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn file(&self, digest: &Digest) -> PathBuf {
        self.folder.join("sha256").join(digest.hex())
    }

    /// Packs an ONNX file as `bulkhead model pack` does, and puts it where a node keeps it.
    pub(super) fn add(&self, onnx: &Path, weights: WeightKind) -> Result<Digest> {
        let bytes = fs::read(onnx).with_context(|| format!("{}", onnx.display()))?;
        let options =
            Pack { weights, largest_deviation: 1.0, with_source: false, ..Pack::default() };
        let packed = pack(&bytes, &options)?;
        let Runs::Plan { .. } = packed.path else { bail!("expected a plan: {:?}", packed.path) };
        let digest = Digest::of(&packed.bytes);
        self.store.insert(packed.bytes.as_slice(), &digest, LIMIT)?;
        Ok(digest)
    }

    pub(super) fn load(&self, digest: &Digest) -> Result<Arc<dyn Model>> {
        Ok(self.backend.load(&self.store.map(digest)?)?)
    }

    /// From a digest to the first answer. The request is there before.
    pub(super) fn first(&self, digest: &Digest, width: usize) -> Result<(Arc<dyn Model>, First)> {
        let given = request(width, 1)?;
        let started = Instant::now();
        let model = self.load(digest)?;
        let load_ms = milliseconds(started);
        let outputs = model.infer(given)?;
        let first_ms = milliseconds(started);
        Ok((model, First { load_ms, first_ms, answer: numbers(&outputs)? }))
    }
}

/// How long each of some answers took, in milliseconds.
pub(super) fn answer(
    model: &dyn Model,
    width: usize,
    batch: usize,
    times: usize,
) -> Result<Vec<f64>> {
    let (given, mut outputs) = (request(width, batch)?, Outputs::default());
    (0..times)
        .map(|_| {
            let started = Instant::now();
            model.infer_into(&given, &mut outputs)?;
            Ok(milliseconds(started))
        })
        .collect()
}

/// The numbers that the other side makes too.
pub(super) fn request(width: usize, batch: usize) -> Result<Inputs> {
    let numbers = (0..batch * width).map(|at| ((at * 37 + 11) % 101) as f32 * 0.02 - 1.0);
    let shape = vec![batch as u64, width as u64];
    let tensor = Tensor::new("x", shape, TensorData::Fp32(numbers.collect()))?;
    Ok(Inputs::new(vec![tensor])?)
}

pub(crate) fn numbers(outputs: &Outputs) -> Result<Vec<f32>> {
    match outputs.tensors().first().map(Tensor::data) {
        Some(TensorData::Fp32(numbers)) => Ok(numbers.clone()),
        other => bail!("expected an answer of FP32, found {other:?}"),
    }
}

pub(crate) fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
