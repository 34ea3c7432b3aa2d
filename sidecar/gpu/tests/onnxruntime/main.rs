//! Every family of kernels answers as onnxruntime does: random small models over random shapes and
//! numbers, those that are none, infinite or subnormal among them.
//!
//! `cases.py` makes them, anew each time; `BULKHEAD_SEED` makes those of an earlier run again, and
//! `BULKHEAD_CASES` is how many of each family. The device is llvmpipe, or what `BULKHEAD_TEST_DEVICE`
//! names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

#[path = "../../../inference/tests/onnx_nodes/case.rs"]
#[allow(dead_code, reason = "tests of single operators tell rounding apart, these have tolerances")]
mod case;
#[path = "../llvmpipe/mod.rs"]
mod llvmpipe;
#[path = "../../../inference/tests/onnxruntime/python.rs"]
mod python;

use std::{any::Any, collections::BTreeMap, fs, path::Path};

use artifact::Mapped;
use case::{Case, numbers};
use gpu::{GpuBackend, Place, PlacedModel, where_steps_run};
use inference::{
    Backend, Inputs, Pack, Tensor,
    cpu::{CpuBackend, PlannedModel},
    pack,
};
use llvmpipe::{backend, open, settings};
use prost::Message;
use tract_onnx::pb::ModelProto;

/// Of each a device does at least a quarter of the cases from their first step to their last.
const FAMILIES: [&str; 20] = [
    "cast",
    "chain",
    "choice",
    "concat",
    "convolution",
    "empty",
    "function",
    "gather",
    "matmul",
    "move",
    "norm",
    "pad",
    "pool",
    "product",
    "recurrent",
    "reduction",
    "slice",
    "softmax",
    "transpose",
    "transposed",
];

/// How cases went.
#[derive(Default)]
struct Family {
    cases: usize,
    /// Those of which the device did every step.
    on_device: usize,
    wrong: Vec<String>,
}

#[test]
fn every_family_of_kernels_answers_as_onnxruntime_does() {
    let Some(device) = open(settings()) else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnxruntime/cases.py");
    let Some(folder) = python::run(&script, "onnxruntime-gpu") else { return };
    let seed = fs::read_to_string(folder.join("seed")).unwrap();
    let backend = backend(&device);
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for entry in fs::read_dir(&*folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "onnx") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            let family = name.split('-').next().unwrap().to_owned();
            go(&backend, &folder, name, families.entry(family).or_default());
        }
    }
    assert_eq!(families.keys().collect::<Vec<_>>(), FAMILIES.iter().collect::<Vec<_>>());
    for (name, Family { cases, on_device, .. }) in &families {
        eprintln!("{name}: {on_device} of {cases} wholly on the device");
        assert!(4 * on_device >= *cases, "BULKHEAD_SEED={seed}: {name} is mostly the CPU's");
    }
    let wrong: Vec<&String> = families.values().flat_map(|it| &it.wrong).collect();
    assert!(wrong.is_empty(), "BULKHEAD_SEED={seed}: {wrong:#?}");
    assert!(device.is_open() && device.stats().losses == 0, "{device:?}");
}

fn go(backend: &GpuBackend, folder: &Path, name: &str, family: &mut Family) {
    family.cases += 1;
    let case = Case::read(folder, name).unwrap();
    let file = Mapped::copied(&pack(&case.onnx, &Pack::default()).unwrap().bytes).unwrap();
    let model = backend.load(&file).unwrap();
    let inputs = Inputs::new(case.inputs.clone()).unwrap();
    let answer = match model.infer(inputs.clone()) {
        Ok(answer) => answer,
        Err(error) => return family.wrong.push(format!("{name}: {error}")),
    };
    let any: &dyn Any = &*model;
    // What has no plan, or one without steps, is the CPU's.
    if let Some(placed) = any.downcast_ref::<PlacedModel>() {
        if placed.answered_by_device() == 0 {
            family.wrong.push(format!("{name}: the CPU answered"));
        }
        let any: &dyn Any = &**placed.on_cpu();
        let plan = any.downcast_ref::<PlannedModel>().unwrap().plan().plan();
        let is_whole = where_steps_run(plan).iter().all(|(_, it)| !matches!(it, Place::Cpu { .. }));
        family.on_device += usize::from(is_whole);
    }
    if !case.is_answered_by(answer.tensors()) {
        let on_cpu = CpuBackend::default().load(&file).unwrap().infer(inputs);
        let on_cpu = on_cpu.is_ok_and(|it| case.is_answered_by(it.tensors()));
        let by_cpu = if on_cpu { "right" } else { "wrong too" };
        let difference = difference(&case, answer.tensors());
        family
            .wrong
            .push(format!("{name} {:?}: {difference}; the CPU is {by_cpu}", operators(&case)));
    }
}

fn operators(case: &Case) -> Vec<String> {
    let model = ModelProto::decode(&*case.onnx).unwrap();
    model.graph.unwrap().node.into_iter().map(|it| it.op_type).collect()
}

/// The first number that is far from what is expected, and how many are not equal to it.
fn difference(case: &Case, answer: &[Tensor]) -> String {
    let (Some(found), Some(expected)) = (answer.first(), case.expected.first()) else {
        return "no answer".to_owned();
    };
    if (found.shape(), found.datatype()) != (expected.shape(), expected.datatype()) {
        let of = |it: &Tensor| format!("{} {:?}", it.datatype(), it.shape());
        return format!("found {}, expected {}", of(found), of(expected));
    }
    let (found, all) = (numbers(found.data()), numbers(expected.data()));
    let mut differ: Vec<(usize, f64, f64)> = (0..)
        .zip(found.iter().zip(&all))
        .filter(|(_, (found, expected))| {
            found != expected && !(found.is_nan() && expected.is_nan())
        })
        .map(|(at, (found, expected))| (at, *found, *expected))
        .collect();
    let apart = |it: &(usize, f64, f64)| {
        let apart = (it.1 - it.2).abs();
        if apart.is_nan() { f64::INFINITY } else { apart }
    };
    differ.sort_by(|a, b| apart(b).total_cmp(&apart(a)));
    let Some((at, found, expected)) = differ.first() else { return "nothing differs".to_owned() };
    format!(
        "{} of {} differ; {at}: found {found:e}, expected {expected:e}",
        differ.len(),
        all.len()
    )
}
