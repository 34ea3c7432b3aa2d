//! Models of the bench: made by the peer, packed and loaded here.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, bail};
use artifact::Mapped;
use gpu::GpuBackend;
use inference::{
    Backend, Inputs, Model, Pack, Path as Runs, Tensor, TensorData, cpu::CpuBackend, pack,
    plan::WeightKind,
};
use serde_json::{Value, json};

use crate::engine::peer::Peer;

pub(super) struct Models<'a> {
    pub(super) folder: &'a Path,
    pub(super) peer: &'a mut Peer,
    pub(super) backend: GpuBackend,
    pub(super) cpu: CpuBackend,
}

impl Models<'_> {
    /// Makes an ONNX file, and gives its path and its package.
    pub(super) fn make(
        &mut self,
        name: &str,
        kind: &str,
        arguments: &Value,
        weights: WeightKind,
    ) -> Result<(String, Vec<u8>)> {
        let path = self.folder.join(format!("{name}.onnx"));
        let path = path.to_str().context("expected a folder whose name is UTF-8")?.to_owned();
        let order = json!({ "do": "make", "kind": kind, "path": path, "arguments": arguments });
        self.peer.ask::<Value>(&order)?;
        let options =
            Pack { weights, largest_deviation: 1.0, with_source: false, ..Pack::default() };
        let packed = pack(&std::fs::read(&path)?, &options)?;
        let Runs::Plan { .. } = packed.path else { bail!("expected a plan: {:?}", packed.path) };
        Ok((path, packed.bytes))
    }

    /// A model that is on the device.
    pub(super) fn on_device(&self, package: &[u8]) -> Result<Arc<dyn Model>> {
        let model = self.backend.load(&Mapped::copied(package)?)?;
        let device = model.on_device().context("expected a model that can be on the device")?;
        device.bring()?;
        Ok(model)
    }
}

/// The numbers that the peer makes too.
pub(super) fn request(shape: &[usize]) -> Result<Inputs> {
    let count: usize = shape.iter().product();
    let numbers = (0..count).map(|at| ((at * 37 + 11) % 101) as f32 * 0.02 - 1.0);
    let shape = shape.iter().map(|dim| *dim as u64).collect();
    let tensor = Tensor::new("x", shape, TensorData::Fp32(numbers.collect()))?;
    Ok(Inputs::new(vec![tensor])?)
}

/// The largest difference of two answers, relative to the largest number of them.
pub(super) fn apart(one: &[f32], other: &[f32]) -> Result<f64> {
    if one.is_empty() || other.is_empty() {
        bail!("expected answers, found none");
    }
    let largest = one.iter().fold(f32::MIN_POSITIVE, |largest, it| largest.max(it.abs()));
    let differences = one.iter().zip(other).map(|(one, other)| f64::from((one - other).abs()));
    // `max` would pass over what is not a number.
    let most = differences.fold(0.0, |most, it| if it <= most { most } else { it });
    Ok(most / f64::from(largest))
}
