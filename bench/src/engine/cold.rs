//! The first answer of a model that is not loaded, and how fast it answers from then on.

use std::{fs::File as OpenFile, path::Path};

use anyhow::{Context, Result, ensure};
use inference::plan::WeightKind;
use rustix::fs::{Advice, fadvise};
use serde::Serialize;
use tenancy::Digest;

use super::{
    memory::Memory,
    ours::{self, Ours},
    peer::{File, First, Peer, Setting},
};
use crate::spread::Spread;

/// A size of model: how it is called, the widths of its layers, and its bars.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) name: &'static str,
    pub(super) widths: &'static [usize],
    /// Our first answer, as a share of the peer's.
    pub(super) first_bar: f64,
    /// Our time for a batch of 32, as a share of the peer's, where there is a bar.
    pub(super) batch_bar: Option<f64>,
}

pub(super) const SIZES: [Size; 2] = [
    Size { name: "22 MB", widths: &[512, 2048, 2048, 128], first_bar: 1.1, batch_bar: Some(1.1) },
    Size { name: "346 KB", widths: &[64, 256, 256, 16], first_bar: 1.0 / 3.0, batch_bar: None },
];

/// How far two answers to one request may be apart.
const TOLERANCE: f32 = 1e-4;
/// How often each of the peer's settings is tried before the fastest is chosen.
const TRIALS: usize = 5;
/// Answers that are timed together in a round.
const ANSWERS: usize = 8;

const fn setting(file: File, prepack: bool, optimise: &'static str, arena: bool) -> Setting {
    Setting { file, prepack, optimise, arena }
}

const LOADING: [Setting; 7] = [
    setting(File::External, false, "off", true),
    setting(File::External, false, "off", false),
    setting(File::External, false, "basic", true),
    setting(File::External, false, "all", true),
    setting(File::Single, false, "off", true),
    setting(File::Single, false, "basic", true),
    setting(File::Ort, false, "off", true),
];

const PREPACKED: [Setting; 4] = [
    setting(File::External, true, "off", true),
    setting(File::External, true, "all", true),
    setting(File::Single, true, "all", true),
    setting(File::Ort, true, "off", true),
];

/// What was measured of one size, in milliseconds and KiB.
#[derive(Debug, Serialize)]
pub(super) struct Cold {
    pub(super) size: &'static str,
    #[serde(skip)]
    pub(super) bars: (f64, Option<f64>),
    /// The peer's settings that loaded and that answered a batch of 32 fastest.
    pub(super) loading: String,
    pub(super) prepacked: String,
    /// First answers with the files in memory, and not.
    pub(super) warm: Firsts,
    pub(super) cold: Firsts,
    pub(super) steady: Vec<Steady>,
    pub(super) memory: Vec<Held>,
}

#[derive(Debug, Serialize)]
pub(super) struct Firsts {
    pub(super) ours: Spread,
    pub(super) ours_load: Spread,
    pub(super) peer: Spread,
    pub(super) peer_load: Spread,
}

/// Answers of one loaded model.
#[derive(Debug, Serialize)]
pub(super) struct Steady {
    pub(super) who: String,
    pub(super) batch_1: Spread,
    pub(super) batch_32: Spread,
}

/// What each loaded model holds that has answered once.
#[derive(Debug, Serialize)]
pub(super) struct Held {
    pub(super) who: String,
    pub(super) anon_kib: f64,
    pub(super) file_kib: f64,
}

pub(super) struct Bench<'a> {
    pub(super) folder: &'a Path,
    pub(super) ours: &'a Ours,
    pub(super) peer: &'a mut Peer,
    pub(super) models: usize,
    pub(super) rounds: usize,
}

