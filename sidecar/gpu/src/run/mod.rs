//! One run of a plan on a device.
//!
//! The steps go in the plan's order. Those that the device does are gathered, and submitted at the end
//! as one, with the copies that the answer is read from and the zeroing of what was written. A step
//! that the CPU does in between reads what it needs of the device first, and only then is there more
//! than one submission to wait for.

mod answer;
mod host;
mod layout;
mod pass;
mod timestamps;
mod words;

use std::{ops::Range, sync::Arc};

use inference::{
    DeviceError, InferError, Inputs, Model, Outputs,
    cpu::PlannedModel,
    plan::{ArchivedKind, ArchivedPlace, Frame, PackedPlan, Shape},
};
use shaders::{Dispatch, FAULT_WORDS, Part, Run, Weights};
use wgpu::CommandEncoderDescriptor;

use crate::{
    device::Opened,
    memory::{Piece, Store, WORD_BYTES},
    program::Program,
};
use answer::Answer;
use host::Host;
use layout::Layout;
use pass::Pass;
use timestamps::Timestamps;

/// Why a device did not answer a request.
#[derive(Debug)]
pub(crate) enum RunError {
    /// Nobody can: the request is at fault, or its model.
    Infer(InferError),
    /// The device cannot; the CPU may.
    Device(DeviceError),
    /// A kernel met a fault in the data, which the CPU finds and tells.
    Fault,
}

impl From<DeviceError> for RunError {
    fn from(error: DeviceError) -> Self {
        Self::Device(error)
    }
}

/// What is run, and where its weights are.
pub(crate) struct Job<'a> {
    pub(crate) opened: &'a Arc<Opened>,
    /// The model, or the first of several of one plan.
    pub(crate) model: &'a PlannedModel,
    pub(crate) program: &'a Program,
    pub(crate) weights: Weights<'a>,
    pub(crate) store: &'a Store,
    pub(crate) parts: &'a [Part<'a>],
}

/// Answers a request that was checked and that `batch` rows are of.
pub(crate) fn run(
    job: &Job<'_>,
    inputs: &Inputs,
    batch: u64,
    outputs: &mut Outputs,
) -> Result<(), RunError> {
    let plan = job.model.plan();
    let mut frame = Frame::default();
    frame
        .bind(plan, inputs, job.model.limits())
        .map_err(|error| RunError::Infer(InferError::Failed { detail: error.to_string() }))?;
    let layout = Layout::of(plan, &frame, &job.program.inputs)?;
    let (limit, found) = (job.opened.run_bytes, layout.words * WORD_BYTES);
    if found > limit {
        return Err(DeviceError::TooLarge { what: "run", limit, found }.into());
    }
    let arena = job.opened.pools.arenas.take(job.opened, layout.words * WORD_BYTES)?;
    let mut running = Running {
        job,
        inputs,
        frame: &frame,
        layout: &layout,
        arena: &arena,
        host: Host::new(job.model, plan.plan().slots.to_native() as usize),
        pending: vec![],
        touched: vec![false; plan.plan().slots.to_native() as usize],
        spent: vec![],
    };
    let done = running.go(batch, outputs);
    let Running { spent, .. } = running;
    match done {
        Ok(()) => {
            // What was submitted is done, and the arena zeroed with it.
            spent.into_iter().for_each(|it| job.opened.pools.params.give_back(it));
            job.opened.pools.arenas.give_back(arena);
        }
        Err(_) => arena.give_up(job.opened),
    }
    done
}

struct Running<'a> {
    job: &'a Job<'a>,
    inputs: &'a Inputs,
    frame: &'a Frame,
    layout: &'a Layout,
    arena: &'a Piece,
    host: Host<'a>,
    pending: Vec<Dispatch>,
    /// Which slots are read or written by what is pending.
    touched: Vec<bool>,
    /// Parameters of what was submitted.
    spent: Vec<Piece>,
}

