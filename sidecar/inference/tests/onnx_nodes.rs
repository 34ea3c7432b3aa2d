//! ONNX's own tests of single operators, and a table of how each goes, here and by tract alone.
//!
//! The table, `onnx_nodes/table.txt`, is what is published: a test that goes otherwise than it
//! says fails this one, for the better too. `BULKHEAD_BLESS=1` writes it anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

#[path = "onnx_nodes/alone.rs"]
mod alone;
#[path = "onnx_nodes/case.rs"]
mod case;
#[path = "onnxruntime/python.rs"]
mod python;

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use artifact::Mapped;
use case::Case;
use inference::{Backend, Inputs, Pack, cpu::CpuBackend, pack};

/// How a test goes, by the name that the table gives it.
type How = &'static str;
const PLAN: How = "plan";
const TRACT: How = "tract";
const OUTSIDE: How = "outside"; // A datatype or a shape that the protocol does not carry.
const REFUSED: How = "refused"; // The model does not load.
const FAILS: How = "fails"; // It loads, and does not answer.
const ROUNDS: How = "rounds"; // It answers as exactly as its floats are, and not as the test asks.
const WRONG: How = "wrong"; // It answers otherwise.

fn how(case: &Case) -> How {
    let Ok(packed) = pack(&case.onnx, &Pack::default()) else { return REFUSED };
    let path = if matches!(packed.path, inference::Path::Plan { .. }) { PLAN } else { TRACT };
    let file = Mapped::copied(&packed.bytes).unwrap();
    let Ok(model) = CpuBackend::default().load(&file) else { return REFUSED };
    let answer = Inputs::new(case.inputs.clone()).and_then(|inputs| model.infer(inputs));
    let Ok(answer) = answer else { return FAILS };
    match answer.tensors() {
        answer if case.is_answered_by(answer) => path,
        answer if case.rounds_to(answer) => ROUNDS,
        _ => WRONG,
    }
}

#[test]
fn onnxs_tests_of_operators_go_as_the_table_says() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx_nodes");
    let Some(folder) = python::run(&place.join("cases.py"), "onnx-nodes") else { return };
    // What panics inside is caught, and would be printed a hundred times.
    std::panic::set_hook(Box::new(|_| {}));
    let mut table = BTreeMap::new();
    for entry in fs::read_dir(&*folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "onnx") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let case = Case::read(&folder, &name);
            let how = case.as_ref().map_or(OUTSIDE, how);
            let by_tract = case.is_some_and(|case| alone::passes(&case));
            table.insert(name, (how, by_tract));
        }
    }
    let _ = std::panic::take_hook();
    let count = |of: fn(How, bool) -> bool| {
        table.values().filter(|(how, by_tract)| of(how, *by_tract)).count()
    };
    let passes = count(|how, _| how == PLAN || how == TRACT);
    let by_tract = count(|_, by_tract| by_tract);
    let mut text = format!(
        "# ONNX's tests of single operators.\n\
         # tests: {}\n\
         # pass: {passes}\n\
         # pass by a plan: {}\n\
         # pass by tract alone: {by_tract}\n\
         # plan, tract: passes, run so. outside: not of the protocol. refused, fails, wrong: not.\n\
         # rounds: does not pass, by the rounding of 16-bit or 32-bit floats alone.\n\
         # alone: tract alone passes it.\n",
        table.len(),
        count(|how, _| how == PLAN),
    );
    for (name, (how, by_tract)) in &table {
        writeln!(text, "{how:8}{:6}{name}", if *by_tract { "alone" } else { "" }).unwrap();
    }
    let published = place.join("table.txt");
    if std::env::var_os("BULKHEAD_BLESS").is_some() {
        fs::write(&published, &text).unwrap();
    }
    let expected = fs::read_to_string(&published).unwrap();
    let difference: Vec<&str> =
        text.lines().filter(|line| !expected.lines().any(|it| it == *line)).collect();
    assert!(passes >= by_tract, "{passes} pass, and {by_tract} by tract alone");
    assert_eq!(text, expected, "not in the table: {difference:#?}; BULKHEAD_BLESS=1 writes it");
}
