//! The body of an inference request.
//!
//! It is read twice. The first reading skips the data and learns names, shapes and datatypes,
//! which may stand behind the data; the second one reads the data into elements of that datatype.

use std::{cell::RefCell, fmt};

use inference::{DataType, InferError, Inputs, Tensor, TensorData};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use tenancy::problem::Problem;

use super::{
    ProtocolError,
    tensors::{DataSeed, Failure, Spec},
};

/// The longest part of the parser's message that is passed on: it may quote the body.
const LONGEST_MESSAGE_CHARS: usize = 200;

/// An inference request, its tensors checked against themselves and not against a model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InferRequest {
    pub(crate) id: Option<String>,
    pub(crate) inputs: Inputs,
    /// The names of the outputs that are asked for; none means all.
    pub(crate) outputs: Vec<String>,
}

#[derive(Deserialize)]
#[serde(expecting = "a JSON object with the field `inputs`")]
struct Outline {
    #[serde(default)]
    id: Option<String>,
    inputs: Vec<InputOutline>,
    #[serde(default)]
    outputs: Option<Vec<OutputOutline>>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with `name`, `shape`, `datatype` and `data`")]
struct InputOutline {
    name: String,
    shape: Vec<u64>,
    datatype: String,
    #[serde(default)]
    data: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with `name`")]
struct OutputOutline {
    name: String,
}

impl InferRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// `invalid_request`, `wrong_datatype` or `bad_shape`, with the input, and the element where
    /// one is at fault.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ProtocolError> {
        let outline: Outline = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
        let specs = outline
            .inputs
            .into_iter()
            .map(|input| input.spec(body.len() as u64))
            .collect::<Result<Vec<_>, _>>()?;
        let inputs = Inputs::new(tensors(body, &specs)?).map_err(refused)?;
        let outputs =
            outline.outputs.unwrap_or_default().into_iter().map(|output| output.name).collect();
        Ok(Self { id: outline.id, inputs, outputs })
    }
}

impl InputOutline {
    fn spec(self, body_bytes: u64) -> Result<Spec, ProtocolError> {
        let Self { name, shape, datatype, data } = self;
        let datatype: DataType = datatype.parse().map_err(|error| {
            ProtocolError::new(Problem::WrongDatatype, format!("input `{name}`: {error}"))
        })?;
        if data.is_none() {
            return Err(ProtocolError::invalid(format!(
                "expected `data` in input `{name}`, found none: shared memory and binary tensors \
                 are not supported"
            )));
        }
        let elements = shape.iter().try_fold(1_u64, |product, dim| product.checked_mul(*dim));
        // Each element takes a byte of the body at least.
        match elements.filter(|elements| *elements <= body_bytes) {
            Some(elements) => Ok(Spec { name, shape, datatype, elements }),
            None => Err(ProtocolError::new(
                Problem::BadShape,
                format!(
                    "expected the data of input `{name}` to fill its shape {shape:?}, found less"
                ),
            )),
        }
    }
}

fn tensors(body: &[u8], specs: &[Spec]) -> Result<Vec<Tensor>, ProtocolError> {
    let failure = RefCell::new(None);
    let seed = BodySeed { specs, failure: &failure };
    let data = seed.deserialize(&mut serde_json::Deserializer::from_slice(body));
    if let Some(refusal) = failure.take() {
        return Err(refusal);
    }
    let data = data.map_err(|error| unreadable(&error))?;
    if data.len() != specs.len() {
        return Err(ProtocolError::invalid("expected each input with its data"));
    }
    specs
        .iter()
        .zip(data)
        .map(|(spec, data)| {
            Tensor::new(spec.name.clone(), spec.shape.clone(), data).map_err(refused)
        })
        .collect()
}

fn refused(error: InferError) -> ProtocolError {
    ProtocolError::new(error.problem(), error.to_string())
}

fn unreadable(error: &serde_json::Error) -> ProtocolError {
    let message: String = error.to_string().chars().take(LONGEST_MESSAGE_CHARS).collect();
    ProtocolError::invalid(format!("the body is no inference request in JSON: {message}"))
}

