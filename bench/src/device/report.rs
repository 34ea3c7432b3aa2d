//! What the bench says.

use std::fmt;

use serde::Serialize;

use super::{grouped::Grouped, speed::Speed};
use crate::results::verdict;

/// How many times as fast many tenants' small models are in one dispatch, at least.
const GROUPED_BAR: f64 = 5.0;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) adapter: String,
    pub(super) onnxruntime: String,
    pub(super) wgpu: String,
    pub(super) grouped: Vec<Grouped>,
    pub(super) speed: Vec<Speed>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "device: {}; wgpu {}; onnxruntime {}",
            self.adapter, self.wgpu, self.onnxruntime
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
        for it in &self.speed {
            let Speed { model, batch, device_ms, cpu_ms, onnxruntime_ms, device_tflops, .. } = it;
            writeln!(f, "\n{model:?}, batch {batch}, in ms:")?;
            writeln!(f, "  device       {} ({device_tflops:.3} TFLOP/s)", device_ms.text(2))?;
            if let Some(share) = it.share_of_peak {
                writeln!(f, "  of the peak  {:.0} %", share * 100.0)?;
            }
            writeln!(f, "  our CPU      {}", cpu_ms.text(2))?;
            let ratio = device_ms.median / onnxruntime_ms.median;
            writeln!(f, "  onnxruntime  {}; the device to it {ratio:.2}", onnxruntime_ms.text(2))?;
            writeln!(f, "  answers differ by {:.1e}", it.apart)?;
        }
        Ok(())
    }
}
