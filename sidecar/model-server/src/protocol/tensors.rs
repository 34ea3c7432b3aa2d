//! The `data` of one input: JSON arrays, flat or nested, straight into elements of the datatype.
//!
//! Nothing between the text and the elements is built, so a body costs memory in proportion to
//! its elements and not to what a tree of JSON values would take.

use std::{cell::RefCell, fmt};

use inference::{DataType, TensorData};
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, SeqAccess, Visitor},
};
use tenancy::problem::Problem;

use super::{
    ProtocolError,
    elements::{Element, Scalar},
    spec::Spec,
};

/// The first refusal, which serde's own errors cannot carry.
pub(super) type Failure = RefCell<Option<ProtocolError>>;

/// Reads the data of the input that `spec` describes.
pub(super) struct DataSeed<'s> {
    pub(super) spec: &'s Spec,
    pub(super) failure: &'s Failure,
}

impl<'de> DeserializeSeed<'de> for DataSeed<'_> {
    type Value = TensorData;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<TensorData, D::Error> {
        Ok(match self.spec.datatype {
            DataType::Bool => TensorData::Bool(self.elements(json)?),
            DataType::Uint8 => TensorData::Uint8(self.elements(json)?),
            DataType::Uint16 => TensorData::Uint16(self.elements(json)?),
            DataType::Uint32 => TensorData::Uint32(self.elements(json)?),
            DataType::Uint64 => TensorData::Uint64(self.elements(json)?),
            DataType::Int8 => TensorData::Int8(self.elements(json)?),
            DataType::Int16 => TensorData::Int16(self.elements(json)?),
            DataType::Int32 => TensorData::Int32(self.elements(json)?),
            DataType::Int64 => TensorData::Int64(self.elements(json)?),
            DataType::Fp32 => TensorData::Fp32(self.elements(json)?),
            DataType::Fp64 => TensorData::Fp64(self.elements(json)?),
            DataType::Bytes => TensorData::Bytes(self.elements(json)?),
            DataType::Fp16 => {
                let detail = format!(
                    "expected input `{}` in a datatype that JSON can carry, found FP16, for which \
                     the protocol has no JSON form: send it behind the JSON (`binary_data_size`)",
                    self.spec.name
                );
                self.failure.replace(Some(ProtocolError::invalid(detail)));
                return Err(D::Error::custom("FP16"));
            }
        })
    }
}

impl DataSeed<'_> {
    fn elements<'de, T: Element, D: Deserializer<'de>>(&self, json: D) -> Result<Vec<T>, D::Error> {
        let mut collector =
            Collector { spec: self.spec, failure: self.failure, elements: Vec::<T>::new() };
        Level { collector: &mut collector, depth: 0 }.deserialize(json)?;
        Ok(collector.elements)
    }
}

struct Collector<'s, T> {
    spec: &'s Spec,
    failure: &'s Failure,
    elements: Vec<T>,
}

impl<T: Element> Collector<'_, T> {
    fn push<E: Error>(&mut self, scalar: Scalar<'_>) -> Result<(), E> {
        let (name, index) = (&self.spec.name, self.elements.len());
        if index as u64 >= self.spec.elements {
            return Err(self.bad_shape(format!(
                "expected {} elements for shape {:?} of input `{name}`, found more",
                self.spec.elements, self.spec.shape
            )));
        }
        let element = T::from_scalar(scalar).ok_or_else(|| {
            self.refuse(ProtocolError::invalid(format!(
                "expected element {index} of input `{name}` to be {}, as its datatype {} says, \
                 found {}",
                T::EXPECTED,
                self.spec.datatype,
                scalar.describe()
            )))
        })?;
        self.elements.push(element);
        Ok(())
    }

    fn bad_shape<E: Error>(&self, detail: String) -> E {
        self.refuse(ProtocolError::new(Problem::BadShape, detail))
    }

    fn refuse<E: Error>(&self, error: ProtocolError) -> E {
        let text = error.to_string();
        self.failure.replace(Some(error));
        E::custom(text)
    }
}

/// What stands at one place in nested arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Element,
    Array,
}

/// A place in nested arrays; `data` itself is at depth 0.
struct Level<'a, 's, T> {
    collector: &'a mut Collector<'s, T>,
    depth: usize,
}

impl<'de, T: Element> DeserializeSeed<'de> for Level<'_, '_, T> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Found, D::Error> {
        json.deserialize_any(self)
    }
}

impl<T: Element> Level<'_, '_, T> {
    fn element<E: Error>(self, scalar: Scalar<'_>) -> Result<Found, E> {
        if self.depth == 0 {
            return Err(self.collector.refuse(ProtocolError::invalid(format!(
                "expected `data` of input `{}` to be an array, found {}",
                self.collector.spec.name,
                scalar.describe()
            ))));
        }
        self.collector.push(scalar)?;
        Ok(Found::Element)
    }

    /// Flat data may have any length here, since its elements are counted; nested data has to
    /// follow the shape.
    fn check<E: Error>(&self, found: Option<Found>, count: u64) -> Result<(), E> {
        let flat = self.depth == 0 && found != Some(Found::Array);
        let shape = &self.collector.spec.shape;
        let innermost = self.depth + 1 == shape.len();
        let fits = match found {
            Some(Found::Array) => !innermost,
            Some(Found::Element) | None => innermost,
        };
        if flat || (fits && shape.get(self.depth) == Some(&count)) {
            return Ok(());
        }
        Err(self.ragged())
    }

    fn ragged<E: Error>(&self) -> E {
        let Spec { name, shape, .. } = self.collector.spec;
        self.collector.bad_shape(format!(
            "expected `data` of input `{name}` to be flat, or nested as its shape {shape:?} says, \
             found another nesting"
        ))
    }
}

impl<'de, T: Element> Visitor<'de> for Level<'_, '_, T> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} or an array", T::EXPECTED)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Found, A::Error> {
        if self.depth >= self.collector.spec.shape.len().max(1) {
            return Err(self.ragged());
        }
        let (mut found, mut count) = (None, 0);
        loop {
            let level = Level { collector: &mut *self.collector, depth: self.depth + 1 };
            let Some(next) = array.next_element_seed(level)? else { break };
            if *found.get_or_insert(next) != next {
                return Err(self.ragged());
            }
            count += 1;
        }
        self.check(found, count)?;
        Ok(Found::Array)
    }

    fn visit_unit<E: Error>(self) -> Result<Found, E> {
        self.element(Scalar::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Found, E> {
        self.element(Scalar::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Found, E> {
        self.element(Scalar::Unsigned(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Found, E> {
        self.element(Scalar::Signed(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Found, E> {
        self.element(Scalar::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Found, E> {
        self.element(Scalar::Text(value))
    }
}
