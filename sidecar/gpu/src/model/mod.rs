//! A model that the CPU has, and a device where that is faster.

mod blueprint;
mod measure;
mod own;
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
    device::Opened,
    memory::WORD_BYTES,
    run::{Job, RunError, run},
};
use own::{Copied, Own};
use resident::{Place, Resident};

/// A model of the CPU's backend that can be on a device too. Whatever the device does not answer, the
/// CPU does.
pub struct PlacedModel {
    cpu: Arc<dyn Model>,
    /// The model that this one changes, as it is placed.
    base: Option<Arc<dyn Model>>,
    device: Device,
    blueprint: Arc<Blueprint>,
    /// The words of a device that its weights take, or what it changes of its base's.
    words: u64,
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
        let words = blueprint.slot_words;
        Self { cpu, base: None, device, blueprint, words, mode, placement, resident, by_device }
    }

    /// A model that changes the one that `base` is; none where kernels cannot read the changes.
    pub(crate) fn over(cpu: Arc<dyn Model>, base: &Arc<dyn Model>) -> Option<Self> {
        let its: &dyn Any = &**base;
        let its: &Self = its.downcast_ref()?;
        let (device, blueprint) = (its.device.clone(), Arc::clone(&its.blueprint));
        let mut model = Self::new(cpu, device, blueprint, its.mode);
        model.base = Some(Arc::clone(base));
        let planned = model.planned()?;
        let (changes, plan) = (planned.changes()?, planned.plan().plan());
        if !Own::are_read(changes, plan, model.blueprint.lanes) {
            return None;
        }
        model.words = Copied::of(changes, 0).words();
        Some(model)
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

    /// Where its weights are on `opened`, copied there where they are not, after those of its base.
    fn place(&self, opened: &Arc<Opened>) -> Result<Arc<Place>, DeviceError> {
        self.resident.place(opened, || {
            let planned = self.planned().ok_or(DeviceError::None)?;
            let family = opened.families.get(self.blueprint.family);
            let (slot, base) = match (self.base(), planned.changes()) {
                (Some(base), Some(changes)) => {
                    let base = base.place(opened)?;
                    let copied = |start| Copied::of(changes, start);
                    let slot = base.slot.beside(opened, self.words, |store, word| {
                        copied(word).write(store, word)
                    })?;
                    let own = copied(slot.start()).own();
                    (slot, Some((base, own)))
                }
                _ => {
                    let slot = family.slot(opened, self.words, |store, word| {
                        self.blueprint.fill(planned.plan(), store, word)
                    })?;
                    (slot, None)
                }
            };
            Ok(Place { generation: opened.generation, slot, base, _family: family })
        })
    }

    fn base(&self) -> Option<&Self> {
        let base: &dyn Any = &**self.base.as_ref()?;
        base.downcast_ref()
    }

    /// Whether its rows may be run with those of others.
    fn joins(&self) -> bool {
        self.blueprint.program.joins && self.planned().is_some_and(PlannedModel::is_joinable)
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
        let place = self.place(&opened)?;
        let store = place.store()?;
        let parts = [place.part(rows(batch)?)];
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
            DeviceError::None | DeviceError::TooLarge { .. } => {
                tracing::debug!(%error, "the CPU answers");
                return;
            }
            DeviceError::Lost { .. }
            | DeviceError::OutOfMemory { .. }
            | DeviceError::NotCompiled { .. } => {
                tracing::debug!(%error, "the CPU answers");
            }
            DeviceError::Refused { .. } => tracing::warn!(%error, "the CPU answers"),
        }
        // Whatever it is called, it may be the loss of the device.
        self.device.look();
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
        if is_used && self.joins() && self.device.is_open() {
            Some(self.blueprint.family)
        } else {
            self.cpu.family()
        }
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
        self.words * WORD_BYTES
    }

    fn is_there(&self) -> bool {
        self.resident.is_there()
    }

    fn is_wanted(&self) -> bool {
        self.placement().wants_device()
    }

    fn bring(&self) -> Result<(), DeviceError> {
        let opened = self.device.opened()?;
        self.place(&opened)?;
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
