//! The body of an inference request over REST: JSON, and behind it the elements of those inputs
//! that say that theirs are there (the binary tensor extension).
//!
//! The JSON is read twice. The first reading skips the data and learns names, shapes and datatypes,
//! which may stand behind the data; the second one reads the data into elements of that datatype.
//! Where no input has its data in the JSON there is no second one.

use std::cell::RefCell;

use inference::{InferError, Inputs, Tensor, TensorData};
use serde::{
    Deserialize,
    de::{DeserializeSeed, IgnoredAny},
};
use tenancy::problem::Problem;

use super::{
    ProtocolError,
    forms::{Form, Forms},
    raw,
    seeds::BodySeed,
    spec::Spec,
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
    /// How long an answer is of use, in microseconds: the parameter `timeout`.
    pub(crate) timeout_micros: Option<u64>,
}

/// Where an input's elements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In `data`.
    Json,
    /// Behind the JSON, so many bytes.
    Behind(usize),
}

#[derive(Deserialize)]
#[serde(expecting = "a JSON object with the field `inputs`")]
struct Outline {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parameters: Option<RequestParameters>,
    inputs: Vec<InputOutline>,
    #[serde(default)]
    outputs: Option<Vec<OutputOutline>>,
}

#[derive(Default, Deserialize)]
struct RequestParameters {
    #[serde(default)]
    binary_data_output: bool,
    #[serde(default)]
    timeout: Option<u64>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with `name`, `shape`, `datatype` and `data`")]
struct InputOutline {
    name: String,
    shape: Vec<u64>,
    datatype: String,
    #[serde(default)]
    parameters: Option<InputParameters>,
    #[serde(default)]
    data: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct InputParameters {
    #[serde(default)]
    binary_data_size: Option<usize>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with `name`")]
struct OutputOutline {
    name: String,
    #[serde(default)]
    parameters: Option<OutputParameters>,
}

#[derive(Deserialize)]
struct OutputParameters {
    #[serde(default)]
    binary_data: Option<bool>,
}

/// Reads a body, of which the first `json_bytes` are JSON; where that is not said, all of it.
///
/// # Errors
/// `invalid_request`, `wrong_datatype` or `bad_shape`, with the input, and the element where
/// one is at fault.
pub(crate) fn read(
    body: &[u8],
    json_bytes: Option<usize>,
) -> Result<(InferRequest, Forms), ProtocolError> {
    let (json, behind) = match json_bytes {
        None => (body, &[][..]),
        Some(json_bytes) => body.split_at_checked(json_bytes).ok_or_else(|| {
            ProtocolError::invalid(format!(
                "expected {json_bytes} bytes of JSON, as `inference-header-content-length` says, \
                 found a body of {} bytes",
                body.len()
            ))
        })?,
    };
    let outline: Outline = serde_json::from_slice(json).map_err(|error| unreadable(&error))?;
    let parameters = outline.parameters.unwrap_or_default();
    let specs = outline
        .inputs
        .into_iter()
        .map(|input| input.spec(body.len() as u64))
        .collect::<Result<Vec<_>, _>>()?;
    let inputs = Inputs::new(tensors(json, behind, specs)?).map_err(refused)?;
    let otherwise = Form::binary(parameters.binary_data_output);
    let (outputs, each) = outline
        .outputs
        .unwrap_or_default()
        .into_iter()
        .map(|output| {
            let binary = output.parameters.and_then(|parameters| parameters.binary_data);
            (output.name, binary.map_or(otherwise, Form::binary))
        })
        .unzip();
    let timeout_micros = parameters.timeout;
    let request = InferRequest { id: outline.id, inputs, outputs, timeout_micros };
    Ok((request, Forms { each, otherwise }))
}

impl InputOutline {
    fn spec(self, body_bytes: u64) -> Result<(Spec, Place), ProtocolError> {
        let Self { name, shape, datatype, parameters, data } = self;
        let binary = parameters.and_then(|parameters| parameters.binary_data_size);
        let place = match (data, binary) {
            (Some(_), None) => Place::Json,
            (None, Some(bytes)) => Place::Behind(bytes),
            (found, _) => {
                let found = if found.is_some() { "both" } else { "neither" };
                return Err(ProtocolError::invalid(format!(
                    "expected either `data` or the parameter `binary_data_size` in input \
                     `{name}`, found {found}: shared memory is not supported"
                )));
            }
        };
        Ok((Spec::new(name, shape, &datatype, body_bytes)?, place))
    }
}

fn tensors(
    json: &[u8],
    mut behind: &[u8],
    specs: Vec<(Spec, Place)>,
) -> Result<Vec<Tensor>, ProtocolError> {
    let mut in_json = data(json, &specs)?.into_iter();
    let mut tensors = Vec::with_capacity(specs.len());
    for (spec, place) in specs {
        let data = match place {
            Place::Json => in_json
                .next()
                .ok_or_else(|| ProtocolError::invalid("expected each input with its data"))?,
            Place::Behind(size) => {
                let (own, rest) = behind.split_at_checked(size).ok_or_else(|| {
                    ProtocolError::invalid(format!(
                        "expected {size} bytes of input `{}` behind the JSON, found {}",
                        spec.name,
                        behind.len()
                    ))
                })?;
                behind = rest;
                raw::read(&spec, own)?
            }
        };
        tensors.push(Tensor::new(spec.name, spec.shape, data).map_err(refused)?);
    }
    if !behind.is_empty() {
        return Err(ProtocolError::invalid(format!(
            "expected the body to end with the last input's bytes, found {} more",
            behind.len()
        )));
    }
    Ok(tensors)
}

/// The data of those inputs that have it in the JSON, in their order.
fn data(json: &[u8], specs: &[(Spec, Place)]) -> Result<Vec<TensorData>, ProtocolError> {
    if specs.iter().all(|(_, place)| *place != Place::Json) {
        return Ok(vec![]);
    }
    let failure = RefCell::new(None);
    let seed = BodySeed { specs, failure: &failure };
    let data = seed.deserialize(&mut serde_json::Deserializer::from_slice(json));
    match failure.take() {
        Some(refusal) => Err(refusal),
        None => data.map_err(|error| unreadable(&error)),
    }
}

fn refused(error: InferError) -> ProtocolError {
    ProtocolError::new(error.problem(), error.to_string())
}

fn unreadable(error: &serde_json::Error) -> ProtocolError {
    let message: String = error.to_string().chars().take(LONGEST_MESSAGE_CHARS).collect();
    ProtocolError::new(
        Problem::InvalidRequest,
        format!("the body is no inference request in JSON: {message}"),
    )
}

#[cfg(test)]
mod tests {
    use inference::DataType;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn parse(body: &Value) -> Result<InferRequest, ProtocolError> {
        read(body.to_string().as_bytes(), None).map(|(request, _)| request)
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
        let (request, _) = read(body, None).unwrap();
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
        assert!(parse(&missing).unwrap_err().detail.contains("in input `x`, found neither"));
        let one = json!({"name": "x", "shape": [1], "datatype": "FP32", "data": [1]});
        let twice = parse(&json!({"inputs": [one, one]})).unwrap_err();
        assert_eq!(twice.problem, Problem::InvalidRequest);
    }

    /// `json` with `bytes` behind it.
    fn with_bytes(json: &Value, bytes: &[u8]) -> Result<(InferRequest, Forms), ProtocolError> {
        let json = json.to_string().into_bytes();
        read(&[&json, bytes].concat(), Some(json.len()))
    }

    fn behind(name: &str, datatype: &str, size: usize) -> Value {
        let parameters = json!({"binary_data_size": size});
        json!({"name": name, "shape": [1], "datatype": datatype, "parameters": parameters})
    }

    #[test]
    fn elements_behind_the_json_are_those_of_its_inputs_in_their_order() {
        let in_json = json!({"name": "b", "shape": [1], "datatype": "INT8", "data": [7]});
        let inputs = [behind("a", "UINT16", 2), in_json, behind("c", "BYTES", 5)];
        let body = json!({"inputs": inputs});
        let (request, _) = with_bytes(&body, &[1, 2, 1, 0, 0, 0, 0xff]).unwrap();
        let tensors: Vec<_> = request.inputs.tensors().iter().map(Tensor::data).collect();
        let expected = [
            &TensorData::Uint16(vec![0x0201]),
            &TensorData::Int8(vec![7]),
            &TensorData::Bytes(vec![vec![0xff]]),
        ];
        assert_eq!(tensors, expected);
    }

    #[test]
    fn bytes_that_are_missing_left_over_or_said_twice_are_refused() {
        let body = json!({"inputs": [behind("a", "UINT16", 2)]});
        for bytes in [&[1][..], &[1, 2, 3], &[]] {
            let refused = with_bytes(&body, bytes).unwrap_err();
            assert_eq!(refused.problem, Problem::InvalidRequest, "{bytes:?}");
        }
        let mut both = body.clone();
        both["inputs"][0]["data"] = json!([1]);
        assert!(with_bytes(&both, &[1, 2]).unwrap_err().detail.contains("found both"));
        assert!(read(b"{}", Some(3)).is_err());
        assert!(read(body.to_string().as_bytes(), None).is_err());
    }

    #[test]
    fn an_output_has_the_form_that_it_or_else_the_request_asks_for() {
        let forms = |body: &Value| {
            let (request, forms) = with_bytes(body, &[]).unwrap();
            (0..=request.outputs.len()).map(|at| forms.of(at)).collect::<Vec<_>>()
        };
        assert_eq!(forms(&json!({"inputs": []})), [Form::Json]);
        let body = json!({"inputs": [], "parameters": {"binary_data_output": true}});
        assert_eq!(forms(&body), [Form::Behind]);
        let outputs = json!([
            {"name": "a", "parameters": {"binary_data": false}},
            {"name": "b"},
        ]);
        let parameters = json!({"binary_data_output": true});
        let body = json!({"inputs": [], "parameters": parameters, "outputs": outputs});
        assert_eq!(forms(&body), [Form::Json, Form::Behind, Form::Behind]);
    }

    #[test]
    fn a_body_that_says_something_twice_or_nests_without_end_is_refused() {
        let deep = format!(r#"{{"inputs":[],"x":{}"#, "[".repeat(100_000));
        let twice = r#"{"inputs":[],"inputs":[]}"#;
        let data_twice =
            r#"{"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[1],"data":[2]}]}"#;
        let array = r#"[null,[["x",[1],"INT8",[1]]],null]"#;
        for body in [&deep, twice, data_twice, array, "", "null", "{}", "[]", "{\"inputs\":[]} x"] {
            let refused = read(body.as_bytes(), None).unwrap_err();
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
        fn any_bytes_are_read_or_refused_without_a_panic(
            bytes: Vec<u8>,
            json_bytes: Option<usize>,
        ) {
            let _ = read(&bytes, json_bytes);
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
