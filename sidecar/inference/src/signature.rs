//! What a model takes and gives, and whether a request fits it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{DataType, InferError, Inputs, Tensor};

/// One input or output of a model. Serialises as the Open Inference Protocol's metadata tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TensorSpec {
    /// Its name in the graph.
    pub name: String,
    /// What its elements are.
    pub datatype: DataType,
    /// Its dimensions, outermost first, with -1 where the model leaves one open. An input whose
    /// first dimension is open has the batch there.
    pub shape: Vec<i64>,
    /// The graph's names for open dimensions: equal names want equal values.
    #[serde(skip)]
    pub(crate) names: Vec<Option<String>>,
}

impl TensorSpec {
    /// A tensor of `shape`, with -1 where a dimension is open.
    pub fn new(name: impl Into<String>, datatype: DataType, shape: Vec<i64>) -> Self {
        let names = vec![None; shape.len()];
        Self { name: name.into(), datatype, shape, names }
    }

    /// Whether the first dimension is the batch.
    pub fn is_batched(&self) -> bool {
        self.shape.first() == Some(&-1)
    }
}

/// What a model takes and gives, in the order of its file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signature {
    /// The inputs. Every one has to be in a request.
    pub inputs: Vec<TensorSpec>,
    /// The outputs. Every one is in an answer.
    pub outputs: Vec<TensorSpec>,
    /// The file's metadata: ONNX `metadata_props`, where a key that comes twice keeps its last
    /// value. Says what whoever made the file claims, no more.
    pub metadata: BTreeMap<String, String>,
}

impl Signature {
    /// Checks that a request fits, and counts its rows: the dimension that all batched inputs
    /// share; for a model without a batched input the first dimension of its first input, and 1
    /// where that is a scalar or there is none.
    ///
    /// # Errors
    /// The first [`InferError`] found: names first, then each input in the model's order by
    /// datatype, rank, dimensions and agreement, then the number of rows against `max_batch`.
    pub fn check(&self, inputs: &Inputs, max_batch: u64) -> Result<u64, InferError> {
        self.check_names(inputs)?;
        let mut shared = Shared::default();
        for spec in &self.inputs {
            let tensor = inputs.get(&spec.name).ok_or_else(|| spec.missing())?;
            spec.check(tensor)?;
            shared.check(spec, tensor)?;
        }
        match shared.batch {
            Some((_, found)) if found > max_batch => {
                Err(InferError::BatchTooLarge { limit: max_batch, found })
            }
            Some((_, rows)) => Ok(rows),
            // Rows that the model fixes are no choice of the caller's.
            None => Ok(self.rows_of_first(inputs)),
        }
    }

    fn check_names(&self, inputs: &Inputs) -> Result<(), InferError> {
        let is_known = |tensor: &&Tensor| self.inputs.iter().any(|spec| spec.name == tensor.name());
        match inputs.tensors().iter().find(|tensor| !is_known(tensor)) {
            Some(tensor) => Err(InferError::UnexpectedInput {
                input: tensor.name().to_owned(),
                expected: self.inputs.iter().map(|spec| spec.name.clone()).collect(),
            }),
            None => Ok(()),
        }
    }

    fn rows_of_first(&self, inputs: &Inputs) -> u64 {
        let first = self.inputs.first().and_then(|spec| inputs.get(&spec.name));
        first.and_then(|tensor| tensor.shape().first()).copied().unwrap_or(1)
    }
}

impl TensorSpec {
    fn missing(&self) -> InferError {
        InferError::MissingInput {
            input: self.name.clone(),
            datatype: self.datatype,
            shape: self.shape.clone(),
        }
    }

    fn check(&self, tensor: &Tensor) -> Result<(), InferError> {
        let input = || self.name.clone();
        if tensor.datatype() != self.datatype {
            let (expected, found) = (self.datatype, tensor.datatype());
            return Err(InferError::WrongDataType { input: input(), expected, found });
        }
        if tensor.shape().len() != self.shape.len() {
            let (expected, found) = (self.shape.clone(), tensor.shape().to_vec());
            return Err(InferError::WrongRank { input: input(), expected, found });
        }
        for (axis, (&expected, &found)) in self.shape.iter().zip(tensor.shape()).enumerate() {
            match u64::try_from(expected) {
                Ok(expected) if expected != found => {
                    return Err(InferError::WrongDimension {
                        input: input(),
                        axis,
                        expected,
                        found,
                    });
                }
                // A model may say that a tensor is empty: axes of which there are none, for one.
                Ok(_) => {}
                Err(_) if found == 0 => {
                    return Err(InferError::EmptyInput { input: input(), axis });
                }
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// The dimensions that inputs have in common, each with the input that set it.
#[derive(Default)]
struct Shared<'a> {
    batch: Option<(&'a str, u64)>,
    named: BTreeMap<&'a str, (&'a str, u64)>,
}

impl<'a> Shared<'a> {
    fn check(&mut self, spec: &'a TensorSpec, tensor: &Tensor) -> Result<(), InferError> {
        let input = || spec.name.clone();
        for (axis, &found) in tensor.shape().iter().enumerate() {
            if axis == 0 && spec.is_batched() {
                let (like, expected) = *self.batch.get_or_insert((&spec.name, found));
                if expected != found {
                    let like = like.to_owned();
                    return Err(InferError::BatchDisagrees {
                        input: input(),
                        like,
                        expected,
                        found,
                    });
                }
            } else if let Some(Some(name)) = spec.names.get(axis) {
                let (like, expected) = *self.named.entry(name).or_insert((&spec.name, found));
                if expected != found {
                    let like = like.to_owned();
                    return Err(InferError::DimensionsDisagree {
                        input: input(),
                        axis,
                        like,
                        expected,
                        found,
                    });
                }
            }
        }
        Ok(())
    }
}
