//! Packages without panels for this processor: packed again once for a node, and mapped from then on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod onnx;

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use artifact::{Header, Mapped, PackageBuilder, SectionKind, Store};
use inference::{
    Backend, Inputs, LoadError, Model, Pack, Tensor, TensorData,
    cpu::{CpuBackend, lanes},
    pack,
    plan::{Layout, Matrix, PLAN_VERSION, Plan, WeightKind},
};
use onnx::{Element, Is, Named};
use tempfile::TempDir;
use tenancy::Digest;

/// A node with a package in its store that has panels for another kind of processor.
struct Node {
    folder: TempDir,
    package: Digest,
}

impl Node {
    fn with(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let package = Digest::of(bytes);
        Store::open(folder.path()).unwrap().insert(bytes, &package, u64::MAX).unwrap();
        Self { folder, package }
    }

    /// Loads it as a process does that was just started.
    fn load(&self) -> Arc<dyn Model> {
        let store = Store::open(self.folder.path()).unwrap();
        let backend = CpuBackend::default().repacking_into(store.derived().clone());
        backend.load(&store.map(&self.package).unwrap()).unwrap()
    }

    /// Loads it by a backend that has no place for files.
    fn load_into_memory(&self) -> Arc<dyn Model> {
        let store = Store::open(self.folder.path()).unwrap();
        CpuBackend::default().load(&store.map(&self.package).unwrap()).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.folder.path().join("derived")).unwrap();
        files.map(|file| file.unwrap().path()).collect()
    }

    /// The one file that was made.
    fn file(&self) -> PathBuf {
        let [file] = <[PathBuf; 1]>::try_from(self.files()).unwrap();
        file
    }
}

/// A product with a matrix of `inner` rows and `columns` columns, packed for another processor.
fn foreign(inner: usize, columns: usize, weights: WeightKind) -> Vec<u8> {
    let numbers: Vec<f32> = (0..inner * columns).map(|at| (at % 89) as f32 * 0.013 - 0.5).collect();
    let (rows, width) = (Is(inner as i64), Is(columns as i64));
    let model = onnx::model(
        vec![onnx::value("x", Element::Float, &[Named("N"), rows])],
        vec![onnx::floats("w", &[inner as i64, columns as i64], &numbers)],
        vec![onnx::node("MatMul", &["x", "w"], "y", vec![])],
        vec![onnx::value("y", Element::Float, &[Named("N"), width])],
    );
    let options = Pack {
        lanes: vec![lanes() / 2],
        weights,
        largest_deviation: 1.0,
        with_source: false,
        ..Pack::default()
    };
    pack(&onnx::bytes(&model), &options).unwrap().bytes
}

fn answer(model: &dyn Model, rows: u64) -> Vec<u32> {
    let inner = model.signature().inputs[0].shape[1] as u64;
    let data = (0..rows * inner).map(|at| (at % 31) as f32 * 0.1 - 1.5).collect();
    let x = Tensor::new("x", vec![rows, inner], TensorData::Fp32(data)).unwrap();
    let outputs = model.infer(Inputs::new(vec![x]).unwrap()).unwrap();
    let TensorData::Fp32(numbers) = outputs.tensors()[0].data() else { panic!("{outputs:?}") };
    numbers.iter().map(|number| number.to_bits()).collect()
}

/// What tells one file from another that took its name.
fn identity(path: &Path) -> (u64, i64, i64) {
    let it = fs::metadata(path).unwrap();
    (it.ino(), it.mtime(), it.mtime_nsec())
}

/// Exactly, which what `/proc/self/status` tells is not.
fn anonymous_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
    kib.split_ascii_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn a_second_load_maps_what_the_first_one_packed() {
    // More than an allocator keeps to itself: what is private shows.
    const PANEL_BYTES: u64 = 36 << 20;
    let node = Node::with(&foreign(9 << 10, 1 << 10, WeightKind::F32));
    let first = node.load();
    let made = identity(&node.file());

    let before = anonymous_bytes();
    let second = node.load();
    let mapped = anonymous_bytes().saturating_sub(before);
    assert_eq!(identity(&node.file()), made, "it was packed once more");
    assert!(mapped < PANEL_BYTES / 4, "{mapped} bytes of private memory");
    assert_eq!(second.mapped_bytes(), fs::metadata(node.file()).unwrap().len());
    assert!(second.private_bytes() < 8 << 10, "{}", second.private_bytes());

    // The same number for the same load where it is not kept: what was measured is measured.
    // Other tests of this process may give some back meanwhile, which is not so time after time.
    let all_is_seen = |_| {
        let before = anonymous_bytes();
        let in_memory = node.load_into_memory();
        let more = anonymous_bytes().saturating_sub(before);
        (more >= PANEL_BYTES).then_some(in_memory)
    };
    let in_memory = (0..5).find_map(all_is_seen).expect("memory of the process");
    assert_eq!(in_memory.mapped_bytes(), 0);
    assert!(in_memory.private_bytes() >= PANEL_BYTES);
    assert_eq!(answer(&*first, 3), answer(&*in_memory, 3));
}

