//! How long each kernel of an answer takes, by the device's own clock, from the backend's traces.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use inference::{Inputs, Model, Outputs};
use serde::Serialize;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// Kernels of one name, in an answer.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Kernels {
    pub(super) name: String,
    pub(super) count: usize,
    pub(super) ms: f64,
}

impl Kernels {
    /// Whether they multiply matrices.
    pub(super) fn are_products(&self) -> bool {
        self.name.starts_with("product") || self.name.starts_with("matmul")
    }
}

/// The kernels of an answer, those that take longest first. None where the device has no clock.
pub(super) fn of_an_answer(
    model: &Arc<dyn Model>,
    given: &Inputs,
    outputs: &mut Outputs,
) -> Result<Vec<Kernels>> {
    let told = Told::default();
    tracing::subscriber::with_default(told.clone(), || model.infer_into(given, outputs))?;
    let mut told = told.0.lock().unwrap_or_else(PoisonError::into_inner);
    let mut kernels = std::mem::take(&mut *told);
    kernels.sort_by(|one, other| other.ms.total_cmp(&one.ms));
    Ok(kernels)
}

/// Takes note of what the backend tells of kernels.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Kernels>>>);

impl Subscriber for Told {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::TRACE && metadata.target().starts_with("gpu")
    }

    fn event(&self, event: &Event<'_>) {
        let mut kernel = Kernel::default();
        event.record(&mut kernel);
        let Some((name, nanoseconds)) = kernel.name.zip(kernel.nanoseconds) else { return };
        let ms = nanoseconds / 1e6;
        let mut kernels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kernels.iter_mut().find(|it| it.name == name) {
            Some(known) => {
                known.count += 1;
                known.ms += ms;
            }
            None => kernels.push(Kernels { name, count: 1, ms }),
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Kernel {
    name: Option<String>,
    nanoseconds: Option<f64>,
}

impl Visit for Kernel {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "nanoseconds" {
            self.nanoseconds = Some(value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "kernel" {
            self.name = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
