//! What requests take on each side, before anybody asks.

use std::time::{Duration, Instant};

use inference::{InferError, Model, Outputs};

use super::PlacedModel;
use crate::{Side, run::RunError};

/// The batches that are measured, as far as a model takes them.
const BATCHES: [u64; 4] = [1, 8, 64, 512];
/// How many times each is, after one that makes pipelines and takes memory.
const TIMES: usize = 3;
/// Where a batch takes longer on both sides together, larger ones are left to be measured in service.
const LONG: Duration = Duration::from_millis(50);

/// Runs a model on nothing, on both sides. What it answers, and whether, says nothing: it may not take
/// zeros, and then is measured in service.
pub(super) fn measure(model: &PlacedModel) {
    for batch in BATCHES.into_iter().filter(|batch| *batch <= model.max_batch()) {
        let Some(inputs) = model.signature().zeros_of(batch) else { return };
        let Ok(rows) = model.signature().check(&inputs, model.max_batch()) else { return };
        let mut outputs = Outputs::default();
        let cpu = least(|| model.cpu.infer_into(&inputs, &mut outputs));
        let device = least(|| {
            model.by_device(&inputs, rows, &mut outputs).map_err(|error| match error {
                RunError::Infer(error) => error,
                other => InferError::Failed { detail: format!("{other:?}") },
            })
        });
        let (cpu, device) = match (cpu, device) {
            (Ok(cpu), Ok(device)) => (cpu, device),
            (Err(error), _) | (_, Err(error)) => {
                tracing::debug!(%error, batch, "a model was not measured");
                return;
            }
        };
        tracing::debug!(batch, ?cpu, ?device, "a model was measured");
        let mut placement = model.placement();
        for _ in 0..TIMES {
            placement.record(Side::Cpu, rows, cpu);
            placement.record(Side::Device, rows, device);
        }
        drop(placement);
        if cpu + device > LONG || rows != batch {
            return;
        }
    }
}

fn least(mut run: impl FnMut() -> Result<(), InferError>) -> Result<Duration, InferError> {
    run()?;
    let mut least = Duration::MAX;
    for _ in 0..TIMES {
        let from = Instant::now();
        run()?;
        least = least.min(from.elapsed());
    }
    Ok(least)
}
