//! A model that the CPU has, and a device where that is faster.

mod blueprint;
mod measure;
mod resident;
mod together;
#[cfg(test)]
mod zeroed;

use std::{
    any::Any,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use inference::{
    DeviceError, InferError, Inputs, Model, OnDevice, Outputs, Part, Signature, cpu::PlannedModel,
};
use tenancy::Digest;

pub(crate) use blueprint::Blueprint;

use crate::{
    Device, Mode, Placement, Side,
    memory::WORD_BYTES,
    run::{Job, RunError, run},
};
use resident::Resident;

/// A model of the CPU's backend that can be on a device too. Whatever the device does not answer, the
/// CPU does.
pub struct PlacedModel {
    cpu: Arc<dyn Model>,
    device: Device,
    blueprint: Arc<Blueprint>,
    mode: Mode,
    placement: Mutex<Placement>,
    resident: Resident,
    by_device: AtomicU64,
}

impl PlacedModel {
    pub(crate) fn new(
        cpu: Arc<dyn Model>,
        device: Device,
        blueprint: Arc<Blueprint>,
        mode: Mode,
    ) -> Self {
        let placement = Mutex::new(Placement::new(mode));
        let (resident, by_device) = (Resident::default(), AtomicU64::new(0));
        Self { cpu, device, blueprint, mode, placement, resident, by_device }
    }

    /// The same model without a device.
    pub fn on_cpu(&self) -> &Arc<dyn Model> {
        &self.cpu
    }

    /// How many requests the device answered, alone or with those of others.
    pub fn answered_by_device(&self) -> u64 {
        self.by_device.load(Ordering::Relaxed)
    }

    fn planned(&self) -> Option<&PlannedModel> {
        let any: &dyn Any = &*self.cpu;
        any.downcast_ref()
    }

    fn placement(&self) -> MutexGuard<'_, Placement> {
        self.placement.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, inputs: &Inputs, outputs: &mut Outputs) -> Result<(), InferError> {
        let batch = self.signature().check(inputs, self.max_batch())?;
        let is_there = self.mode == Mode::Always || self.resident.is_there();
        let side = if is_there { self.placement().choose(batch) } else { Side::Cpu };
        let from = Instant::now();
        if side == Side::Device {
            match self.by_device(inputs, batch, outputs) {
                Ok(()) => {
                    self.placement().record(Side::Device, batch, from.elapsed());
                    return Ok(());
                }
                Err(RunError::Infer(error)) => return Err(error),
                Err(RunError::Fault) => {}
                Err(RunError::Device(error)) => self.tell(&error),
            }
        }
        let from = Instant::now();
        self.cpu.infer_into(inputs, outputs)?;
        self.placement().record(Side::Cpu, batch, from.elapsed());
        Ok(())
    }

    /// Answers a checked request on the device, in as many runs as its memory needs.
    fn by_device(
        &self,
        inputs: &Inputs,
        batch: u64,
        outputs: &mut Outputs,
    ) -> Result<(), RunError> {
        let planned = self.planned().ok_or(DeviceError::None)?;
        let opened = self.device.opened()?;
        let slot = self.resident.slot(&opened, &self.blueprint, planned.plan())?;
        let store = slot.store()?;
        let parts =
            [shaders::Part { rows: rows(batch)?, slot: slot.start(), ..shaders::Part::default() }];
        let job = Job {
            opened: &opened,
            model: planned,
            program: &self.blueprint.program,
            weights: self.blueprint.weights(),
            store: &store,
            parts: &parts,
        };
        match run(&job, inputs, batch, outputs) {
            Ok(()) => {
                self.by_device.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(RunError::Device(DeviceError::TooLarge { .. }))
                if batch > 1 && self.blueprint.program.rows.is_joinable() =>
            {
                let halves = [batch / 2, batch - batch / 2];
                let apart = || DeviceError::Refused { detail: "rows do not come apart".to_owned() };
                let mut answers = vec![];
                for (inputs, rows) in inputs.split(&halves).ok_or_else(apart)?.iter().zip(halves) {
                    let mut answer = Outputs::default();
                    self.by_device(inputs, rows, &mut answer)?;
                    answers.push(answer);
                }
                *outputs = Outputs::join(&answers).ok_or_else(apart)?;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Says why the CPU answers, and sees to it that a lost device is opened again.
    fn tell(&self, error: &DeviceError) {
        match error {
            DeviceError::Lost { .. } => {
                _ = self.device.opened();
                tracing::debug!(%error, "the CPU answers");
            }
            DeviceError::None | DeviceError::TooLarge { .. } | DeviceError::OutOfMemory { .. } => {
                tracing::debug!(%error, "the CPU answers");
            }
            DeviceError::Refused { .. } => tracing::warn!(%error, "the CPU answers"),
        }
    }
}

fn rows(batch: u64) -> Result<u32, DeviceError> {
    let limit = u64::from(u32::MAX);
    u32::try_from(batch).map_err(|_| DeviceError::TooLarge { what: "batch", limit, found: batch })
}

impl Model for PlacedModel {
    fn signature(&self) -> &Signature {
        self.cpu.signature()
    }

    fn max_batch(&self) -> u64 {
        self.cpu.max_batch()
    }

    fn infer(&self, inputs: Inputs) -> Result<Outputs, InferError> {
        let mut outputs = Outputs::default();
        self.answer(&inputs, &mut outputs)?;
        Ok(outputs)
    }

    fn infer_into(&self, inputs: &Inputs, outputs: &mut Outputs) -> Result<(), InferError> {
        self.answer(inputs, outputs)
    }

    fn family(&self) -> Option<Digest> {
        let is_used = self.mode == Mode::Always || self.resident.is_there();
        let joins = is_used && self.blueprint.program.rows.is_joinable() && self.device.is_open();
        if joins { Some(self.blueprint.family) } else { self.cpu.family() }
    }

    fn infer_together(
        &self,
        inputs: &Inputs,
        parts: &[Part<'_>],
        outputs: &mut Outputs,
    ) -> Result<(), InferError> {
        together::answer(self, inputs, parts, outputs)
    }

    fn private_bytes(&self) -> u64 {
        self.cpu.private_bytes() + size_of::<Self>() as u64
    }

    fn mapped_bytes(&self) -> u64 {
        self.cpu.mapped_bytes()
    }

    fn on_device(&self) -> Option<&dyn OnDevice> {
        Some(self)
    }

    fn unoptimised(&self) -> Option<&str> {
        self.cpu.unoptimised()
    }
}

impl OnDevice for PlacedModel {
    fn bytes(&self) -> u64 {
        self.blueprint.slot_words * WORD_BYTES
    }

    fn is_there(&self) -> bool {
        self.resident.is_there()
    }

    fn is_wanted(&self) -> bool {
        self.placement().wants_device()
    }

    fn bring(&self) -> Result<(), DeviceError> {
        let planned = self.planned().ok_or(DeviceError::None)?;
        let opened = self.device.opened()?;
        self.resident.slot(&opened, &self.blueprint, planned.plan())?;
        if !self.placement().is_measured() {
            measure::measure(self);
        }
        opened.save_pipelines();
        Ok(())
    }

    fn let_go(&self) {
        self.resident.let_go();
    }
}
