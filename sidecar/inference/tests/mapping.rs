//! Loading a package reads its head, however large its weights are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod onnx;

use std::{fs, path::Path};

use artifact::Store;
use inference::{Backend, Inputs, Pack, Tensor, TensorData, cpu::CpuBackend, pack};
use onnx::{Element, Is, Named};
use tenancy::Digest;
use tract_onnx::pb::ModelProto;

/// What one touched page may bring in with it, several times over.
const LITTLE_KIB: u64 = 512;

/// A product with a matrix of `width` rows and 1024 columns.
fn product(width: usize) -> ModelProto {
    let weights: Vec<f32> = (0..width * 1024).map(|at| (at % 17) as f32 * 0.01).collect();
    onnx::model(
        vec![onnx::value("x", Element::Float, &[Named("N"), Is(width as i64)])],
        vec![onnx::floats("w", &[width as i64, 1024], &weights)],
        vec![onnx::node("MatMul", &["x", "w"], "y", vec![])],
        vec![onnx::value("y", Element::Float, &[Named("N"), Is(1024)])],
    )
}

/// How much of the mapping of `file` this process has touched, in KiB.
fn resident_kib(file: &Path) -> u64 {
    let name = file.file_name().unwrap().to_str().unwrap();
    let maps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut of_file = maps.lines().skip_while(|line| !line.contains(name));
    let resident = of_file.find_map(|line| line.strip_prefix("Rss:")).unwrap();
    resident.split_ascii_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn loading_touches_a_few_pages_however_large_the_weights_are() {
    for (width, file_kib) in [(64, 256), (8192, 32 << 10)] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let options = Pack { with_source: false, ..Pack::default() };
        let bytes = pack(&onnx::bytes(&product(width)), &options).unwrap().bytes;
        let digest = Digest::of(&bytes);
        store.insert(bytes.as_slice(), &digest, u64::MAX).unwrap();
        let file = folder.path().join("sha256").join(digest.hex());

        let mapped = store.map(&digest).unwrap();
        let model = CpuBackend::default().load(&mapped).unwrap();
        let touched = resident_kib(&file);
        assert!(touched <= LITTLE_KIB, "{touched} of {file_kib} KiB");

        // An answer reads all of it: the number above is of this mapping.
        let x =
            Tensor::new("x", vec![1, width as u64], TensorData::Fp32(vec![1.0; width])).unwrap();
        model.infer(Inputs::new(vec![x]).unwrap()).unwrap();
        assert!(resident_kib(&file) >= file_kib);
    }
}
