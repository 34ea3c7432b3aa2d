//! The answer to an inference request over REST: JSON, and behind it the elements of those outputs
//! that are asked for so.

use inference::{DataType, Tensor, TensorData};
use serde::{Serialize, Serializer};
use tenancy::{ModelName, Version, problem::Problem};

use super::{
    ProtocolError,
    forms::{Form, Forms},
    raw,
};

#[derive(Serialize)]
struct InferResponse<'a> {
    model_name: &'a ModelName,
    model_version: &'a Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: Vec<Output<'a>>,
}

#[derive(Serialize)]
struct Output<'a> {
    name: &'a str,
    datatype: DataType,
    shape: &'a [u64],
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<OutputParameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Elements<'a>>,
}

#[derive(Serialize)]
struct OutputParameters {
    binary_data_size: usize,
}

/// Elements, flat.
struct Elements<'a>(&'a TensorData);

/// A body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) body: Vec<u8>,
    /// How much of it is JSON, where elements stand behind that.
    pub(crate) json_bytes: Option<usize>,
}

/// Writes the answer of `POST /v2/models/{name}/infer`.
///
/// # Errors
/// `inference_failed` for what JSON cannot carry, as [`carries`] says before.
pub(crate) fn write(
    name: &ModelName,
    version: &Version,
    id: Option<&str>,
    outputs: &[Tensor],
    forms: &Forms,
) -> Result<Written, ProtocolError> {
    let behind: Vec<&TensorData> = formed(outputs, forms, Form::Behind).map(Tensor::data).collect();
    let response = InferResponse {
        model_name: name,
        model_version: version,
        id,
        outputs: outputs
            .iter()
            .enumerate()
            .map(|(at, tensor)| output(tensor, forms.of(at)))
            .collect(),
    };
    let mut body = serde_json::to_vec(&response)
        .map_err(|error| ProtocolError::new(Problem::InferenceFailed, error.to_string()))?;
    let json_bytes = (!behind.is_empty()).then_some(body.len());
    body.reserve(behind.iter().map(|data| raw::size(data)).sum());
    for data in behind {
        raw::write(data, &mut body);
    }
    Ok(Written { body, json_bytes })
}

fn output(tensor: &Tensor, form: Form) -> Output<'_> {
    let (name, datatype, shape) = (tensor.name(), tensor.datatype(), tensor.shape());
    let (parameters, data) = match form {
        Form::Json => (None, Some(Elements(tensor.data()))),
        Form::Behind => {
            let binary_data_size = raw::size(tensor.data());
            (Some(OutputParameters { binary_data_size }), None)
        }
    };
    Output { name, datatype, shape, parameters, data }
}

fn formed<'a>(
    outputs: &'a [Tensor],
    forms: &'a Forms,
    form: Form,
) -> impl Iterator<Item = &'a Tensor> {
    let numbered = outputs.iter().enumerate();
    numbered.filter(move |(at, _)| forms.of(*at) == form).map(|(_, tensor)| tensor)
}

/// Refuses an output that is asked for in JSON and that JSON cannot carry.
///
/// # Errors
/// `inference_failed`, with the output's name.
pub(crate) fn carries(outputs: &[Tensor], forms: &Forms) -> Result<(), ProtocolError> {
    formed(outputs, forms, Form::Json).try_for_each(refuse_unwritable)
}

fn refuse_unwritable(tensor: &Tensor) -> Result<(), ProtocolError> {
    let what = match tensor.data() {
        TensorData::Fp32(values) if values.iter().any(|value| !value.is_finite()) => "not finite",
        TensorData::Fp64(values) if values.iter().any(|value| !value.is_finite()) => "not finite",
        TensorData::Bytes(values) if values.iter().any(|it| std::str::from_utf8(it).is_err()) => {
            "not UTF-8"
        }
        TensorData::Fp16(_) => "of datatype FP16, which has no JSON form",
        _ => return Ok(()),
    };
    let detail = format!(
        "expected values in output `{}` that JSON can carry, found one that is {what}: ask for it \
         as binary data",
        tensor.name()
    );
    Err(ProtocolError::new(Problem::InferenceFailed, detail))
}

impl Serialize for Elements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            TensorData::Bool(values) => values.serialize(serializer),
            TensorData::Uint8(values) => serializer.collect_seq(values),
            TensorData::Uint16(values) => values.serialize(serializer),
            TensorData::Uint32(values) => values.serialize(serializer),
            TensorData::Uint64(values) => values.serialize(serializer),
            TensorData::Int8(values) => values.serialize(serializer),
            TensorData::Int16(values) => values.serialize(serializer),
            TensorData::Int32(values) => values.serialize(serializer),
            TensorData::Int64(values) => values.serialize(serializer),
            TensorData::Fp32(values) => values.serialize(serializer),
            TensorData::Fp64(values) => values.serialize(serializer),
            TensorData::Fp16(values) => {
                serializer.collect_seq(values.iter().map(|value| value.to_f32()))
            }
            TensorData::Bytes(values) => {
                serializer.collect_seq(values.iter().map(|text| String::from_utf8_lossy(text)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tensor(data: TensorData) -> Tensor {
        Tensor::new("y", vec![data.len() as u64, 1], data).unwrap()
    }

    #[test]
    fn each_datatype_is_written_as_the_protocol_says() {
        for (data, expected) in [
            (TensorData::Bool(vec![true, false]), json!([true, false])),
            (TensorData::Uint8(vec![0, 255]), json!([0, 255])),
            (TensorData::Int64(vec![i64::MIN, i64::MAX]), json!([i64::MIN, i64::MAX])),
            (TensorData::Fp32(vec![0.5, -2.0]), json!([0.5, -2.0])),
            (TensorData::Bytes(vec!["é\"".into()]), json!(["é\""])),
        ] {
            assert_eq!(serde_json::to_value(Elements(&data)).unwrap(), expected);
        }
    }

    #[test]
    fn elements_that_are_asked_for_as_bytes_stand_behind_the_json_in_the_outputs_order() {
        let outputs = [
            tensor(TensorData::Uint16(vec![0x0201])),
            tensor(TensorData::Int8(vec![7])),
            tensor(TensorData::Fp32(vec![f32::NAN])),
        ];
        let forms =
            Forms { each: vec![Form::Behind, Form::Json, Form::Behind], otherwise: Form::Json };
        assert_eq!(carries(&outputs, &forms), Ok(()));
        let (name, version) = ("m".parse().unwrap(), "1".parse().unwrap());
        let written = write(&name, &version, None, &outputs, &forms).unwrap();
        let (json, behind) = written.body.split_at(written.json_bytes.unwrap());
        assert_eq!(behind, [&[1, 2][..], &f32::NAN.to_le_bytes()].concat());
        let json: serde_json::Value = serde_json::from_slice(json).unwrap();
        assert_eq!(json["outputs"][0]["parameters"], json!({"binary_data_size": 2}));
        assert_eq!(json["outputs"][0].get("data"), None);
        assert_eq!(json["outputs"][1]["data"], json!([7]));
    }

    #[test]
    fn a_value_that_json_cannot_carry_is_a_failed_inference_that_names_the_output() {
        for data in [
            TensorData::Fp32(vec![1.0, f32::NAN]),
            TensorData::Fp64(vec![f64::INFINITY]),
            TensorData::Bytes(vec![vec![0xff]]),
        ] {
            let refused = refuse_unwritable(&tensor(data)).unwrap_err();
            assert_eq!(refused.problem, Problem::InferenceFailed);
            assert!(refused.detail.contains("`y`"), "{}", refused.detail);
        }
    }
}
