//! ONNX's own tests of single operators, and a table of how each goes.
//!
//! The table, `onnx_nodes/table.txt`, is what is published: a test that goes otherwise than it
//! says fails this one, for the better too. `BULKHEAD_BLESS=1` writes it anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

#[path = "onnxruntime/python.rs"]
mod python;

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use artifact::{Identity, Mapped};
use half::f16;
use inference::{
    Backend, Inputs, Pack, Tensor, TensorData, cpu::CpuBackend, pack, plan::WeightKind,
};
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
const WRONG: How = "wrong"; // It answers otherwise.

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

fn how(folder: &Path, name: &str) -> How {
    let read = |file: String| fs::read(folder.join(file)).unwrap();
    let case: Value = serde_json::from_slice(&read(format!("{name}.json"))).unwrap();
    let tensors: Option<Vec<Tensor>> = case["inputs"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .map(|(at, of)| tensor(of.as_str().unwrap(), &read(format!("{name}.in{at}.pb"))))
        .collect();
    let expected: Option<Vec<Tensor>> = (0..case["outputs"].as_u64().unwrap())
        .map(|at| tensor("", &read(format!("{name}.out{at}.pb"))))
        .collect();
    let (Some(tensors), Some(expected)) = (tensors, expected) else { return OUTSIDE };
    if tensors.iter().any(|it| it.shape().contains(&0)) {
        return OUTSIDE;
    }
    let options = Pack {
        identity: Identity::default(),
        weights: WeightKind::F32,
        largest_deviation: 0.0,
        with_source: true,
    };
    let Ok(packed) = pack(&read(format!("{name}.onnx")), &options) else { return REFUSED };
    let path = if matches!(packed.path, inference::Path::Plan { .. }) { PLAN } else { TRACT };
    let file = Mapped::copied(&packed.bytes).unwrap();
    let Ok(model) = CpuBackend::default().load(&file) else { return REFUSED };
    let answer = Inputs::new(tensors).and_then(|inputs| model.infer(inputs));
    let Ok(answer) = answer else { return FAILS };
    let (relative, absolute) =
        (case["relative"].as_f64().unwrap(), case["absolute"].as_f64().unwrap());
    let mut pairs = answer.tensors().iter().zip(&expected);
    let same = answer.tensors().len() == expected.len()
        && pairs.all(|(found, expected)| is_same(found, expected, relative, absolute));
    if same { path } else { WRONG }
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
            let how = how(&folder, &name);
            table.insert(name, how);
        }
    }
    let _ = std::panic::take_hook();
    let count = |how: How| table.values().filter(|it| **it == how).count();
    let mut text = format!(
        "# ONNX's tests of single operators: {} of {} pass, {} of them by a plan.\n\
         # plan, tract: passes, run so. outside: not of the protocol. refused, fails, wrong: not.\n",
        count(PLAN) + count(TRACT),
        table.len(),
        count(PLAN),
    );
    for (name, how) in &table {
        writeln!(text, "{how:8}{name}").unwrap();
    }
    let published = place.join("table.txt");
    if std::env::var_os("BULKHEAD_BLESS").is_some() {
        fs::write(&published, &text).unwrap();
    }
    let expected = fs::read_to_string(&published).unwrap();
    let difference: Vec<&str> =
        text.lines().filter(|line| !expected.lines().any(|it| it == *line)).collect();
    assert_eq!(text, expected, "not in the table: {difference:#?}; BULKHEAD_BLESS=1 writes it");
}
