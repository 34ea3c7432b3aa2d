//! A test of ONNX's, as `cases.py` writes it.

use std::{fs, path::Path};

use half::f16;
use inference::{Tensor, TensorData};
use prost::Message;
use serde_json::Value;
use tract_onnx::pb::{TensorProto, tensor_proto::DataType};

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

pub fn numbers(data: &TensorData) -> Vec<f64> {
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
pub struct Case {
    pub onnx: Vec<u8>,
    pub inputs: Vec<Tensor>,
    pub expected: Vec<Tensor>,
    relative: f64,
    absolute: f64,
}

impl Case {
    /// None where a tensor has a datatype that the protocol does not carry.
    pub fn read(folder: &Path, name: &str) -> Option<Self> {
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

    pub fn is_answered_by(&self, answer: &[Tensor]) -> bool {
        let mut pairs = answer.iter().zip(&self.expected);
        answer.len() == self.expected.len()
            && pairs.all(|(found, it)| is_same(found, it, self.relative, self.absolute))
    }

    /// Whether an answer differs by rounding alone.
    pub fn rounds_to(&self, answer: &[Tensor]) -> bool {
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