/// The whole body, of which only the data of the inputs is read.
struct BodySeed<'s> {
    specs: &'s [Spec],
    failure: &'s Failure,
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
    specs: &'s [Spec],
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
        for spec in self.specs {
            let input = InputSeed { spec, failure: self.failure };
            data.extend(array.next_element_seed(input)?);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn parse(body: &Value) -> Result<InferRequest, ProtocolError> {
        InferRequest::parse(body.to_string().as_bytes())
    }

    fn input(datatype: &str, shape: &[u64], data: &Value) -> Value {
        json!({"inputs": [{"name": "x", "shape": shape, "datatype": datatype, "data": data}]})
    }

    fn data(datatype: &str, shape: &[u64], data: &Value) -> Result<TensorData, ProtocolError> {
        let request = parse(&input(datatype, shape, data))?;
        Ok(request.inputs.tensors()[0].data().clone())
    }

    fn problem(result: Result<TensorData, ProtocolError>) -> Option<Problem> {
        result.err().map(|error| error.problem)
    }

    #[test]
    fn flat_and_nested_data_are_the_same_tensor() {
        let expected = TensorData::Fp32(vec![1.0, 2.5, -3.0, 4.0]);
        assert_eq!(data("FP32", &[2, 2], &json!([1, 2.5, -3, 4.0])), Ok(expected.clone()));
        assert_eq!(data("FP32", &[2, 2], &json!([[1, 2.5], [-3, 4.0]])), Ok(expected));
        assert_eq!(data("INT64", &[1, 1], &json!([[7]])), Ok(TensorData::Int64(vec![7])));
        assert_eq!(data("BOOL", &[], &json!([true])), Ok(TensorData::Bool(vec![true])));
    }

    #[test]
    fn data_may_stand_before_the_datatype_that_it_has() {
        let body = br#"{"outputs":[{"name":"y","parameters":{}}],"inputs":[{"data":["a","\u00e9"],
            "parameters":{"z":[1]},"datatype":"BYTES","shape":[2],"name":"x"}],"id":"q"}"#;
        let request = InferRequest::parse(body).unwrap();
        let texts = vec![b"a".to_vec(), "é".as_bytes().to_vec()];
        assert_eq!(request.inputs.tensors()[0].data(), &TensorData::Bytes(texts));
        assert_eq!((request.id.as_deref(), &*request.outputs), (Some("q"), &["y".to_owned()][..]));
    }

    #[test]
    fn a_number_outside_its_datatype_is_refused_with_input_and_index() {
        for (datatype, outside) in [
            ("UINT8", json!(256)),
            ("UINT8", json!(-1)),
            ("INT8", json!(128)),
            ("INT32", json!(2_147_483_648_u64)),
            ("INT64", json!(9_223_372_036_854_775_808_u64)),
            ("UINT64", json!(-1)),
            ("INT64", json!(1.5)),
            ("FP32", json!(1e300)),
            ("FP32", json!(null)),
            ("FP32", json!("1")),
            ("FP64", json!(true)),
            ("BOOL", json!(1)),
            ("BYTES", json!(1)),
        ] {
            let refused = data(datatype, &[1], &json!([outside])).unwrap_err();
            assert_eq!(refused.problem, Problem::InvalidRequest, "{datatype} {outside}");
            assert!(refused.detail.contains("element 0 of input `x`"), "{}", refused.detail);
        }
    }

    #[test]
    fn the_ends_of_every_range_are_taken() {
        for (datatype, ends) in [
            ("UINT8", json!([0, 255])),
            ("INT8", json!([-128, 127])),
            ("UINT16", json!([0, 65_535])),
            ("INT16", json!([-32_768, 32_767])),
            ("UINT32", json!([0, u32::MAX])),
            ("INT32", json!([i32::MIN, i32::MAX])),
            ("UINT64", json!([0, u64::MAX])),
            ("INT64", json!([i64::MIN, i64::MAX])),
            ("FP32", json!([f32::MIN, f32::MAX])),
            ("FP64", json!([f64::MIN, f64::MAX])),
        ] {
            assert_eq!(data(datatype, &[2], &ends).map(|data| data.len()), Ok(2), "{datatype}");
        }
    }

    #[test]
    fn data_that_does_not_fill_its_shape_is_a_bad_shape() {
        for (shape, wrong) in [
            (&[2, 2][..], json!([1, 2, 3])),
            (&[2, 2], json!([1, 2, 3, 4, 5])),
            (&[2, 2], json!([[1, 2, 3], [4]])),
            (&[2, 2], json!([[1, 2], 3, 4])),
            (&[2, 2], json!([[[1, 2], [3, 4]]])),
            (&[4], json!([[1, 2], [3, 4]])),
            (&[2, 2, 1], json!([[1, 2], [3, 4]])),
            (&[u64::MAX, 2], json!([1])),
            (&[1 << 40], json!([1])),
            (&[], json!([])),
        ] {
            assert_eq!(problem(data("INT64", shape, &wrong)), Some(Problem::BadShape), "{wrong}");
        }
    }

    #[test]
    fn what_the_protocol_cannot_carry_is_refused_by_name() {
        assert_eq!(problem(data("FP16", &[1], &json!([1]))), Some(Problem::InvalidRequest));
        assert_eq!(problem(data("FLOAT", &[1], &json!([1]))), Some(Problem::WrongDatatype));
        assert_eq!(problem(data("FP32", &[1], &json!(1))), Some(Problem::InvalidRequest));
        assert_eq!(problem(data("FP32", &[1], &json!({"a": 1}))), Some(Problem::InvalidRequest));
        let missing = json!({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32"}]});
        assert!(parse(&missing).unwrap_err().detail.contains("`data` in input `x`"));
        let one = json!({"name": "x", "shape": [1], "datatype": "FP32", "data": [1]});
        let twice = parse(&json!({"inputs": [one, one]})).unwrap_err();
        assert_eq!(twice.problem, Problem::InvalidRequest);
    }

    #[test]
    fn a_body_that_says_something_twice_or_nests_without_end_is_refused() {
        let deep = format!(r#"{{"inputs":[],"x":{}"#, "[".repeat(100_000));
        let twice = r#"{"inputs":[],"inputs":[]}"#;
        let data_twice =
            r#"{"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[1],"data":[2]}]}"#;
        let array = r#"[null,[["x",[1],"INT8",[1]]],null]"#;
        for body in [&deep, twice, data_twice, array, "", "null", "{}", "[]", "{\"inputs\":[]} x"] {
            let refused = InferRequest::parse(body.as_bytes()).unwrap_err();
            assert_eq!(refused.problem, Problem::InvalidRequest);
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let key = prop_oneof![Just("data".to_owned()), Just("name".to_owned()), ".{0,3}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((key, inner), 0..4)
                    .prop_map(|pairs| pairs.into_iter().collect::<Value>()),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes: Vec<u8>) {
            let _ = InferRequest::parse(&bytes);
        }

        #[test]
        fn any_data_is_read_or_refused_without_a_panic(
            datatype in prop::sample::select(DataType::ALL),
            shape in prop::collection::vec(0_u64..4, 0..4),
            elements in any_json(),
        ) {
            let _ = data(datatype.as_str(), &shape, &elements);
        }

        #[test]
        fn a_request_with_any_member_changed_does_not_panic(
            at in prop::sample::select(vec!["name", "shape", "datatype", "data", "inputs"]),
            value in any_json(),
        ) {
            let mut body = input("FP32", &[1], &json!([1]));
            if at == "inputs" { body[at] = value } else { body["inputs"][0][at] = value }
            let _ = parse(&body);
        }

        #[test]
        fn nested_data_is_read_as_flat_data(rows in 1_usize..5, columns in 1_usize..5) {
            let flat: Vec<usize> = (0..rows * columns).collect();
            let nested: Vec<&[usize]> = flat.chunks(columns).collect();
            let shape = [rows as u64, columns as u64];
            prop_assert_eq!(
                data("UINT32", &shape, &json!(flat)),
                data("UINT32", &shape, &json!(nested))
            );
        }
    }
}
