//! Large models beside onnxruntime: on the same card where it has a provider for it.

use std::{any::Any, sync::Arc, time::Instant};

use anyhow::{Context, Result, ensure};
use artifact::Mapped;
use clap::ValueEnum;
use gpu::PlacedModel;
use inference::{Backend, Model, Outputs, plan::WeightKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Options,
    kernels::{Kernels, of_an_answer},
    models::{Models, apart, request},
};
use crate::{
    engine::ours::{milliseconds, numbers},
    spread::Spread,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A perceptron of 512, 2048, 2048 and 128
    Mlp,
    /// A transformer encoder of 12 layers of 768 and 12 heads, over 64 steps
    Encoder,
    /// A product with a matrix of 4096 by 4096
    Product,
}

/// What weights are on our side; onnxruntime's are those of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
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

    const fn bytes(self) -> f64 {
        match self {
            Self::F32 => 4.0,
            Self::F16 => 2.0,
        }
    }

    /// The most by which answers may differ from those with weights of 32 bits, relative to the largest
    /// number: further apart, something is wrong.
    const fn tolerance(self) -> f64 {
        match self {
            Self::F32 => 1e-4,
            Self::F16 => 2e-2,
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

    /// Bytes that the products of so many rows read and write at the least.
    fn bytes(self, batch: f64, weights: Weights) -> f64 {
        // Numbers of weights, and of a row's operands and results.
        let (fixed, row) = match self {
            Self::Mlp => (512.0 * 2048.0 + 2048.0 * 2048.0 + 2048.0 * 128.0, 8832.0),
            Self::Encoder => {
                let (layers, steps, hidden, heads) = (12.0, 64.0, 768.0, 12.0);
                let attention = 4.0 * hidden + 2.0 * heads * steps;
                (layers * 12.0 * hidden * hidden, layers * steps * (18.0 * hidden + attention))
            }
            Self::Product => (4096.0 * 4096.0, 2.0 * 4096.0),
        };
        fixed * weights.bytes() + batch * row * 4.0
    }
}

/// Where products of these floating point operations and bytes can be no faster, in TFLOP/s: what the
/// card computes, and what it reads, where that is said.
fn roof(options: &Options, flops: f64, bytes: f64) -> Option<f64> {
    let by_memory =
        options.peak_gbytes.map_or(f64::INFINITY, |gbytes| flops / bytes * gbytes / 1e3);
    options.peak_tflops.map(|peak| peak.min(by_memory))
}

/// What was measured of a model at a batch, in milliseconds an answer.
#[derive(Debug, Serialize)]
pub(super) struct Speed {
    pub(super) model: Kind,
    pub(super) batch: usize,
    pub(super) weights: Weights,
    pub(super) device_ms: Spread,
    pub(super) cpu_ms: Spread,
    pub(super) onnxruntime_ms: Spread,
    /// Of the products alone, in the time of the whole answer.
    pub(super) device_tflops: f64,
    /// The kernels of an answer by the device's own clock, those that take longest first.
    pub(super) kernels: Vec<Kernels>,
    /// Of the kernels that multiply matrices, in their own time.
    pub(super) kernel_tflops: Option<f64>,
    /// How fast those could be at the most, by the peaks that were said.
    pub(super) roof_tflops: Option<f64>,
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
        let batches =
            if *kind == Kind::Product { vec![options.rows] } else { options.batches.clone() };
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
    let order = json!({ "do": "answer", "path": path, "shape": shape, "times": options.answers });
    let (mut device, mut cpu, mut peer) = (vec![], vec![], vec![]);
    let (mut outputs, mut theirs) = (Outputs::default(), None);
    for round in 0..=options.rounds {
        for (model, times) in [(&on_device, &mut device), (&on_cpu, &mut cpu)] {
            for _ in 0..options.answers {
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
        theirs = Some(found.answer);
    }
    let before = answered(&on_device)?;
    let kernels = of_an_answer(&on_device, &given, &mut outputs)?;
    let ours = numbers(&outputs)?;
    ensure!(answered(&on_device)? > before, "expected an answer by the device, the CPU answered");
    let theirs = theirs.context("no rounds")?;
    let apart = apart(&theirs, &ours)?;
    ensure!(
        apart <= options.weights.tolerance(),
        "expected onnxruntime's answers, found {apart:.1e} of the largest between"
    );
    let spread = |values: Vec<f64>| Spread::of(values).context("no rounds");
    let device_ms = spread(device)?;
    let flops = kind.flops() * batch as f64;
    let products: f64 = kernels.iter().filter(|it| it.are_products()).map(|it| it.ms).sum();
    Ok(Speed {
        model: kind,
        batch,
        weights: options.weights,
        device_tflops: flops / device_ms.median / 1e9,
        device_ms,
        cpu_ms: spread(cpu)?,
        onnxruntime_ms: spread(peer)?,
        kernel_tflops: (products > 0.0).then(|| flops / products / 1e9),
        kernels,
        roof_tflops: roof(options, flops, kind.bytes(batch as f64, options.weights)),
        apart,
    })
}

/// How many requests the device answered.
fn answered(model: &Arc<dyn Model>) -> Result<u64> {
    let any: &dyn Any = &**model;
    let placed: Option<&PlacedModel> = any.downcast_ref();
    Ok(placed.context("expected a model that can be on the device")?.answered_by_device())
}
