//! What came of it, beside the bars.

use std::fmt;

use serde::Serialize;

use super::{
    cold::{Cold, Firsts},
    density::{Density, EVICTIONS, Quantiles},
    operators::Operators,
};
use crate::results::verdict;

/// Private memory of an idle model, in KiB.
const IDLE_BAR_KIB: f64 = 8.0;
/// How far private memory may go over all evictions, in KiB.
const DRIFT_BAR_KIB: i64 = 1024;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) onnxruntime: String,
    pub(super) kernels: Vec<&'static str>,
    pub(super) sizes: Vec<Cold>,
    pub(super) density: Option<Density>,
    pub(super) operators: Option<Operators>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nonnxruntime {}, kernels {:?}", self.onnxruntime, self.kernels)?;
        self.sizes.iter().try_for_each(|cold| cold.fmt(f))?;
        self.density.iter().try_for_each(|density| density.fmt(f))?;
        self.operators.iter().try_for_each(|operators| operators.fmt(f))
    }
}

fn bar(f: &mut fmt::Formatter<'_>, pass: bool, what: &str) -> fmt::Result {
    writeln!(f, "{}: {what}", verdict(pass))
}

impl fmt::Display for Cold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n== {}: milliseconds, median (lower to upper quartile)\n", self.size)?;
        writeln!(f, "{:<70} {:>26} {:>26}", "first answer", "load", "load and answer")?;
        for (files, firsts) in [("files in memory", &self.warm), ("files on disk", &self.cold)] {
            let Firsts { ours, ours_load, peer, peer_load } = firsts;
            let (load, first) = (ours_load.text(3), ours.text(3));
            writeln!(f, "{:<70} {load:>26} {first:>26}", format!("ours, {files}"))?;
            let who = format!("onnxruntime, {}, {files}", self.loading);
            writeln!(f, "{who:<70} {:>26} {:>26}", peer_load.text(3), peer.text(3))?;
        }
        writeln!(f, "\n{:<70} {:>26} {:>26}", "answers", "batch of 1", "batch of 32")?;
        for it in &self.steady {
            let (one, many) = (it.batch_1.text(3), it.batch_32.text(3));
            writeln!(f, "{:<70} {one:>26} {many:>26}", it.who)?;
        }
        writeln!(f, "\n{:<70} {:>26} {:>26}", "memory of a model", "private KiB", "mapped KiB")?;
        for it in &self.memory {
            writeln!(f, "{:<70} {:>26.1} {:>26.1}", it.who, it.anon_kib, it.file_kib)?;
        }
        writeln!(f)?;
        let (first_bar, batch_bar) = self.bars;
        let ratio = self.warm.ours.median / self.warm.peer.median;
        let what = "first answer, ours to onnxruntime's fastest loading";
        bar(f, ratio <= first_bar, &format!("{what}, at most {first_bar:.2}: {ratio:.2}"))?;
        if let (Some(most), Some(ours), Some(peer)) =
            (batch_bar, self.steady.first(), self.steady.last())
        {
            let ratio = ours.batch_32.median / peer.batch_32.median;
            let what = "batch of 32, ours to onnxruntime's fastest prepacked";
            bar(f, ratio <= most, &format!("{what}, at most {most:.2}: {ratio:.2}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.1}, p99 {:.1}, greatest {:.1}", self.p50, self.p99, self.max)
    }
}

impl fmt::Display for Density {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n== {} models of {} bytes: microseconds\n", self.models, self.package_bytes)?;
        writeln!(f, "first answers, model after model: {}", self.first)?;
        writeln!(f, "random requests, all models loaded: {}", self.random)?;
        writeln!(f, "random requests, room for a quarter of them: {}", self.evicting)?;
        writeln!(
            f,
            "of files, each: {:.1} KiB; page tables, each: {:.1} KiB; onnxruntime's least, private, each: {:.1} KiB\n",
            self.file_kib_each, self.page_tables_kib_each, self.peer_anon_kib_each
        )?;
        let each = self.anon_kib_each;
        let what = format!("private memory of an idle model, at most {IDLE_BAR_KIB} KiB");
        bar(f, each <= IDLE_BAR_KIB, &format!("{what}: {each:.2} KiB"))?;
        let what = format!("mappings of {} models, at most one each", self.models);
        bar(f, self.mappings <= self.models, &format!("{what}: {}", self.mappings))?;
        let what = "files left open by them, none";
        bar(f, self.files_left_open == 0, &format!("{what}: {}", self.files_left_open))?;
        let what = format!("private memory over {EVICTIONS} evictions, within {DRIFT_BAR_KIB} KiB");
        let drift = self.drift_kib;
        bar(f, drift.abs() <= DRIFT_BAR_KIB, &format!("{what}: {drift:+} KiB"))
    }
}

impl fmt::Display for Operators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n== ONNX's tests of single operators\n")?;
        let Self { tests, ours, tract } = self;
        let what = format!("of {tests}, at least as many as plain tract's {tract}");
        bar(f, ours >= tract, &format!("{what}: {ours}"))
    }
}
