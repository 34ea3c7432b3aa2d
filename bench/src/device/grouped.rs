//! Small models of many tenants: one dispatch for all beside one after another, on the same device.

use std::{sync::Arc, time::Instant};

use anyhow::{Result, ensure};
use inference::{Inputs, Model, Outputs, Part, Tensor, TensorData, plan::WeightKind};
use serde::Serialize;
use serde_json::json;

use super::models::{Models, apart, request};
use crate::{
    engine::ours::{milliseconds, numbers},
    spread::Spread,
};

/// Perceptrons of these widths, of each tenant its own weights: as those of the flights example, and
/// about eight times that.
const SIZES: [[usize; 4]; 2] = [[20, 64, 32, 1], [64, 128, 128, 8]];
/// Further apart than kernels' orders of adding explain.
const TOLERANCE: f64 = 1e-4;

/// What was measured, in milliseconds for all tenants together.
#[derive(Debug, Serialize)]
pub(super) struct Grouped {
    pub(super) widths: [usize; 4],
    pub(super) tenants: usize,
    pub(super) one_after_another_ms: Spread,
    pub(super) together_ms: Spread,
    /// Of one round each: how many times as fast all together are.
    pub(super) ratio: Spread,
    /// The largest difference of the answers, relative to the largest of them.
    pub(super) apart: f64,
}

pub(super) fn measure(
    models: &mut Models<'_>,
    tenants: usize,
    rounds: usize,
) -> Result<Vec<Grouped>> {
    SIZES.iter().map(|widths| of_size(models, *widths, tenants, rounds)).collect()
}

fn of_size(
    models: &mut Models<'_>,
    widths: [usize; 4],
    tenants: usize,
    rounds: usize,
) -> Result<Grouped> {
    eprintln!("models of {widths:?} of {tenants} tenants");
    let loaded = (0..tenants)
        .map(|seed| {
            let (name, arguments) = (format!("small-{seed}"), json!([widths, seed]));
            let (_, package) = models.make(&name, "mlp", &arguments, WeightKind::F32)?;
            models.on_device(&package)
        })
        .collect::<Result<Vec<_>>>()?;
    let rows: Vec<Inputs> =
        (0..tenants).map(|tenant| row(tenant, widths[0])).collect::<Result<_>>()?;
    let all = Inputs::join(&rows).filter(|it| it.batch() == tenants as u64);
    let all = all.ok_or_else(|| anyhow::anyhow!("expected requests that join"))?;
    let (mut alone_ms, mut together_ms) = (vec![], vec![]);
    let (mut alone, mut together) = (vec![], Outputs::default());
    // One round that nobody counts, for what is made on first use.
    for round in 0..=rounds {
        // Each goes first in every second round.
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                let started = Instant::now();
                alone = one_after_another(&loaded, &rows)?;
                alone_ms.push(milliseconds(started));
            } else {
                let started = Instant::now();
                as_one(&loaded, &all, &mut together)?;
                together_ms.push(milliseconds(started));
            }
        }
    }
    alone_ms.remove(0);
    together_ms.remove(0);
    let alone: Vec<f32> = alone.iter().map(numbers).collect::<Result<Vec<_>>>()?.concat();
    let apart = apart(&alone, &numbers(&together)?)?;
    ensure!(apart < TOLERANCE, "expected the same answers, found them {apart} apart");
    let ratio = alone_ms.iter().zip(&together_ms).map(|(alone, together)| alone / together);
    let spread = |values: Vec<f64>| Spread::of(values).ok_or_else(|| anyhow::anyhow!("no rounds"));
    Ok(Grouped {
        widths,
        tenants,
        ratio: spread(ratio.collect())?,
        one_after_another_ms: spread(alone_ms)?,
        together_ms: spread(together_ms)?,
        apart,
    })
}

fn row(tenant: usize, width: usize) -> Result<Inputs> {
    let base = request(&[1, width])?;
    let numbers = match base.tensors().first().map(Tensor::data) {
        Some(TensorData::Fp32(numbers)) => {
            numbers.iter().map(|it| it * (1.0 + tenant as f32 / 64.0))
        }
        other => anyhow::bail!("expected floats, found {other:?}"),
    };
    let shape = vec![1, width as u64];
    Ok(Inputs::new(vec![Tensor::new("x", shape, TensorData::Fp32(numbers.collect()))?])?)
}

fn one_after_another(models: &[Arc<dyn Model>], rows: &[Inputs]) -> Result<Vec<Outputs>> {
    let answers = models.iter().zip(rows).map(|(model, row)| {
        let mut outputs = Outputs::default();
        model.infer_into(row, &mut outputs)?;
        Ok(outputs)
    });
    answers.collect()
}

fn as_one(models: &[Arc<dyn Model>], all: &Inputs, outputs: &mut Outputs) -> Result<()> {
    let parts: Vec<Part<'_>> = models.iter().map(|it| Part { model: &**it, rows: 1 }).collect();
    let Some(first) = models.first() else { return Ok(()) };
    Ok(first.infer_together(all, &parts, outputs)?)
}
