//! What the protocol answers.

use inference::{DataType, Tensor, TensorData, TensorSpec};
use serde::{Serialize, Serializer};
use tenancy::{ModelName, Version, problem::Problem};

use super::ProtocolError;

/// `GET /v2`
#[derive(Debug, Serialize)]
pub(crate) struct ServerMetadata {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) extensions: [&'static str; 0],
}

/// `GET /v2/health/live`
#[derive(Debug, Serialize)]
pub(crate) struct ServerLive {
    pub(crate) live: bool,
}

/// `GET /v2/health/ready`
#[derive(Debug, Serialize)]
pub(crate) struct ServerReady {
    pub(crate) ready: bool,
}

/// `GET /v2/models/{name}/ready`
#[derive(Debug, Serialize)]
pub(crate) struct ModelReady<'a> {
    pub(crate) name: &'a ModelName,
    pub(crate) ready: bool,
}

/// `GET /v2/models/{name}`
#[derive(Debug, Serialize)]
pub(crate) struct ModelMetadata<'a> {
    pub(crate) name: &'a ModelName,
    pub(crate) versions: Vec<Version>,
    pub(crate) platform: &'static str,
    pub(crate) inputs: &'a [TensorSpec],
    pub(crate) outputs: &'a [TensorSpec],
}

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
    data: Elements<'a>,
}

/// Elements, flat.
struct Elements<'a>(&'a TensorData);

/// Writes the answer of `POST /v2/models/{name}/infer`.
///
/// # Errors
/// `inference_failed` for what JSON cannot carry, as [`refuse_unwritable`] says before.
pub(crate) fn write(
    name: &ModelName,
    version: &Version,
    id: Option<&str>,
    outputs: &[Tensor],
) -> Result<Vec<u8>, ProtocolError> {
    let outputs = outputs
        .iter()
        .map(|tensor| Output {
            name: tensor.name(),
            datatype: tensor.datatype(),
            shape: tensor.shape(),
            data: Elements(tensor.data()),
        })
        .collect();
    let response = InferResponse { model_name: name, model_version: version, id, outputs };
    serde_json::to_vec(&response)
        .map_err(|error| ProtocolError::new(Problem::InferenceFailed, error.to_string()))
}

/// Refuses an output that JSON cannot carry.
///
/// # Errors
/// `inference_failed`, with the output's name.
pub(crate) fn refuse_unwritable(tensor: &Tensor) -> Result<(), ProtocolError> {
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
        "expected values in output `{}` that JSON can carry, found one that is {what}",
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
