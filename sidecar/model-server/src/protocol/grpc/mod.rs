//! The protocol over gRPC: its messages, and an inference request and answer in them.

mod contents;
pub(crate) mod messages;

use inference::{DataType, InferError, Inputs, Tensor, TensorData};
use tenancy::{ModelName, Version, problem::Problem};

use super::{InferRequest, ProtocolError, raw, spec::Spec};
use messages::{
    InputTensor, ModelInferRequest, ModelInferResponse, OutputTensor, Parameter, ParameterChoice,
    TensorMetadata,
};

/// Whether an answer has its elements in `raw_output_contents`: where the request had them so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raw(pub(crate) bool);

impl ModelInferRequest {
    /// Whether it is to be answered raw.
    pub(crate) fn raw(&self) -> Raw {
        Raw(!self.raw_input_contents.is_empty())
    }

    /// The request in tensors, checked against themselves and not against a model.
    ///
    /// # Errors
    /// `invalid_request`, `wrong_datatype` or `bad_shape`, with the input at fault.
    pub(crate) fn into_request(self) -> Result<InferRequest, ProtocolError> {
        let tensors = if self.raw_input_contents.is_empty() {
            self.inputs.into_iter().map(typed).collect::<Result<Vec<_>, _>>()?
        } else {
            let (inputs, contents) = (self.inputs.len(), self.raw_input_contents.len());
            if inputs != contents {
                return Err(ProtocolError::invalid(format!(
                    "expected an entry of `raw_input_contents` for each of {inputs} inputs, found \
                     {contents}"
                )));
            }
            let each = self.inputs.into_iter().zip(&self.raw_input_contents);
            each.map(|(input, bytes)| untyped(input, bytes)).collect::<Result<Vec<_>, _>>()?
        };
        Ok(InferRequest {
            id: Some(self.id).filter(|id| !id.is_empty()),
            inputs: Inputs::new(tensors).map_err(refused)?,
            outputs: self.outputs.into_iter().map(|output| output.name).collect(),
            timeout_micros: self.parameters.get("timeout").and_then(integer),
        })
    }
}

fn typed(mut input: InputTensor) -> Result<Tensor, ProtocolError> {
    let contents = input.contents.take().unwrap_or_default();
    let spec = spec(input, u64::MAX)?;
    let data = contents::read(&spec, contents)?;
    tensor(spec, data)
}

fn untyped(input: InputTensor, bytes: &[u8]) -> Result<Tensor, ProtocolError> {
    if input.contents.is_some() {
        return Err(ProtocolError::invalid(format!(
            "expected the contents of input `{}` once, found them as a list and in \
             `raw_input_contents`",
            input.name
        )));
    }
    let spec = spec(input, bytes.len() as u64)?;
    let data = raw::read(&spec, bytes)?;
    tensor(spec, data)
}

fn spec(input: InputTensor, request_bytes: u64) -> Result<Spec, ProtocolError> {
    let InputTensor { name, datatype, shape, .. } = input;
    let dims = shape.iter().map(|dim| u64::try_from(*dim)).collect::<Result<Vec<_>, _>>();
    let dims = dims.map_err(|_| {
        let detail = format!("expected a shape of input `{name}` without -1, found {shape:?}");
        ProtocolError::new(Problem::BadShape, detail)
    })?;
    Spec::new(name, dims, &datatype, request_bytes)
}

fn tensor(spec: Spec, data: TensorData) -> Result<Tensor, ProtocolError> {
    Tensor::new(spec.name, spec.shape, data).map_err(refused)
}

fn refused(error: InferError) -> ProtocolError {
    ProtocolError::new(error.problem(), error.to_string())
}

fn integer(parameter: &Parameter) -> Option<u64> {
    match parameter.choice.as_ref()? {
        ParameterChoice::Int64(value) => u64::try_from(*value).ok(),
        ParameterChoice::Uint64(value) => Some(*value),
        _ => None,
    }
}

/// The answer to an inference request. `FP16` makes it raw: the protocol has no list for it.
pub(crate) fn response(
    name: &ModelName,
    version: &Version,
    id: Option<String>,
    outputs: Vec<Tensor>,
    Raw(raw): Raw,
) -> ModelInferResponse {
    let raw = raw || outputs.iter().any(|output| output.datatype() == DataType::Fp16);
    let mut response = ModelInferResponse {
        model_name: name.to_string(),
        model_version: version.to_string(),
        id: id.unwrap_or_default(),
        outputs: Vec::with_capacity(outputs.len()),
        raw_output_contents: vec![],
    };
    for output in outputs {
        let (name, shape, data) = output.into_parts();
        let datatype = data.datatype().as_str().to_owned();
        let contents = if raw {
            let mut bytes = Vec::with_capacity(raw::size(&data));
            raw::write(&data, &mut bytes);
            response.raw_output_contents.push(bytes);
            None
        } else {
            contents::write(data)
        };
        // No tensor in memory has a dimension beyond 63 bits.
        let shape = shape.iter().map(|dim| i64::try_from(*dim).unwrap_or(i64::MAX)).collect();
        response.outputs.push(OutputTensor { name, datatype, shape, contents });
    }
    response
}

impl From<&inference::TensorSpec> for TensorMetadata {
    fn from(spec: &inference::TensorSpec) -> Self {
        Self {
            name: spec.name.clone(),
            datatype: spec.datatype.as_str().to_owned(),
            shape: spec.shape.clone(),
        }
    }
}
