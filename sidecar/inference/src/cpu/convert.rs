//! Tensors of the protocol to tensors of tract, and back.

use tract_onnx::prelude::{
    Datum, DatumType, TValue, Tensor as TractTensor, TractResult, tract_ndarray,
};

use super::confined::shortened;
use crate::{DataType, InferError, Tensor, TensorData};

/// The tract datatype of `datatype`.
pub(super) const fn datum_type(datatype: DataType) -> DatumType {
    match datatype {
        DataType::Bool => DatumType::Bool,
        DataType::Uint8 => DatumType::U8,
        DataType::Uint16 => DatumType::U16,
        DataType::Uint32 => DatumType::U32,
        DataType::Uint64 => DatumType::U64,
        DataType::Int8 => DatumType::I8,
        DataType::Int16 => DatumType::I16,
        DataType::Int32 => DatumType::I32,
        DataType::Int64 => DatumType::I64,
        DataType::Fp16 => DatumType::F16,
        DataType::Fp32 => DatumType::F32,
        DataType::Fp64 => DatumType::F64,
        DataType::Bytes => DatumType::String,
    }
}

/// The datatype in which a tract tensor is answered.
pub(super) const fn datatype(datum_type: DatumType) -> Option<DataType> {
    Some(match datum_type {
        DatumType::Bool => DataType::Bool,
        DatumType::U8 => DataType::Uint8,
        DatumType::U16 => DataType::Uint16,
        DatumType::U32 => DataType::Uint32,
        DatumType::U64 => DataType::Uint64,
        DatumType::I8 => DataType::Int8,
        DatumType::I16 => DataType::Int16,
        DatumType::I32 => DataType::Int32,
        DatumType::I64 => DataType::Int64,
        DatumType::F16 => DataType::Fp16,
        DatumType::F32 => DataType::Fp32,
        DatumType::F64 => DataType::Fp64,
        DatumType::String => DataType::Bytes,
        _ => return None,
    })
}

/// Copies a tensor into tract's alignment.
pub(super) fn to_tract(tensor: Tensor) -> Result<TValue, InferError> {
    let (name, shape, data) = tensor.into_parts();
    let dims: Vec<usize> = shape
        .iter()
        .map(|dim| usize::try_from(*dim))
        .collect::<Result<_, _>>()
        .map_err(|_| InferError::ShapeTooLarge { input: name.clone(), shape })?;
    let converted = match data {
        TensorData::Bool(values) => TractTensor::from_shape(&dims, &values),
        TensorData::Uint8(values) => TractTensor::from_shape(&dims, &values),
        TensorData::Uint16(values) => TractTensor::from_shape(&dims, &values),
        TensorData::Uint32(values) => TractTensor::from_shape(&dims, &values),
        TensorData::Uint64(values) => TractTensor::from_shape(&dims, &values),
        TensorData::Int8(values) => TractTensor::from_shape(&dims, &values),
        TensorData::Int16(values) => TractTensor::from_shape(&dims, &values),
        TensorData::Int32(values) => TractTensor::from_shape(&dims, &values),
        TensorData::Int64(values) => TractTensor::from_shape(&dims, &values),
        TensorData::Fp16(values) => TractTensor::from_shape(&dims, &values),
        TensorData::Fp32(values) => TractTensor::from_shape(&dims, &values),
        TensorData::Fp64(values) => TractTensor::from_shape(&dims, &values),
        TensorData::Bytes(values) => strings(&dims, texts(&name, values)?),
    };
    converted.map(TValue::from).map_err(|error| failed(&error))
}

fn texts(input: &str, values: Vec<Vec<u8>>) -> Result<Vec<String>, InferError> {
    values
        .into_iter()
        .enumerate()
        .map(|(index, bytes)| {
            String::from_utf8(bytes)
                .map_err(|_| InferError::NotUtf8 { input: input.to_owned(), index })
        })
        .collect()
}

fn strings(dims: &[usize], texts: Vec<String>) -> TractResult<TractTensor> {
    Ok(tract_ndarray::ArrayD::from_shape_vec(dims, texts)?.into())
}

/// Copies a tensor out of tract.
pub(super) fn from_tract(name: &str, value: &TractTensor) -> Result<Tensor, InferError> {
    let data = read(value).map_err(|error| failed(&error))?;
    let shape = value.shape().iter().map(|dim| *dim as u64).collect();
    Tensor::new(name, shape, data)
}

fn read(value: &TractTensor) -> TractResult<TensorData> {
    fn values<T: Datum + Clone>(value: &TractTensor) -> TractResult<Vec<T>> {
        Ok(value.try_as_plain_ram()?.as_slice::<T>()?.to_vec())
    }
    Ok(match value.datum_type() {
        DatumType::Bool => TensorData::Bool(values(value)?),
        DatumType::U8 => TensorData::Uint8(values(value)?),
        DatumType::U16 => TensorData::Uint16(values(value)?),
        DatumType::U32 => TensorData::Uint32(values(value)?),
        DatumType::U64 => TensorData::Uint64(values(value)?),
        DatumType::I8 => TensorData::Int8(values(value)?),
        DatumType::I16 => TensorData::Int16(values(value)?),
        DatumType::I32 => TensorData::Int32(values(value)?),
        DatumType::I64 => TensorData::Int64(values(value)?),
        DatumType::F16 => TensorData::Fp16(values(value)?),
        DatumType::F32 => TensorData::Fp32(values(value)?),
        DatumType::F64 => TensorData::Fp64(values(value)?),
        DatumType::String => TensorData::Bytes(
            values::<String>(value)?.into_iter().map(String::into_bytes).collect(),
        ),
        other => {
            let refusal = format!("an output has datatype {other:?}, which the protocol lacks");
            return Err(std::io::Error::other(refusal).into());
        }
    })
}

/// An error of tract, with its causes.
pub(super) fn failed(error: &tract_onnx::prelude::TractError) -> InferError {
    InferError::Failed { detail: shortened(&format!("{error:#}")) }
}
