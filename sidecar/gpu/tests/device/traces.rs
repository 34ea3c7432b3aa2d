//! What traces tell of a run.

use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use crate::{
    llvmpipe::device,
    models::layers,
    support::{inputs, load, packed, placed},
};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn how_long_each_kernel_took_is_told_at_trace_level_alone() {
    let Some(device) = device() else { return };
    let model = load(device, &packed(&layers(1, &[8, 16, 4])));
    let said = |level| {
        let lines = Lines::default();
        let subscriber =
            tracing_subscriber::fmt().with_max_level(level).with_writer(lines.clone()).finish();
        let before = placed(&*model).answered_by_device();
        tracing::subscriber::with_default(subscriber, || {
            model.infer(inputs(&*model, 3)).unwrap();
        });
        assert_eq!(placed(&*model).answered_by_device(), before + 1);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    };
    let kernels = |said: &str| said.lines().filter(|line| line.contains("a kernel ran")).count();
    let at_trace = said(tracing::Level::TRACE);
    assert!(kernels(&at_trace) >= 2 && at_trace.contains("product"), "{at_trace}");
    assert_eq!(kernels(&said(tracing::Level::DEBUG)), 0);
}
