//! A model that is loaded.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

use artifact::Mapped;
use inference::Model;

use crate::{
    joins::{self, Joins},
    reclaim::{Freed, Reclaim},
    residency::Footprint,
};

/// Makes the names of loaded models.
static LOADS: AtomicU64 = AtomicU64::new(0);

/// A model and the mapped file that it came from.
pub struct Loaded {
    model: Arc<dyn Model>,
    artifact: Mapped,
    footprint: Footprint,
    id: u64,
    joins: AtomicU8,
    /// The last field: it is dropped when the others have been.
    freed: Option<Freed>,
}

impl Loaded {
    /// A model that was loaded from `artifact`.
    pub fn new(model: Arc<dyn Model>, artifact: Mapped) -> Self {
        // Asked once, so that what was added to the sums is what is taken from them.
        let footprint = Footprint {
            mapped_bytes: artifact.mapped_bytes() + model.mapped_bytes(),
            private_bytes: model.private_bytes(),
            device_bytes: 0,
        };
        let joins = match model.signature().is_batched() {
            true => joins::seen(artifact.digest()),
            false => Joins::Never,
        };
        let id = LOADS.fetch_add(1, Ordering::Relaxed);
        Self { model, artifact, footprint, id, joins: AtomicU8::new(joins as u8), freed: None }
    }

    /// Has its memory given back once nobody holds it any more.
    pub(crate) fn reclaimed_by(mut self, reclaim: &Arc<Reclaim>) -> Self {
        let (bytes, reclaim) = (self.footprint.private_bytes, Arc::clone(reclaim));
        self.freed = Some(Freed { bytes, reclaim });
        self
    }

    /// The model.
    pub fn model(&self) -> &Arc<dyn Model> {
        &self.model
    }

    /// The file.
    pub const fn artifact(&self) -> &Mapped {
        &self.artifact
    }

    /// What it takes of the budget.
    pub const fn footprint(&self) -> Footprint {
        self.footprint
    }

    /// Its number among all that this process loaded.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Runs it once on nothing, so that its pages are there and its memory is taken before the first
    /// request. What it answers, and whether, says nothing: the model may not take zeros.
    pub fn warm_up(&self) {
        if let Some(inputs) = self.model.signature().zeros()
            && let Err(error) = self.model.infer(inputs)
        {
            tracing::debug!(%error, "a model does not take zeros");
        }
    }

    /// Whether requests for it may be joined.
    pub fn joins(&self) -> Joins {
        match self.joins.load(Ordering::Relaxed) {
            it if it == Joins::Unknown as u8 => Joins::Unknown,
            it if it == Joins::Alike as u8 => Joins::Alike,
            _ => Joins::Never,
        }
    }

    /// Says what was seen of it. That it never joins is final.
    pub(crate) fn saw(&self, joins: Joins) {
        let unless_never = |seen| (seen != Joins::Never as u8).then_some(joins as u8);
        let _ = self.joins.fetch_update(Ordering::Relaxed, Ordering::Relaxed, unless_never);
        if self.model.family().is_some() {
            joins::remember(self.artifact.digest(), joins);
        }
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Loaded({:?}, {:?})", self.artifact, self.footprint)
    }
}