#[test]
fn answers_are_to_the_bit_those_of_panels_in_memory() {
    for weights in [WeightKind::F32, WeightKind::F16, WeightKind::I8] {
        let node = Node::with(&foreign(70, 37, weights));
        let (made, in_memory) = (node.load(), node.load_into_memory());
        let mapped = node.load();
        for rows in [1, 2, 12, 13, 64] {
            let expected = answer(&*in_memory, rows);
            assert_eq!(answer(&*made, rows), expected, "{weights:?}, {rows} rows");
            assert_eq!(answer(&*mapped, rows), expected, "{weights:?}, {rows} rows");
        }
    }
}

#[test]
fn a_damaged_file_is_packed_again_and_never_used() {
    let damages: [fn(&mut Vec<u8>); 3] = [
        |bytes| *bytes.last_mut().unwrap() ^= 1,
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes[0] = b'X',
    ];
    for damage in damages {
        let node = Node::with(&foreign(70, 37, WeightKind::F32));
        let expected = answer(&*node.load(), 5);
        let (file, whole) = (node.file(), fs::read(node.file()).unwrap());
        let mut bytes = whole.clone();
        damage(&mut bytes);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&file, bytes).unwrap();
        assert_eq!(answer(&*node.load(), 5), expected);
        assert!(fs::read(node.file()).unwrap() == whole, "it is not healed");
    }
}

#[test]
fn each_package_has_a_file_of_its_own() {
    let node = Node::with(&foreign(70, 37, WeightKind::F32));
    let other = foreign(70, 38, WeightKind::F32);
    let digest = Digest::of(&other);
    Store::open(node.folder.path()).unwrap().insert(&other[..], &digest, u64::MAX).unwrap();
    let node_of_other = Node { package: digest, ..node };
    node_of_other.load();
    let node = Node { package: Digest::of(&foreign(70, 37, WeightKind::F32)), ..node_of_other };
    node.load();
    assert_eq!(node.files().len(), 2);
}

#[test]
fn what_is_removed_with_its_package_is_still_answered_from() {
    let node = Node::with(&foreign(70, 37, WeightKind::F32));
    let model = node.load();
    let expected = answer(&*model, 2);
    let removed = Store::open(node.folder.path()).unwrap().remove_unreferenced(|_| false).unwrap();
    assert_eq!((removed.artifacts, removed.derived), (1, 1));
    assert_eq!(node.files(), Vec::<PathBuf>::new());
    assert_eq!(answer(&*model, 2), expected);
}

#[test]
fn where_no_file_can_be_made_the_model_runs_from_memory() {
    let node = Node::with(&foreign(70, 37, WeightKind::F32));
    let store = Store::open(node.folder.path()).unwrap();
    fs::remove_dir(node.folder.path().join("derived")).unwrap();
    let backend = CpuBackend::default().repacking_into(store.derived().clone());
    let model = backend.load(&store.map(&node.package).unwrap()).unwrap();
    assert_eq!(model.mapped_bytes(), 0);
    assert!(model.private_bytes() > 70 * 37 * 4);
    assert_eq!(answer(&*model, 2), answer(&*node.load_into_memory(), 2));
}

#[test]
fn a_package_with_panels_for_this_processor_has_no_file() {
    let onnx = onnx::bytes(&onnx::mlp(Named("N")));
    let node =
        Node::with(&pack(&onnx, &Pack { lanes: vec![lanes()], ..Pack::default() }).unwrap().bytes);
    assert_eq!(node.load().mapped_bytes(), 0);
    assert_eq!(node.files(), Vec::<PathBuf>::new());
}

#[test]
fn matrices_that_share_bytes_are_not_packed_into_many_times_as_many() {
    let matrix = Matrix { inner: 64, columns: 64, has_bias: false, element: WeightKind::F32 };
    let count = 1000;
    let lanes = lanes() as u32 / 2;
    let key = format!("lanes={lanes}");
    let plan = Plan {
        version: PLAN_VERSION,
        matrices: vec![matrix; count],
        layouts: vec![Layout { lanes, key: key.clone(), offsets: vec![0; count] }],
        ..Plan::default()
    };
    let mut builder = PackageBuilder::new(Header::default());
    let archive = rkyv::to_bytes::<rkyv::rancor::Error>(&plan).unwrap();
    builder.section(SectionKind::Plan, "", archive.into_vec());
    builder.section(SectionKind::Panels, key, vec![0; 64 * 64 * 8]);
    let file = Mapped::copied(&builder.finish().unwrap()).unwrap();
    let refused = CpuBackend::default().load(&file).err().unwrap();
    assert!(matches!(refused, LoadError::Plan(_)), "{refused}");
    assert!(refused.to_string().contains("share"), "{refused}");
}
