//! What the bench says.

use std::fmt;

use serde::Serialize;

use super::{grouped::Grouped, kernels::Kernels, speed::Speed};
use crate::results::verdict;

/// How many times as fast many tenants' small models are in one dispatch, at least.
const GROUPED_BAR: f64 = 5.0;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) adapter: String,
    /// Whether cooperative matrices were used for 16-bit weights.
    pub(super) cooperative: bool,
    pub(super) onnxruntime: String,
    pub(super) wgpu: String,
    pub(super) grouped: Vec<Grouped>,
    pub(super) speed: Vec<Speed>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "device: {}{}; wgpu {}; onnxruntime {}",
            self.adapter,
            if self.cooperative { ", cooperative matrices" } else { "" },
            self.wgpu,
            self.onnxruntime
        )?;
        for it in &self.grouped {
            let Grouped { widths, tenants, one_after_another_ms, together_ms, ratio, apart } = it;
            writeln!(f, "\nmodels of {widths:?} of {tenants} tenants, a row of each, in ms:")?;
            writeln!(f, "  one after another  {}", one_after_another_ms.text(2))?;
            writeln!(f, "  in one dispatch    {}", together_ms.text(2))?;
            let pass = verdict(ratio.median >= GROUPED_BAR);
            writeln!(f, "  times as fast      {} (at least {GROUPED_BAR}): {pass}", ratio.text(1))?;
            writeln!(f, "  answers differ by  {apart:.1e}")?;
        }
        self.speed.iter().try_for_each(|it| speed(f, it))
    }
}

/// How many kernels are told of, those that take longest.
const KERNELS: usize = 4;

fn speed(f: &mut fmt::Formatter<'_>, speed: &Speed) -> fmt::Result {
    let Speed { model, batch, weights, device_ms, cpu_ms, onnxruntime_ms, .. } = speed;
    writeln!(f, "\n{model:?}, batch {batch}, weights {weights:?}, in ms:")?;
    writeln!(f, "  device       {} ({})", device_ms.text(2), flops(speed.device_tflops))?;
    let all: f64 = speed.kernels.iter().map(|it| it.ms).sum();
    if let Some(tflops) = speed.kernel_tflops {
        write!(f, "  its kernels  {all:.2}; those that multiply: {}", flops(tflops))?;
        if let Some(roof) = speed.roof_tflops {
            write!(f, ", {:.1} % of a roof of {}", tflops / roof * 100.0, flops(roof))?;
        }
        writeln!(f)?;
    }
    for Kernels { name, count, ms } in speed.kernels.iter().take(KERNELS) {
        writeln!(f, "    {name}, {count} times: {ms:.2}, {:.0} %", ms / all * 100.0)?;
    }
    writeln!(f, "  our CPU      {}", cpu_ms.text(2))?;
    let ratio = device_ms.median / onnxruntime_ms.median;
    writeln!(f, "  onnxruntime  {}; the device to it {ratio:.2}", onnxruntime_ms.text(2))?;
    writeln!(f, "  answers differ by {:.1e}", speed.apart)
}

fn flops(tflops: f64) -> String {
    if tflops < 1.0 {
        format!("{:.1} GFLOP/s", tflops * 1e3)
    } else {
        format!("{tflops:.1} TFLOP/s")
    }
}