impl Bench<'_> {
    pub(super) fn measure(&mut self, size: &Size) -> Result<Cold> {
        self.peer.make(self.folder, self.models, size.widths)?;
        let digests = self.pack(WeightKind::F32, self.models)?;
        let loading = self.fastest_loading(size)?;
        let prepacked = self.fastest_answering(size)?;
        Ok(Cold {
            size: size.name,
            bars: (size.first_bar, size.batch_bar),
            loading: loading.to_string(),
            prepacked: prepacked.to_string(),
            warm: self.firsts(size, &digests, &loading, false)?,
            cold: self.firsts(size, &digests, &loading, true)?,
            steady: self.steady(size, &loading, &prepacked)?,
            memory: self.held(size, &digests, &loading, &prepacked)?,
        })
    }

    fn pack(&self, weights: WeightKind, models: usize) -> Result<Vec<Digest>> {
        let path = |model| File::Single.path(self.folder, model);
        (0..models).map(|model| self.ours.add(&path(model), weights)).collect()
    }

    fn peer_first(&mut self, size: &Size, setting: &Setting, model: usize) -> Result<First> {
        let path = setting.file.path(self.folder, model);
        self.peer.first(&path, setting, width(size), false)
    }

    fn fastest_loading(&mut self, size: &Size) -> Result<Setting> {
        let mut best: Option<(f64, Setting)> = None;
        for setting in LOADING {
            let mut took = vec![];
            for trial in 0..TRIALS {
                took.push(self.peer_first(size, &setting, trial % self.models)?.first_ms);
            }
            let median = Spread::of(took).context("nothing was tried")?.median;
            eprintln!("  {median:9.3} ms  first answer: {setting}");
            if best.is_none_or(|(least, _)| median < least) {
                best = Some((median, setting));
            }
        }
        best.map(|(_, setting)| setting).context("nothing was tried")
    }

    fn fastest_answering(&mut self, size: &Size) -> Result<Setting> {
        let mut best: Option<(f64, Setting)> = None;
        for setting in PREPACKED {
            self.peer.open("trial", &setting.file.path(self.folder, 0), &setting)?;
            self.peer.answer("trial", width(size), 32, 2)?;
            let took = self.peer.answer("trial", width(size), 32, TRIALS * 3)?;
            let median = Spread::of(took).context("nothing was tried")?.median;
            eprintln!("  {median:9.3} ms  batch of 32: {setting}");
            if best.is_none_or(|(least, _)| median < least) {
                best = Some((median, setting));
            }
        }
        self.peer.forget()?;
        best.map(|(_, setting)| setting).context("nothing was tried")
    }

    /// First answers, ours and the peer's in turn, of one model after another.
    fn firsts(
        &mut self,
        size: &Size,
        digests: &[Digest],
        loading: &Setting,
        is_cold: bool,
    ) -> Result<Firsts> {
        let (mut ours, mut peers) = (vec![], vec![]);
        for round in 0..self.rounds {
            let model = round % self.models;
            let digest = digests.get(model).context("expected a package of each model")?;
            if is_cold {
                evict(&self.ours.file(digest))?;
                for file in loading.file.all(self.folder, model) {
                    evict(&file)?;
                }
            }
            // Who comes first changes with every round of all models.
            let is_first = (round / self.models).is_multiple_of(2);
            let mine = if is_first { Some(self.ours.first(digest, width(size))?.1) } else { None };
            let theirs = self.peer_first(size, loading, model)?;
            let mine = match mine {
                Some(mine) => mine,
                None => self.ours.first(digest, width(size))?.1,
            };
            same(&mine.answer, &theirs.answer)?;
            ours.push(mine);
            peers.push(theirs);
        }
        let of = |firsts: &[First], number: fn(&First) -> f64| {
            Spread::of(firsts.iter().map(number)).context("nothing was measured")
        };
        Ok(Firsts {
            ours: of(&ours, |it| it.first_ms)?,
            ours_load: of(&ours, |it| it.load_ms)?,
            peer: of(&peers, |it| it.first_ms)?,
            peer_load: of(&peers, |it| it.load_ms)?,
        })
    }

    /// Loaded models in turn: ours with each kind of weights, and the peer's two settings.
    fn steady(
        &mut self,
        size: &Size,
        loading: &Setting,
        prepacked: &Setting,
    ) -> Result<Vec<Steady>> {
        let mut mine = vec![];
        for (name, weights) in
            [("f32", WeightKind::F32), ("f16", WeightKind::F16), ("int8", WeightKind::I8)]
        {
            let digest = self.pack(weights, 1)?.pop().context("expected a package")?;
            mine.push((format!("ours, {name}"), self.ours.load(&digest)?));
        }
        let theirs = [("loading", loading), ("prepacked", prepacked)];
        for (name, setting) in theirs {
            self.peer.open(name, &setting.file.path(self.folder, 0), setting)?;
        }
        let mut times = vec![[vec![], vec![]]; mine.len() + theirs.len()];
        for _ in 0..self.rounds {
            for (which, batch) in [1, 32].into_iter().enumerate() {
                for (at, times) in times.iter_mut().enumerate() {
                    let times = times.get_mut(which).context("expected two batches")?;
                    // What others left in the caches is no part of it: one answer goes unmeasured.
                    let took = match (mine.get(at), theirs.get(at.wrapping_sub(mine.len()))) {
                        (Some((_, model)), _) => {
                            ours::answer(&**model, width(size), batch, 1 + ANSWERS)?
                        }
                        (_, Some((name, _))) => {
                            self.peer.answer(name, width(size), batch, 1 + ANSWERS)?
                        }
                        _ => vec![],
                    };
                    times.extend(took.into_iter().skip(1));
                }
            }
        }
        self.peer.forget()?;
        let names = mine.into_iter().map(|(name, _)| name);
        let names = names.chain(theirs.map(|(_, it)| format!("onnxruntime, {it}")));
        names
            .zip(times)
            .map(|(who, [ones, many])| {
                let of = |times| Spread::of(times).context("nothing was measured");
                Ok(Steady { who, batch_1: of(ones)?, batch_32: of(many)? })
            })
            .collect()
    }

    /// Every model loaded at once, and asked once.
    fn held(
        &mut self,
        size: &Size,
        digests: &[Digest],
        loading: &Setting,
        prepacked: &Setting,
    ) -> Result<Vec<Held>> {
        let mut held = vec![];
        let before = Memory::now()?;
        let mut models = Vec::with_capacity(digests.len());
        for digest in digests {
            models.push(self.ours.first(digest, width(size))?.0);
        }
        let (anon_kib, file_kib) = Memory::now()?.each_since(&before, models.len());
        held.push(Held { who: "ours".to_owned(), anon_kib, file_kib });
        drop(models);
        for setting in [loading, prepacked] {
            let before = self.peer.memory()?;
            for model in 0..self.models {
                let path = setting.file.path(self.folder, model);
                self.peer.first(&path, setting, width(size), true)?;
            }
            let (anon_kib, file_kib) = self.peer.memory()?.each_since(&before, self.models);
            held.push(Held { who: format!("onnxruntime, {setting}"), anon_kib, file_kib });
            self.peer.forget()?;
        }
        Ok(held)
    }
}

fn width(size: &Size) -> usize {
    size.widths.first().copied().unwrap_or(1)
}

fn same(ours: &[f32], theirs: &[f32]) -> Result<()> {
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= TOLERANCE * b.abs().max(1.0);
    ensure!(
        ours.len() == theirs.len() && ours.iter().zip(theirs).all(near),
        "the answers differ: nothing here can be trusted"
    );
    Ok(())
}

/// Makes the kernel forget what it holds of a file, which has to be on the disk for that.
fn evict(path: &Path) -> Result<()> {
    let file =
        OpenFile::open(path).with_context(|| format!("could not open {}", path.display()))?;
    file.sync_all()?;
    fadvise(&file, 0, None, Advice::DontNeed).context("could not drop a file from memory")
}
