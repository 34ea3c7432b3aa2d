//! Rows of several models, by one run.

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use inference::{DeviceError, InferError, Inputs, Model, Outputs, Part, one_after_another};

use super::{PlacedModel, resident::Place, rows};
use crate::{
    Mode, Side,
    device::Opened,
    run::{Job, RunError, run},
};

/// Answers a joint request of `first`'s family.
pub(super) fn answer(
    first: &PlacedModel,
    inputs: &Inputs,
    parts: &[Part<'_>],
    outputs: &mut Outputs,
) -> Result<(), InferError> {
    let batch: u64 = parts.iter().map(|part| part.rows).fold(0, u64::saturating_add);
    first.signature().check(inputs, batch)?;
    let Some(models) = of_one_family(first, parts) else {
        return apart(inputs, parts, outputs);
    };
    let is_there = |model: &&PlacedModel| first.mode == Mode::Always || model.resident.is_there();
    let side = if models.iter().all(is_there) {
        first.blueprint.together().choose_or_try(batch)
    } else {
        Side::Cpu
    };
    let from = Instant::now();
    if side == Side::Device {
        let sized: Vec<(&PlacedModel, u64)> =
            models.iter().copied().zip(parts.iter().map(|part| part.rows)).collect();
        match by_device(first, inputs, &sized, outputs) {
            Ok(()) => {
                first.blueprint.together().record(Side::Device, batch, from.elapsed());
                return Ok(());
            }
            Err(RunError::Infer(_) | RunError::Fault) => {}
            Err(RunError::Device(error)) => first.tell(&error),
        }
    }
    let from = Instant::now();
    on_cpu(&models, inputs, parts, outputs)?;
    first.blueprint.together().record(Side::Cpu, batch, from.elapsed());
    Ok(())
}

/// Each part by its own model, wherever that is.
fn apart(inputs: &Inputs, parts: &[Part<'_>], outputs: &mut Outputs) -> Result<(), InferError> {
    *outputs = one_after_another(inputs, parts)?;
    Ok(())
}

/// Each part by the CPU, or all of them where it runs its own families as one.
fn on_cpu(
    models: &[&PlacedModel],
    inputs: &Inputs,
    parts: &[Part<'_>],
    outputs: &mut Outputs,
) -> Result<(), InferError> {
    let sized = models.iter().zip(parts);
    let on_cpu: Vec<Part<'_>> =
        sized.map(|(model, part)| Part { model: &*model.cpu, rows: part.rows }).collect();
    let Some(first) = models.first() else { return apart(inputs, parts, outputs) };
    let family = first.cpu.family();
    if family.is_some() && models.iter().all(|it| it.cpu.family() == family) {
        return first.cpu.infer_together(inputs, &on_cpu, outputs);
    }
    apart(inputs, &on_cpu, outputs)
}

/// The models of all parts, where they are what they are said to be.
fn of_one_family<'a>(first: &PlacedModel, parts: &[Part<'a>]) -> Option<Vec<&'a PlacedModel>> {
    let models = parts.iter().map(|part| {
        let any: &dyn Any = part.model;
        let model = any.downcast_ref::<PlacedModel>();
        model.filter(|it| it.joins() && Arc::ptr_eq(&it.blueprint, &first.blueprint))
    });
    models.collect()
}

fn by_device(
    first: &PlacedModel,
    inputs: &Inputs,
    parts: &[(&PlacedModel, u64)],
    outputs: &mut Outputs,
) -> Result<(), RunError> {
    let opened = first.device.opened()?;
    let places = parts.iter().map(|(model, _)| model.place(&opened));
    let places = places.collect::<Result<Vec<_>, _>>()?;
    // A kernel reads the weights of one slab.
    let mut by_slab: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, place) in places.iter().enumerate() {
        by_slab.entry(Arc::as_ptr(place.slab()).addr()).or_default().push(at);
    }
    let placed: Vec<Placed<'_>> = parts
        .iter()
        .zip(&places)
        .map(|((model, rows), place)| Placed { model, rows: *rows, place })
        .collect();
    if by_slab.len() <= 1 {
        return of_one_slab(first, &opened, inputs, &placed, outputs);
    }
    let disjoint = || DeviceError::Refused { detail: "rows do not come apart".to_owned() };
    let sizes: Vec<u64> = parts.iter().map(|(_, rows)| *rows).collect();
    let split = inputs.split(&sizes).ok_or_else(disjoint)?;
    let mut answers: Vec<Option<Outputs>> = parts.iter().map(|_| None).collect();
    for group in by_slab.values() {
        let some: Vec<Placed<'_>> =
            group.iter().filter_map(|at| placed.get(*at)).copied().collect();
        let theirs = group.iter().filter_map(|at| split.get(*at));
        let theirs = Inputs::join(theirs).ok_or_else(disjoint)?;
        let mut answer = Outputs::default();
        of_one_slab(first, &opened, &theirs, &some, &mut answer)?;
        let sizes: Vec<u64> = some.iter().map(|it| it.rows).collect();
        for (at, answer) in group.iter().zip(answer.split(&sizes).ok_or_else(disjoint)?) {
            if let Some(place) = answers.get_mut(*at) {
                *place = Some(answer);
            }
        }
    }
    let answers: Vec<Outputs> = answers.into_iter().flatten().collect();
    *outputs = Outputs::join(&answers).ok_or_else(disjoint)?;
    Ok(())
}

/// A part, and where its model's weights are.
#[derive(Clone, Copy)]
struct Placed<'a> {
    model: &'a PlacedModel,
    rows: u64,
    place: &'a Place,
}

fn of_one_slab(
    first: &PlacedModel,
    opened: &Arc<Opened>,
    inputs: &Inputs,
    parts: &[Placed<'_>],
    outputs: &mut Outputs,
) -> Result<(), RunError> {
    let (Some(some), Some(planned)) = (parts.first(), first.planned()) else {
        return Err(DeviceError::None.into());
    };
    let store = some.place.store()?;
    let said = parts.iter().map(|it| Ok(it.place.part(rows(it.rows)?)));
    let said = said.collect::<Result<Vec<_>, DeviceError>>()?;
    let job = Job {
        opened,
        model: planned,
        program: &first.blueprint.program,
        weights: first.blueprint.weights(),
        store: &store,
        parts: &said,
    };
    let batch = parts.iter().map(|it| it.rows).fold(0, u64::saturating_add);
    run(&job, inputs, batch, outputs)?;
    for part in parts {
        part.model.by_device.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
