//! Nobody finds what somebody else left: the raw memory, read back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use std::{any::Any, sync::Arc};

use artifact::Mapped;
use inference::{Backend, Inputs, Model, OnDevice, Pack, Tensor, TensorData, pack};
use wgpu::{Buffer, BufferDescriptor, BufferUsages, CommandEncoderDescriptor, MapMode};

use super::resident::Place;
use crate::{
    GpuBackend, PlacedModel,
    device::Opened,
    llvmpipe::{backend, open, settings},
    memory::WORD_BYTES,
    onnx,
};

fn load(backend: &GpuBackend, factor: f32) -> Arc<dyn Model> {
    let weights: Vec<f32> = onnx::W1.iter().map(|it| it * factor).collect();
    let model = onnx::model(
        vec![onnx::value("x", onnx::Element::Float, &[onnx::Named("N"), onnx::Is(3)])],
        vec![onnx::floats("w", &[3, 4], &weights)],
        vec![
            onnx::node("MatMul", &["x", "w"], "h", vec![]),
            onnx::node("Sigmoid", &["h"], "s", vec![]),
            onnx::node("Sin", &["s"], "y", vec![]),
        ],
        vec![onnx::value("y", onnx::Element::Float, &[onnx::Named("N"), onnx::Is(4)])],
    );
    let packed = pack(&onnx::bytes(&model), &Pack::default()).unwrap();
    backend.load(&Mapped::copied(&packed.bytes).unwrap()).unwrap()
}

fn ask(model: &dyn Model, rows: u64) {
    let x = TensorData::Fp32(vec![0.75; 3 * rows as usize]);
    let inputs = Inputs::new(vec![Tensor::new("x", vec![rows, 3], x).unwrap()]).unwrap();
    let before = placed(model).answered_by_device();
    model.infer(inputs).unwrap();
    assert_eq!(placed(model).answered_by_device(), before + 1);
}

fn placed(model: &dyn Model) -> &PlacedModel {
    let model: &dyn Any = model;
    model.downcast_ref().unwrap()
}

/// What is in a buffer, behind everything that was submitted.
fn read(opened: &Opened, buffer: &Buffer) -> Vec<u8> {
    let copy = opened.device().create_buffer(&BufferDescriptor {
        label: None,
        size: buffer.size(),
        usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = opened.device().create_command_encoder(&CommandEncoderDescriptor::default());
    encoder.copy_buffer_to_buffer(buffer, 0, &copy, 0, buffer.size());
    opened.queue.submit([encoder.finish()]);
    copy.slice(..).map_async(MapMode::Read, |done| done.unwrap());
    opened.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    copy.slice(..).get_mapped_range().unwrap().to_vec()
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn slot(opened: &Arc<Opened>, model: &dyn Model) -> Arc<Place> {
    placed(model).place(opened).unwrap()
}

#[test]
fn the_memory_of_a_run_is_zero_before_the_next_one_gets_it() {
    let Some(device) = open(settings()) else { return };
    let model = load(&backend(&device), 1.0);
    let opened = device.opened().unwrap();
    for rows in [1, 64, 7, 1000] {
        ask(&*model, rows);
        let arenas =
            opened.pools.arenas.with_idle(|idle| idle.iter().map(|it| it.buffer.clone()).collect());
        let arenas: Vec<Buffer> = arenas;
        assert!(!arenas.is_empty());
        for arena in arenas {
            assert!(is_zero(&read(&opened, &arena)), "{rows} rows left something");
        }
    }
}

#[test]
fn a_slot_that_is_given_back_is_zero_and_its_neighbours_are_as_they_were() {
    let Some(device) = open(settings()) else { return };
    let backend = backend(&device);
    let models: Vec<_> = (1..=3).map(|factor| load(&backend, factor as f32)).collect();
    models.iter().for_each(|model| ask(&**model, 2));
    let opened = device.opened().unwrap();
    let slots: Vec<_> = models.iter().map(|model| slot(&opened, &**model)).collect();
    assert!(slots.iter().all(|it| Arc::ptr_eq(it.slab(), slots[0].slab())), "not in one slab");
    let range = |place: &Place| {
        let words = placed(&*models[0]).blueprint.slot_words;
        let start = place.slot.start();
        (start * WORD_BYTES) as usize..((start + words) * WORD_BYTES) as usize
    };
    let buffer = slots[0].store().unwrap().buffer.clone();
    let before = read(&opened, &buffer);
    let ranges: Vec<_> = slots.iter().map(|it| range(it)).collect();
    assert!(ranges.iter().all(|range| !is_zero(&before[range.clone()])));
    drop(slots);

    placed(&*models[1]).let_go();
    let after = read(&opened, &buffer);
    assert!(is_zero(&after[ranges[1].clone()]));
    assert_eq!(after[ranges[0].clone()], before[ranges[0].clone()]);
    assert_eq!(after[ranges[2].clone()], before[ranges[2].clone()]);

    // What was there is not what comes next.
    let next = load(&backend, 4.0);
    ask(&*next, 1);
    assert_eq!(slot(&opened, &*next).slot.start() * WORD_BYTES, ranges[1].start as u64);

    placed(&*next).let_go();
    placed(&*models[0]).let_go();
    placed(&*models[2]).let_go();
    assert!(is_zero(&read(&opened, &buffer)), "memory that goes back holds something");
}

#[test]
fn a_slab_that_grows_leaves_nothing_where_it_was() {
    let Some(device) = open(settings()) else { return };
    let backend = backend(&device);
    let first = load(&backend, 1.0);
    ask(&*first, 1);
    let opened = device.opened().unwrap();
    let old = slot(&opened, &*first).store().unwrap().buffer.clone();
    assert!(!is_zero(&read(&opened, &old)));
    let others: Vec<_> = (2..=4).map(|factor| load(&backend, factor as f32)).collect();
    others.iter().for_each(|model| ask(&**model, 1));
    assert_ne!(slot(&opened, &*first).store().unwrap().buffer, old, "it did not grow");
    assert!(is_zero(&read(&opened, &old)));
    ask(&*first, 3);
}
