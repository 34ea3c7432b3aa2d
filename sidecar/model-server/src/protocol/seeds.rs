//! The second reading of a request: only the data of the inputs that have it in the JSON, each
//! into elements of its datatype.

use std::fmt;

use inference::TensorData;
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    request::Place,
    spec::Spec,
    tensors::{DataSeed, Failure},
};

/// The whole body, of which only the data of the inputs is read.
pub(super) struct BodySeed<'s> {
    pub(super) specs: &'s [(Spec, Place)],
    pub(super) failure: &'s Failure,
}

impl<'de> DeserializeSeed<'de> for BodySeed<'_> {
    type Value = Vec<TensorData>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for BodySeed<'_> {
    type Value = Vec<TensorData>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut data = vec![];
        while let Some(key) = object.next_key::<String>()? {
            if key == "inputs" {
                let inputs = InputsSeed { specs: self.specs, failure: self.failure };
                data = object.next_value_seed(inputs)?;
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(data)
    }
}

struct InputsSeed<'s> {
    specs: &'s [(Spec, Place)],
    failure: &'s Failure,
}

impl<'de> DeserializeSeed<'de> for InputsSeed<'_> {
    type Value = Vec<TensorData>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for InputsSeed<'_> {
    type Value = Vec<TensorData>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of inputs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut data = vec![];
        for (spec, place) in self.specs {
            if *place == Place::Json {
                let input = InputSeed { spec, failure: self.failure };
                data.extend(array.next_element_seed(input)?);
            } else {
                array.next_element::<IgnoredAny>()?;
            }
        }
        // Asked once more, so that the parser sees the end of the array.
        array.next_element::<IgnoredAny>()?;
        Ok(data)
    }
}

struct InputSeed<'s> {
    spec: &'s Spec,
    failure: &'s Failure,
}

impl<'de> DeserializeSeed<'de> for InputSeed<'_> {
    type Value = TensorData;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<TensorData, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for InputSeed<'_> {
    type Value = TensorData;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an input as an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<TensorData, A::Error> {
        let mut data = None;
        while let Some(key) = object.next_key::<String>()? {
            if key == "data" {
                let seed = DataSeed { spec: self.spec, failure: self.failure };
                data = Some(object.next_value_seed(seed)?);
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        data.ok_or_else(|| A::Error::missing_field("data"))
    }
}