impl Running<'_> {
    fn plan(&self) -> &PackedPlan {
        self.job.model.plan()
    }

    fn go(&mut self, batch: u64, outputs: &mut Outputs) -> Result<(), RunError> {
        self.upload_inputs()?;
        let program = self.job.program;
        for (group, on_device) in &program.groups {
            if *on_device && let Some(dispatches) = self.dispatches(group)? {
                self.pending.extend(dispatches);
                self.touch(group);
                continue;
            }
            for step in group.indices() {
                self.on_host(*step)?;
            }
        }
        self.finish(batch, outputs)
    }

    /// What a group is on the device; none where it turns out to be too large for one.
    fn dispatches(&self, group: &shaders::Group) -> Result<Option<Vec<Dispatch>>, RunError> {
        let run = Run {
            plan: self.plan().plan(),
            rows: &self.job.program.rows,
            dimensions: self.frame.dimensions(),
            places: &self.layout.places,
            arena_words: self.layout.words as u32,
            weights: self.job.weights,
            slab_words: self.job.store.words,
            parts: self.job.parts,
        };
        match shaders::dispatches(&run, group, &self.job.opened.limits) {
            Ok(dispatches) => Ok(Some(dispatches)),
            // The CPU has the weights of one model.
            Err(unsupported) if self.job.parts.len() > 1 => {
                Err(refused(unsupported.reason()).into())
            }
            Err(unsupported) => {
                tracing::debug!(step = group.last(), %unsupported, "steps are done by the CPU");
                Ok(None)
            }
        }
    }

    /// Takes note of the slots of what is pending, and that the device has what they hold.
    fn touch(&mut self, group: &shaders::Group) {
        for at in group.indices() {
            let Some(step) = self.job.model.plan().plan().steps.get(*at) else { continue };
            let (inputs, output) = step.operands();
            for value in inputs.chain([output]) {
                if let Some(touched) = self.slot(value).and_then(|at| self.touched.get_mut(at)) {
                    *touched = true;
                }
            }
            if let Some(slot) = self.slot(output) {
                self.host.forget(slot);
            }
        }
    }

    fn slot(&self, value: u32) -> Option<usize> {
        match self.plan().plan().value(value)?.place {
            ArchivedPlace::Slot(slot) => Some(slot.to_native() as usize),
            _ => None,
        }
    }

    fn upload_inputs(&self) -> Result<(), RunError> {
        let inputs = self.layout.inputs.iter().enumerate().filter(|(_, range)| !range.is_empty());
        for (at, range) in inputs {
            let elements = self.frame.input(self.inputs, at as u32);
            let Some(elements) = elements.and_then(|it| it.data().bytes()) else { continue };
            let is = |place: &ArchivedPlace| matches!(place, ArchivedPlace::Input(it) if it.to_native() as usize == at);
            let values = self.plan().plan().values.iter();
            let Some(value) = values.into_iter().find(|it| is(&it.place)) else { continue };
            self.upload(range.start * WORD_BYTES, value.kind, elements)?;
        }
        Ok(())
    }

    /// Has elements copied to the arena before what is submitted next.
    fn upload(&self, start: u64, kind: ArchivedKind, elements: &[u8]) -> Result<(), RunError> {
        let words = elements.len() / kind.bytes().max(1) * words::words_of(kind);
        let bytes = words as u64 * WORD_BYTES;
        let Some(size) = wgpu::BufferSize::new(bytes) else { return Ok(()) };
        self.job.opened.guarded(bytes, |opened| {
            let none =
                || DeviceError::OutOfMemory { bytes, detail: "nothing to copy through".to_owned() };
            let view = opened.queue.write_buffer_with(&self.arena.buffer, start, size);
            let mut view = view.ok_or_else(none)?;
            words::widen(kind, elements, |at, bytes| {
                view.slice(at..at + bytes.len()).copy_from_slice(bytes);
            });
            Ok(())
        })?;
        Ok(())
    }

    /// Has the CPU do a step.
    fn on_host(&mut self, at: usize) -> Result<(), RunError> {
        let plan = self.job.model.plan();
        let none = || refused("a step that there is not");
        let step = plan.plan().steps.get(at).ok_or_else(none)?;
        let (reads, output) = step.operands();
        let missing = self.missing(reads);
        if !missing.is_empty() {
            self.read_back(&missing)?;
        }
        let slot = self.slot(output).ok_or_else(none)?;
        self.host.step(plan, self.inputs, self.frame, at, output, slot)?;
        if self.touched.get(slot).copied().unwrap_or(false) {
            // What is pending still needs what the slot holds.
            self.submit(None)?;
        }
        let range = self.layout.bytes(plan, self.frame, output).ok_or_else(none)?;
        let row = plan.plan().value(output).ok_or_else(none)?;
        if let Some(elements) = self.host.elements(self.frame, output, slot)
            && row.kind != ArchivedKind::F64
        {
            self.upload(range.start, row.kind, elements)?;
        }
        Ok(())
    }

    /// Those of these values that lie in slots which the CPU has not.
    fn missing(&self, values: impl Iterator<Item = u32>) -> Vec<u32> {
        let is_missing = |value: &u32| self.slot(*value).is_some_and(|slot| !self.host.has(slot));
        values.filter(is_missing).collect()
    }

    /// The bytes of the arena that tell of faults, and those of these values.
    fn wanted(&self, values: &[u32]) -> Result<Vec<Range<u64>>, DeviceError> {
        let faults = 0..u64::from(FAULT_WORDS) * WORD_BYTES;
        let ranges = values.iter().map(|it| self.layout.bytes(self.plan(), self.frame, *it));
        let wanted: Option<Vec<_>> = std::iter::once(Some(faults)).chain(ranges).collect();
        wanted.ok_or_else(|| refused("a value is nowhere"))
    }

    /// Submits what is pending, and reads these values to where the CPU finds them.
    fn read_back(&mut self, values: &[u32]) -> Result<(), RunError> {
        let wanted = self.wanted(values)?;
        let answer = Answer::new(self.job.opened, &wanted)?;
        let index = self.submit(Some((&answer, &wanted, false)))?;
        let (plan, frame, host) = (self.job.model.plan(), self.frame, &mut self.host);
        answer.read(self.job.opened, index, |pieces| {
            let pieces = without_fault(pieces)?;
            for (value, words) in values.iter().zip(pieces) {
                host.keep(plan, frame, *value, words);
            }
            Ok(())
        })?
    }

    /// Encodes and submits what is pending; with an answer, what is copied for it, and with the last
    /// one that the arena is zeroed behind it.
    fn submit(
        &mut self,
        answer: Option<(&Answer, &[Range<u64>], bool)>,
    ) -> Result<wgpu::SubmissionIndex, RunError> {
        let pending = std::mem::take(&mut self.pending);
        self.touched.fill(false);
        let (opened, arena) = (self.job.opened, &self.arena.buffer);
        let mut pass = Pass::new(opened, arena, self.job.store, &pending)?;
        let timestamps = Timestamps::new(opened, pending.len());
        let index = opened.guarded(0, |opened| {
            let mut encoder =
                opened.device().create_command_encoder(&CommandEncoderDescriptor::default());
            pass.encode(&mut encoder, timestamps.as_ref());
            if let Some(timestamps) = &timestamps {
                timestamps.encode(&mut encoder);
            }
            if let Some((answer, wanted, is_last)) = answer {
                answer.encode(&mut encoder, arena, wanted);
                if is_last {
                    encoder.clear_buffer(arena, 0, Some(self.layout.words * WORD_BYTES));
                }
            }
            Ok(opened.queue.submit([encoder.finish()]))
        })?;
        self.spent.extend(pass.params.take());
        drop(pass);
        if let Some(timestamps) = timestamps {
            opened.guarded(0, |opened| opened.wait(index.clone()))?;
            timestamps.tell(opened, pending.iter().map(|it| it.shader.name()))?;
        }
        Ok(index)
    }

    fn finish(&mut self, batch: u64, outputs: &mut Outputs) -> Result<(), RunError> {
        let plan = self.job.model.plan();
        let answers: Vec<u32> = plan.plan().outputs.iter().map(|it| it.to_native()).collect();
        let missing = self.missing(answers.iter().copied());
        let wanted = self.wanted(&missing)?;
        let answer = Answer::new(self.job.opened, &wanted)?;
        let index = self.submit(Some((&answer, &wanted, true)))?;
        let (frame, inputs, host) = (self.frame, self.inputs, &mut self.host);
        let signature = self.job.model.signature();
        answer.read(self.job.opened, index, |pieces| {
            for (value, words) in missing.iter().zip(without_fault(pieces)?) {
                host.keep(plan, frame, *value, words);
            }
            outputs.write(batch, signature, |at| -> Result<(Shape, &[u8]), RunError> {
                let value = answers.get(at).copied().unwrap_or(u32::MAX);
                let shape = frame.shape(plan, value).map_err(|it| refused(&it.to_string()))?;
                let bytes = match plan.plan().value(value).map(|it| &it.place) {
                    Some(ArchivedPlace::Slot(slot)) => {
                        host.elements(frame, value, slot.to_native() as usize)
                    }
                    _ => frame.given(plan, inputs, value),
                };
                Ok((shape, bytes.ok_or_else(|| refused("an output is nowhere"))?))
            })
        })?
    }
}

/// What was read behind the words that tell of faults, which are the first.
fn without_fault<'a, 'b>(pieces: &'a [&'b [u8]]) -> Result<&'a [&'b [u8]], RunError> {
    let (faults, pieces) = pieces.split_first().ok_or(RunError::Fault)?;
    let word = faults.get(..WORD_BYTES as usize).ok_or(RunError::Fault)?;
    if word.iter().any(|byte| *byte != 0) { Err(RunError::Fault) } else { Ok(pieces) }
}

fn refused(what: &str) -> DeviceError {
    DeviceError::Refused { detail: what.to_owned() }
}
