//! What is measured, and what is kept between two starts.

use gpu::{Choice, Device, DeviceError, GpuBackend, Mode, Settings};
use inference::{Backend, OnDevice, cpu::CpuBackend};

use crate::{
    llvmpipe::{device, open, settings},
    models::layers,
    support::{inputs, load, packed, placed},
};

#[test]
fn a_small_model_is_measured_once_and_then_does_not_touch_the_device() {
    let Some(device) = device() else { return };
    let backend = GpuBackend::new(CpuBackend::default(), Some(device.clone()), Mode::Measured);
    let model = backend.load(&packed(&layers(1, &[3, 4, 1]))).unwrap();
    let on_device = model.on_device().unwrap();
    assert!(on_device.is_wanted() && !on_device.is_there());
    model.infer(inputs(&*model, 1)).unwrap();
    assert_eq!(placed(&*model).answered_by_device(), 0, "before it was measured");
    on_device.bring().unwrap();
    let measured = placed(&*model).answered_by_device();
    assert!(measured > 0);
    for _ in 0..2000 {
        model.infer(inputs(&*model, 1)).unwrap();
    }
    assert_eq!(placed(&*model).answered_by_device(), measured, "a device is not faster for this");
    assert!(!on_device.is_wanted(), "who asked for one row at a time");
    on_device.let_go();
    assert!(!on_device.is_there());
    assert_eq!(model.family(), placed(&*model).on_cpu().family());
}

#[test]
fn pipelines_are_made_once_and_kept_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { pipelines: Some(folder.path().to_owned()), ..settings() };
    let Some(device) = open(settings.clone()) else { return };
    let file = packed(&layers(2, &[6, 8, 8, 8, 2]));
    let model = load(&device, &file);
    placed(&*model).bring().unwrap();
    model.infer(inputs(&*model, 1)).unwrap();
    let made = device.stats().pipelines;
    for _ in 0..10 {
        model.infer(inputs(&*model, 1)).unwrap();
    }
    load(&device, &file).infer(inputs(&*model, 1)).unwrap();
    assert_eq!(device.stats().pipelines, made, "made once for a shader");
    drop(model);
    drop(device);

    let kept = || std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().path());
    let files: Vec<_> = kept().collect();
    let [kept] = files.as_slice() else { panic!("{files:?}") };
    let bytes = std::fs::read(kept).unwrap();
    let start = |bytes: &[u8]| {
        std::fs::write(kept, bytes).unwrap();
        let device = Device::open(settings.clone()).unwrap();
        let model = load(&device, &file);
        model.infer(inputs(&*model, 1)).unwrap();
        assert_eq!(placed(&*model).answered_by_device(), 1);
    };
    start(&bytes);
    // A file that is not as it was written is not read, and replaced.
    start(&bytes[..bytes.len() / 2]);
    start(b"");
    assert!(!std::fs::read(kept).unwrap().is_empty());
}

#[test]
fn a_device_that_there_is_not_is_an_error_and_off_is_none() {
    for choice in ["off", "no such device", "4096"] {
        let choice: Choice = choice.parse().unwrap();
        let refused = Device::open(Settings { choice, ..Settings::default() }).unwrap_err();
        assert_eq!(refused, DeviceError::None);
    }
    // One that computes on the CPU is never chosen by itself.
    if let Ok(device) = Device::open(Settings::default()) {
        assert!(!device.adapter().is_cpu);
    }
}
