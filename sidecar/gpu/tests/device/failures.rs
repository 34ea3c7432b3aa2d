//! A device that is lost, hangs, or has no room.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use gpu::{DeviceError, Settings};
use inference::{Backend, OnDevice, cpu::CpuBackend};

use crate::{
    llvmpipe::{LONG, open, settings},
    models::layers,
    support::{assert_near, inputs, load, packed, placed},
};

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let from = Instant::now();
    while !is_so() {
        assert!(from.elapsed() < LONG, "not within {LONG:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_loss_in_the_middle_of_requests_loses_no_answer() {
    let settings = Settings { reopen_after: Duration::from_millis(20), ..settings() };
    let Some(device) = open(settings) else { return };
    let file = packed(&layers(1, &[8, 16, 4]));
    let (on_cpu, model) = (CpuBackend::default().load(&file).unwrap(), load(&device, &file));
    let (ends, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for rows in 1..=4 {
            let (on_cpu, model, ends, answers) = (&on_cpu, &model, &ends, &answers);
            scope.spawn(move || {
                let given = inputs(&**on_cpu, rows);
                let expected = on_cpu.infer(given.clone()).unwrap();
                while !ends.load(Ordering::Relaxed) {
                    let found = model.infer(given.clone()).unwrap();
                    assert_near(&found, &expected, 1e-5, "while a device is lost");
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for losses in 1..=3 {
            let before = placed(&*model).answered_by_device();
            until("answers by the device", || placed(&*model).answered_by_device() > before);
            device.lose();
            until("the loss is seen", || device.stats().losses >= losses);
            until("the device is back", || device.is_open());
        }
        let before = placed(&*model).answered_by_device();
        until("answers by the device again", || placed(&*model).answered_by_device() > before);
        ends.store(true, Ordering::Relaxed);
    });
    assert!(answers.load(Ordering::Relaxed) > 0);
    assert_eq!(device.stats().losses, 3);
}

#[test]
fn a_device_that_does_not_answer_in_time_is_lost_and_the_cpu_answers() {
    let settings = Settings { hang_after: Duration::ZERO, reopen_after: LONG, ..settings() };
    let Some(device) = open(settings) else { return };
    // Large enough for no device to be done with before it is asked.
    let file = packed(&layers(2, &[256, 1024, 1024, 16]));
    let (on_cpu, model) = (CpuBackend::default().load(&file).unwrap(), load(&device, &file));
    let given = inputs(&*on_cpu, 256);
    let expected = on_cpu.infer(given.clone()).unwrap();
    assert_near(&model.infer(given.clone()).unwrap(), &expected, 1e-5, "by the CPU");
    assert!(!device.is_open());
    let refused = placed(&*model).bring().unwrap_err();
    assert!(matches!(refused, DeviceError::Lost { .. }), "{refused}");
    assert_near(&model.infer(given).unwrap(), &expected, 1e-5, "by the CPU, again");
    assert_eq!(placed(&*model).answered_by_device(), 0);
}

#[test]
fn a_kernel_that_its_driver_has_not_compiled_in_time_is_waited_for_by_no_request() {
    let settings = Settings { compile_within: Duration::ZERO, ..settings() };
    let Some(device) = open(settings) else { return };
    let file = packed(&layers(6, &[24, 40, 8]));
    let (on_cpu, model) = (CpuBackend::default().load(&file).unwrap(), load(&device, &file));
    let given = inputs(&*on_cpu, 3);
    let expected = on_cpu.infer(given.clone()).unwrap();
    assert_near(&model.infer(given.clone()).unwrap(), &expected, 1e-5, "by the CPU");
    assert_eq!(placed(&*model).answered_by_device(), 0);
    until("the device has what it needs", || {
        assert_near(&model.infer(given.clone()).unwrap(), &expected, 1e-5, "by either");
        placed(&*model).answered_by_device() > 0
    });
    assert!(device.is_open() && device.stats().losses == 0, "{:?}", device.stats());
}

#[test]
fn no_room_for_weights_is_an_error_of_who_brings_them_and_the_cpu_answers() {
    let Some(device) = open(Settings { budget_bytes: 1 << 20, ..settings() }) else { return };
    let (small, large) = (packed(&layers(3, &[8, 16, 4])), packed(&layers(4, &[512, 1024])));
    let (small, large) = (load(&device, &small), load(&device, &large));
    placed(&*small).bring().unwrap();
    let refused = placed(&*large).bring().unwrap_err();
    assert!(matches!(refused, DeviceError::OutOfMemory { .. }), "{refused}");
    assert!(!placed(&*large).is_there());
    large.infer(inputs(&*large, 2)).unwrap();
    small.infer(inputs(&*small, 2)).unwrap();
    assert_eq!(
        (placed(&*small).answered_by_device(), placed(&*large).answered_by_device()),
        (1, 0)
    );
    assert!(device.is_open() && device.stats().bytes <= 1 << 20, "{:?}", device.stats());
}

#[test]
fn no_room_for_a_run_is_answered_by_the_cpu_and_smaller_ones_go_on() {
    let Some(device) = open(Settings { budget_bytes: 1 << 20, ..settings() }) else { return };
    let model = load(&device, &packed(&layers(5, &[64, 2048, 8])));
    let (many, few) = (inputs(&*model, 1000), inputs(&*model, 2));
    assert_eq!(model.infer(many).unwrap().batch(), 1000);
    assert_eq!(placed(&*model).answered_by_device(), 0);
    assert_eq!(model.infer(few).unwrap().batch(), 2);
    assert_eq!(placed(&*model).answered_by_device(), 1);
}

#[test]
fn a_request_that_is_too_large_for_one_run_is_answered_by_several() {
    let Some(device) = open(Settings { run_bytes: 16 << 10, ..settings() }) else { return };
    let file = packed(&layers(7, &[8, 32, 4]));
    let (on_cpu, model) = (CpuBackend::default().load(&file).unwrap(), load(&device, &file));
    for rows in [1, 33, 500, 1000] {
        let given = inputs(&*on_cpu, rows);
        let expected = on_cpu.infer(given.clone()).unwrap();
        let before = placed(&*model).answered_by_device();
        assert_near(&model.infer(given).unwrap(), &expected, 1e-5, "in several runs");
        let runs = placed(&*model).answered_by_device() - before;
        assert_eq!(runs > 1, rows >= 500, "{rows} rows in {runs} runs");
    }
}

#[test]
fn memory_is_counted_and_given_back() {
    let Some(device) = open(settings()) else { return };
    let model = load(&device, &packed(&layers(6, &[64, 64])));
    assert_eq!(device.stats().bytes, 0);
    placed(&*model).bring().unwrap();
    let there = device.stats().bytes;
    assert!(there >= placed(&*model).bytes(), "{there}");
    placed(&*model).let_go();
    assert!(device.stats().bytes + placed(&*model).bytes() <= there);
    assert!(!placed(&*model).is_there());
}
