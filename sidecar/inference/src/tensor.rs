//! Tensors whose shape and data agree.

use half::f16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{DataType, InferError};

/// What an allocator takes for the smallest piece of memory, with what it notes of it.
const LEAST_ALLOCATED_BYTES: usize = 32;

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

    /// How much memory the elements hold, in bytes. Of strings that is more than their bytes: each has
    /// a place in a list, and memory of its own.
    pub fn memory_bytes(&self) -> u64 {
        let bytes = match self {
            Self::Bytes(values) => {
                let strings = values.iter().map(|it| it.capacity().max(LEAST_ALLOCATED_BYTES));
                values.capacity() * size_of::<Vec<u8>>() + strings.sum::<usize>()
            }
            _ => each!(self, values => memory_of(values)),
        };
        bytes as u64
    }

    /// The elements as they lie in memory, where they are of a kind that plans know.
    pub fn bytes(&self) -> Option<&[u8]> {
        Some(match self {
            Self::Bool(values) => values.as_bytes(),
            Self::Int32(values) => values.as_bytes(),
            Self::Int64(values) => values.as_bytes(),
            Self::Fp32(values) => values.as_bytes(),
            Self::Fp64(values) => values.as_bytes(),
            _ => return None,
        })
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn memory_of<T>(values: &Vec<T>) -> usize {
    values.capacity() * size_of::<T>()
}

impl Default for TensorData {
    fn default() -> Self {
        Self::Fp32(vec![])
    }
}

/// A named tensor that has exactly as many elements as its shape says.
#[derive(Debug, Clone, Default, PartialEq)]
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

    /// Makes it another tensor, in the memory that it has: of `datatype`, which is one of those that
    /// plans know, with the elements that `bytes` are.
    pub(crate) fn write(
        &mut self,
        name: &str,
        shape: impl Iterator<Item = u64>,
        datatype: DataType,
        bytes: &[u8],
    ) {
        if self.name != name {
            name.clone_into(&mut self.name);
        }
        self.shape.clear();
        self.shape.extend(shape);
        if self.data.datatype() != datatype {
            self.data = match datatype {
                DataType::Bool => TensorData::Bool(vec![]),
                DataType::Int32 => TensorData::Int32(vec![]),
                DataType::Int64 => TensorData::Int64(vec![]),
                DataType::Fp64 => TensorData::Fp64(vec![]),
                _ => TensorData::Fp32(vec![]),
            };
        }
        fn fill<T: FromBytes + Immutable + KnownLayout + Clone>(to: &mut Vec<T>, bytes: &[u8]) {
            to.clear();
            to.extend_from_slice(<[T]>::ref_from_bytes(bytes).unwrap_or_default());
        }
        match &mut self.data {
            TensorData::Bool(values) => {
                values.clear();
                values.extend(bytes.iter().map(|byte| *byte != 0));
            }
            TensorData::Int32(values) => fill(values, bytes),
            TensorData::Int64(values) => fill(values, bytes),
            TensorData::Fp32(values) => fill(values, bytes),
            TensorData::Fp64(values) => fill(values, bytes),
            _ => {}
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
