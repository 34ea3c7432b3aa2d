//! Tensors whose shape and data agree.

use half::f16;

use crate::{DataType, InferError};

/// The elements of a tensor, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub enum TensorData {
    /// `BOOL`.
    Bool(Vec<bool>),
    /// `UINT8`.
    Uint8(Vec<u8>),
    /// `UINT16`.
    Uint16(Vec<u16>),
    /// `UINT32`.
    Uint32(Vec<u32>),
    /// `UINT64`.
    Uint64(Vec<u64>),
    /// `INT8`.
    Int8(Vec<i8>),
    /// `INT16`.
    Int16(Vec<i16>),
    /// `INT32`.
    Int32(Vec<i32>),
    /// `INT64`.
    Int64(Vec<i64>),
    /// `FP16`.
    Fp16(Vec<f16>),
    /// `FP32`.
    Fp32(Vec<f32>),
    /// `FP64`.
    Fp64(Vec<f64>),
    /// `BYTES`: each element is a string of bytes, which ONNX wants to be UTF-8.
    Bytes(Vec<Vec<u8>>),
}

macro_rules! each {
    ($data:expr, $values:ident => $result:expr) => {
        match $data {
            TensorData::Bool($values) => $result,
            TensorData::Uint8($values) => $result,
            TensorData::Uint16($values) => $result,
            TensorData::Uint32($values) => $result,
            TensorData::Uint64($values) => $result,
            TensorData::Int8($values) => $result,
            TensorData::Int16($values) => $result,
            TensorData::Int32($values) => $result,
            TensorData::Int64($values) => $result,
            TensorData::Fp16($values) => $result,
            TensorData::Fp32($values) => $result,
            TensorData::Fp64($values) => $result,
            TensorData::Bytes($values) => $result,
        }
    };
}

impl TensorData {
    /// What the elements are.
    pub const fn datatype(&self) -> DataType {
        match self {
            Self::Bool(_) => DataType::Bool,
            Self::Uint8(_) => DataType::Uint8,
            Self::Uint16(_) => DataType::Uint16,
            Self::Uint32(_) => DataType::Uint32,
            Self::Uint64(_) => DataType::Uint64,
            Self::Int8(_) => DataType::Int8,
            Self::Int16(_) => DataType::Int16,
            Self::Int32(_) => DataType::Int32,
            Self::Int64(_) => DataType::Int64,
            Self::Fp16(_) => DataType::Fp16,
            Self::Fp32(_) => DataType::Fp32,
            Self::Fp64(_) => DataType::Fp64,
            Self::Bytes(_) => DataType::Bytes,
        }
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        each!(self, values => values.len())
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A named tensor that has exactly as many elements as its shape says.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    name: String,
    shape: Vec<u64>,
    data: TensorData,
}

impl Tensor {
    /// A tensor of `shape`; an empty shape is a scalar, with one element.
    ///
    /// # Errors
    /// [`InferError::ShapeTooLarge`] where the product of the shape passes 64 bits,
    /// [`InferError::LengthMismatch`] where it is not the number of elements.
    pub fn new(
        name: impl Into<String>,
        shape: Vec<u64>,
        data: TensorData,
    ) -> Result<Self, InferError> {
        let name = name.into();
        let found = data.len() as u64;
        match shape.iter().try_fold(1_u64, |product, dim| product.checked_mul(*dim)) {
            Some(expected) if expected == found => Ok(Self { name, shape, data }),
            Some(expected) => {
                Err(InferError::LengthMismatch { input: name, shape, expected, found })
            }
            None => Err(InferError::ShapeTooLarge { input: name, shape }),
        }
    }

    /// The tensor's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the elements are.
    pub const fn datatype(&self) -> DataType {
        self.data.datatype()
    }

    /// The dimensions, outermost first.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// The elements, in row-major order.
    pub const fn data(&self) -> &TensorData {
        &self.data
    }

    /// Name, shape and elements.
    pub fn into_parts(self) -> (String, Vec<u64>, TensorData) {
        (self.name, self.shape, self.data)
    }
}
