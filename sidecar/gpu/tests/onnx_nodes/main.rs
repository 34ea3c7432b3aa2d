//! ONNX's own tests of single operators, of those that have a plan, and a table of how each goes on a
//! device.
//!
//! The table, `table.txt`, is what is published: a test that goes otherwise than it says fails this
//! one, for the better too. `BULKHEAD_BLESS=1` writes it anew. It holds for llvmpipe; on another device
//! (`BULKHEAD_TEST_DEVICE`) nothing but wrong answers fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

#[path = "../../../inference/tests/onnx_nodes/case.rs"]
mod case;
#[path = "../llvmpipe/mod.rs"]
mod llvmpipe;
#[path = "../../../inference/tests/onnxruntime/python.rs"]
mod python;

use std::{any::Any, collections::BTreeMap, fmt::Write, fs, path::Path};

use artifact::Mapped;
use case::Case;
use gpu::{GpuBackend, Place, PlacedModel, where_steps_run};
use inference::{Backend, Inputs, Pack, cpu::PlannedModel, pack};
use llvmpipe::{backend, open, settings};

/// How a test goes, by the name that the table gives it.
type How = &'static str;
const DEVICE: How = "device"; // Every step is done by the device.
const MIXED: How = "mixed"; // The CPU does some of them.
const CPU: How = "cpu"; // The CPU does all of them, or there is none to do.
const REFUSED: How = "refused"; // The device was to do it, and the CPU did: what it says is an error.
const FAILS: How = "fails"; // It is not answered, on the CPU neither.
const ROUNDS: How = "rounds"; // It answers as exactly as its floats are, and not as the test asks.
const WRONG: How = "wrong"; // It answers otherwise.

/// Tests that may go wrong, and why.
const IGNORED: [(&str, &str); 0] = [];

fn how(backend: &GpuBackend, case: &Case) -> Option<How> {
    let packed = pack(&case.onnx, &Pack::default()).ok()?;
    if !matches!(packed.path, inference::Path::Plan { .. }) {
        return None;
    }
    let model = backend.load(&Mapped::copied(&packed.bytes).unwrap()).ok()?;
    let any: &dyn Any = &*model;
    let placed = any.downcast_ref::<PlacedModel>();
    let answer = Inputs::new(case.inputs.clone()).and_then(|inputs| model.infer(inputs));
    let Ok(answer) = answer else { return Some(FAILS) };
    let way = match placed {
        None => CPU,
        Some(placed) if placed.answered_by_device() == 0 => REFUSED,
        Some(placed) => {
            let any: &dyn Any = &**placed.on_cpu();
            let plan = any.downcast_ref::<PlannedModel>().unwrap().plan().plan();
            let on_cpu = |(_, place): &(&str, Place)| matches!(place, Place::Cpu { .. });
            if where_steps_run(plan).iter().any(on_cpu) { MIXED } else { DEVICE }
        }
    };
    Some(match answer.tensors() {
        answer if case.is_answered_by(answer) => way,
        answer if case.rounds_to(answer) => ROUNDS,
        _ => WRONG,
    })
}

#[test]
fn onnxs_tests_of_operators_go_as_the_table_says() {
    let other = std::env::var("BULKHEAD_TEST_DEVICE").ok();
    let Some(device) = open(settings()) else { return };
    let place = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = place.join("../inference/tests/onnx_nodes/cases.py");
    let Some(folder) = python::run(&script, "onnx-nodes-gpu") else { return };
    let backend = backend(&device);
    let mut table = BTreeMap::new();
    for entry in fs::read_dir(&*folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "onnx") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let how = Case::read(&folder, &name).and_then(|case| how(&backend, &case));
            table.extend(how.map(|how| (name, how)));
        }
    }
    assert!(device.is_open() && device.stats().losses == 0, "{device:?}");
    let wrong: Vec<_> = table
        .iter()
        .filter(|(name, how)| **how == WRONG && !IGNORED.iter().any(|(it, _)| it == name))
        .collect();
    if other.is_some() {
        assert!(wrong.is_empty(), "{wrong:#?}");
        return;
    }
    let count = |how: How| table.values().filter(|it| **it == how).count();
    let mut text = format!(
        "# ONNX's tests of single operators that have a plan, on llvmpipe.\n\
         # tests: {}\n\
         # pass: {}, of these wholly on the device: {}\n\
         # device, mixed, cpu: passes; the device does all steps, some, none.\n\
         # refused: a run that the device was to do went to the CPU. fails, wrong: not.\n\
         # rounds: does not pass, by the rounding of 16-bit or 32-bit floats alone.\n",
        table.len(),
        count(DEVICE) + count(MIXED) + count(CPU),
        count(DEVICE),
    );
    for (name, how) in &table {
        let why = IGNORED.iter().find(|(it, _)| it == name).map_or("", |(_, why)| why);
        writeln!(text, "{}", format!("{how:8}{name} {why}").trim_end()).unwrap();
    }
    let published = place.join("tests/onnx_nodes/table.txt");
    if std::env::var_os("BULKHEAD_BLESS").is_some() {
        fs::write(&published, &text).unwrap();
    }
    let expected = fs::read_to_string(&published).unwrap_or_default();
    let difference: Vec<&str> =
        text.lines().filter(|line| !expected.lines().any(|it| it == *line)).collect();
    assert_eq!(text, expected, "not in the table: {difference:#?}; BULKHEAD_BLESS=1 writes it");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
