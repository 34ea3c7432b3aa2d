//! ONNX's own tests of single operators, and a table of how each goes, here and by tract alone.
//!
//! The table, `onnx_nodes/table.txt`, is what is published: a test that goes otherwise than it
//! says fails this one, for the better too. `BULKHEAD_BLESS=1` writes it anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

#[path = "onnx_nodes/alone.rs"]
mod alone;
#[path = "onnxruntime/python.rs"]
mod python;

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use artifact::Mapped;
use half::f16;
use inference::{Backend, Inputs, Pack, Tensor, TensorData, cpu::CpuBackend, pack};
use prost::Message;
use serde_json::Value;
use tract_onnx::pb::{TensorProto, tensor_proto::DataType};

/// How a test goes, by the name that the table gives it.
type How = &'static str;
const PLAN: How = "plan";
const TRACT: How = "tract";
const OUTSIDE: How = "outside"; // A datatype or a shape that the protocol does not carry.
const REFUSED: How = "refused"; // The model does not load.
const FAILS: How = "fails"; // It loads, and does not answer.
const ROUNDS: How = "rounds"; // It answers as exactly as its floats are, and not as the test asks.
const WRONG: How = "wrong"; // It answers otherwise.

/// How far rounding may bring an answer from what is expected, relative to the largest number of
/// the tensor: two units in the last place of a 16-bit float, and 32 of a 32-bit one.
const ROUNDING: [f64; 2] = [1.0 / 512.0, 1.0 / 262_144.0];

fn elements<const N: usize, T>(raw: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    raw.chunks_exact(N).map(|bytes| read(bytes.try_into().unwrap())).collect()
}

/// A tensor of the protocol, where it carries such.
fn tensor(name: &str, bytes: &[u8]) -> Option<Tensor> {
    let proto = TensorProto::decode(bytes).unwrap();
    let raw = &*proto.raw_data;
    let data = match DataType::try_from(proto.data_type).unwrap() {
        DataType::Bool => TensorData::Bool(raw.iter().map(|it| *it != 0).collect()),
        DataType::Uint8 => TensorData::Uint8(raw.to_vec()),
        DataType::Uint16 => TensorData::Uint16(elements(raw, u16::from_le_bytes)),
        DataType::Uint32 => TensorData::Uint32(elements(raw, u32::from_le_bytes)),
        DataType::Uint64 => TensorData::Uint64(elements(raw, u64::from_le_bytes)),
        DataType::Int8 => TensorData::Int8(elements(raw, i8::from_le_bytes)),
        DataType::Int16 => TensorData::Int16(elements(raw, i16::from_le_bytes)),
        DataType::Int32 => TensorData::Int32(elements(raw, i32::from_le_bytes)),
        DataType::Int64 => TensorData::Int64(elements(raw, i64::from_le_bytes)),
        DataType::Float16 => TensorData::Fp16(elements(raw, f16::from_le_bytes)),
        DataType::Float => TensorData::Fp32(elements(raw, f32::from_le_bytes)),
        DataType::Double => TensorData::Fp64(elements(raw, f64::from_le_bytes)),
        DataType::String => TensorData::Bytes(proto.string_data.clone()),
        _ => return None,
    };
    let shape = proto.dims.iter().map(|dim| *dim as u64).collect();
    Tensor::new(name, shape, data).ok()
}

fn numbers(data: &TensorData) -> Vec<f64> {
    match data {
        TensorData::Bool(it) => it.iter().map(|it| f64::from(u8::from(*it))).collect(),
        TensorData::Uint8(it) => it.iter().map(|it| f64::from(*it)).collect(),
        TensorData::Uint16(it) => it.iter().map(|it| f64::from(*it)).collect(),
        TensorData::Uint32(it) => it.iter().map(|it| f64::from(*it)).collect(),
        TensorData::Uint64(it) => it.iter().map(|it| *it as f64).collect(),
        TensorData::Int8(it) => it.iter().map(|it| f64::from(*it)).collect(),
        TensorData::Int16(it) => it.iter().map(|it| f64::from(*it)).collect(),
        TensorData::Int32(it) => it.iter().map(|it| f64::from(*it)).collect(),
        TensorData::Int64(it) => it.iter().map(|it| *it as f64).collect(),
        TensorData::Fp16(it) => it.iter().map(|it| it.to_f64()).collect(),
        TensorData::Fp32(it) => it.iter().map(|it| f64::from(*it)).collect(),
        TensorData::Fp64(it) => it.clone(),
        TensorData::Bytes(_) => vec![],
    }
}

fn is_same(found: &Tensor, expected: &Tensor, relative: f64, absolute: f64) -> bool {
    if found.shape() != expected.shape() || found.datatype() != expected.datatype() {
        return false;
    }
    if let TensorData::Bytes(texts) = found.data() {
        return matches!(expected.data(), TensorData::Bytes(it) if it == texts);
    }
    numbers(found.data()).iter().zip(numbers(expected.data())).all(|(found, expected)| {
        (found.is_nan() && expected.is_nan())
            || *found == expected
            || (found - expected).abs() <= absolute + relative * expected.abs()
    })
}

/// A test of ONNX's: a model, what it is asked, and what it should answer.
struct Case {
    onnx: Vec<u8>,
    inputs: Vec<Tensor>,
    expected: Vec<Tensor>,
    relative: f64,
    absolute: f64,
}

impl Case {
    /// None where a tensor has a datatype that the protocol does not carry.
    fn read(folder: &Path, name: &str) -> Option<Self> {
        let read = |file: String| fs::read(folder.join(file)).unwrap();
        let case: Value = serde_json::from_slice(&read(format!("{name}.json"))).unwrap();
        let names = case["inputs"].as_array().unwrap().iter().enumerate();
        let inputs =
            names.map(|(at, of)| tensor(of.as_str().unwrap(), &read(format!("{name}.in{at}.pb"))));
        let outputs = 0..case["outputs"].as_u64().unwrap();
        Some(Self {
            onnx: read(format!("{name}.onnx")),
            inputs: inputs.collect::<Option<_>>()?,
            expected: outputs
                .map(|at| tensor("", &read(format!("{name}.out{at}.pb"))))
                .collect::<Option<_>>()?,
            relative: case["relative"].as_f64().unwrap(),
            absolute: case["absolute"].as_f64().unwrap(),
        })
    }

    fn is_answered_by(&self, answer: &[Tensor]) -> bool {
        let mut pairs = answer.iter().zip(&self.expected);
        answer.len() == self.expected.len()
            && pairs.all(|(found, it)| is_same(found, it, self.relative, self.absolute))
    }

    /// Whether an answer differs by rounding alone.
    fn rounds_to(&self, answer: &[Tensor]) -> bool {
        let rounds = |(found, expected): (&Tensor, &Tensor)| {
            let largest =
                numbers(expected.data()).iter().fold(0.0_f64, |most, it| most.max(it.abs()));
            let rounding = match expected.data() {
                TensorData::Fp16(_) => ROUNDING[0],
                TensorData::Fp32(_) => ROUNDING[1],
                _ => 0.0,
            };
            is_same(found, expected, 0.0, rounding * largest)
        };
        answer.len() == self.expected.len() && answer.iter().zip(&self.expected).all(rounds)
    }
}

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
