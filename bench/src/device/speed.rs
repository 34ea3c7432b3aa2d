//! Large models beside onnxruntime: on the same card where it has a provider for it.

use std::time::Instant;

use anyhow::{Context, Result};
use artifact::Mapped;
use clap::ValueEnum;
use inference::{Backend, Outputs, plan::WeightKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Options,
    models::{Models, apart, request},
};
use crate::{
    engine::ours::{milliseconds, numbers},
    spread::Spread,
};

/// How many answers a round has of each.
const ANSWERS: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A perceptron of 512, 2048, 2048 and 128
    Mlp,
    /// A transformer encoder of 12 layers of 768 and 12 heads, over 64 steps
    Encoder,
    /// A product with a matrix of 4096 by 4096, and as many rows whatever the batch
    Product,
}

/// What weights are on our side; onnxruntime's are those of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Weights {
    F32,
    F16,
}

impl Weights {
    const fn kind(self) -> WeightKind {
        match self {
            Self::F32 => WeightKind::F32,
            Self::F16 => WeightKind::F16,
        }
    }
}

impl Kind {
    const ALL: [Self; 3] = [Self::Mlp, Self::Encoder, Self::Product];

    const fn name(self) -> &'static str {
        match self {
            Self::Mlp => "mlp",
            Self::Encoder => "encoder",
            Self::Product => "product",
        }
    }

    fn arguments(self) -> Value {
        match self {
            Self::Mlp => json!([[512, 2048, 2048, 128], 1]),
            Self::Encoder => json!([12, 768, 12, 64, 1]),
            Self::Product => json!([4096, 4096, 1]),
        }
    }

    fn shape(self, batch: usize) -> Vec<usize> {
        match self {
            Self::Mlp => vec![batch, 512],
            Self::Encoder => vec![batch, 64, 768],
            Self::Product => vec![batch, 4096],
        }
    }

    /// Multiplications and additions of one row, of its products alone.
    fn flops(self) -> f64 {
        2.0 * match self {
            Self::Mlp => f64::from(512 * 2048 + 2048 * 2048 + 2048 * 128),
            Self::Encoder => {
                let (steps, hidden) = (64.0, 768.0);
                12.0 * steps * (12.0 * hidden * hidden + 2.0 * steps * hidden)
            }
            Self::Product => 4096.0 * 4096.0,
        }
    }
}

/// What was measured of a model at a batch, in milliseconds an answer.
#[derive(Debug, Serialize)]
pub(super) struct Speed {
    pub(super) model: Kind,
    pub(super) batch: usize,
    pub(super) device_ms: Spread,
    pub(super) cpu_ms: Spread,
    pub(super) onnxruntime_ms: Spread,
    /// Of the products alone.
    pub(super) device_tflops: f64,
    /// Of the peak that was said.
    pub(super) share_of_peak: Option<f64>,
    /// The largest difference from onnxruntime, relative to the largest number of the answer.
    pub(super) apart: f64,
}

#[derive(Deserialize)]
struct Answered {
    times_ms: Vec<f64>,
    answer: Vec<f32>,
}

pub(super) fn measure(models: &mut Models<'_>, options: &Options) -> Result<Vec<Speed>> {
    let kinds = if options.models.is_empty() { &Kind::ALL[..] } else { &options.models };
    let mut found = vec![];
    for kind in kinds {
        let weights = options.weights.kind();
        let (path, package) = models.make(kind.name(), kind.name(), &kind.arguments(), weights)?;
        models.peer.ask::<Value>(&json!({ "do": "open", "path": path }))?;
        // A product is one of as many rows as the matrix has, whatever batches the others have.
        let batches = if *kind == Kind::Product { vec![4096] } else { options.batches.clone() };
        for batch in batches {
            eprintln!("{}, batch {batch}", kind.name());
            found.push(one(models, options, (*kind, batch), (&path, &package))?);
        }
        models.peer.ask::<Value>(&json!({ "do": "forget" }))?;
    }
    Ok(found)
}

fn one(
    models: &mut Models<'_>,
    options: &Options,
    (kind, batch): (Kind, usize),
    (path, package): (&str, &[u8]),
) -> Result<Speed> {
    let shape = kind.shape(batch);
    let given = request(&shape)?;
    let on_device = models.on_device(package)?;
    let on_cpu = models.cpu.load(&Mapped::copied(package)?)?;
    let order = json!({ "do": "answer", "path": path, "shape": shape, "times": ANSWERS });
    let (mut device, mut cpu, mut peer) = (vec![], vec![], vec![]);
    let (mut outputs, mut answered) = (Outputs::default(), None);
    for round in 0..=options.rounds {
        for (model, times) in [(&on_device, &mut device), (&on_cpu, &mut cpu)] {
            for _ in 0..ANSWERS {
                let started = Instant::now();
                model.infer_into(&given, &mut outputs)?;
                // The first round is for what is made on first use.
                if round > 0 {
                    times.push(milliseconds(started));
                }
            }
        }
        let found: Answered = models.peer.ask(&order)?;
        if round > 0 {
            peer.extend(found.times_ms);
        }
        answered = Some(found.answer);
    }
    on_device.infer_into(&given, &mut outputs)?;
    let ours = numbers(&outputs)?;
    let answered = answered.context("no rounds")?;
    let spread = |values: Vec<f64>| Spread::of(values).context("no rounds");
    let device_ms = spread(device)?;
    let device_tflops = kind.flops() * batch as f64 / device_ms.median / 1e9;
    Ok(Speed {
        model: kind,
        batch,
        device_ms,
        cpu_ms: spread(cpu)?,
        onnxruntime_ms: spread(peer)?,
        device_tflops,
        share_of_peak: options.peak_tflops.map(|peak| device_tflops / peak),
        apart: apart(&answered, &ours)?,
    })
}
