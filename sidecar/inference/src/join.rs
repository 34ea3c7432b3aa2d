//! Several requests as one, along the batch, and one answer as several.

use std::ops::Range;

use crate::{InferError, Inputs, Outputs, Part, Signature, Tensor, TensorData};

impl Signature {
    /// Whether every input and every output has its batch in its first dimension, so that requests
    /// can be joined there as far as shapes tell. Whether the rows of a batch are answered as each
    /// would be alone is the graph's to say.
    pub fn is_batched(&self) -> bool {
        let mut tensors = self.inputs.iter().chain(&self.outputs);
        !self.inputs.is_empty() && tensors.all(|spec| spec.is_batched())
    }
}

impl Inputs {
    /// One request for each of `rows`, of so many rows. `None` where they are not all the rows of every
    /// tensor.
    pub fn split(&self, rows: &[u64]) -> Option<Vec<Self>> {
        split(self.tensors(), rows)?.into_iter().map(|tensors| Self::new(tensors).ok()).collect()
    }

    /// One request of all the rows of `parts`, in their order. `None` where they cannot be joined:
    /// other names, datatypes or further dimensions than the first one's, or a scalar.
    pub fn join<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut parts = parts.into_iter();
        let first = parts.next()?;
        let mut joined: Vec<(String, Vec<u64>, TensorData)> = first
            .tensors()
            .iter()
            .map(|it| (it.name().to_owned(), it.shape().to_vec(), it.data().clone()))
            .collect();
        for part in parts {
            if part.tensors().len() != joined.len() {
                return None;
            }
            for (name, shape, data) in &mut joined {
                let tensor = part.get(name)?;
                let (rows, rest) = tensor.shape().split_first()?;
                let (all_rows, all_rest) = shape.split_first_mut()?;
                if rest != &*all_rest || !append(data, tensor.data()) {
                    return None;
                }
                *all_rows = all_rows.checked_add(*rows)?;
            }
        }
        let tensors = joined.into_iter().map(|(name, shape, data)| Tensor::new(name, shape, data));
        Self::new(tensors.collect::<Result<_, _>>().ok()?).ok()
    }
}

impl Outputs {
    /// An answer of so many rows, for models that are no backend's of this crate.
    pub const fn of(batch: u64, tensors: Vec<Tensor>) -> Self {
        Self::new(batch, tensors)
    }

    /// One answer for each of `rows`, of so many rows. `None` where they are not all the rows of every
    /// tensor.
    pub fn split(&self, rows: &[u64]) -> Option<Vec<Self>> {
        let parts = split(self.tensors(), rows)?.into_iter().zip(rows);
        Some(parts.map(|(tensors, rows)| Self::new(*rows, tensors)).collect())
    }

    /// One answer of all the rows of `parts`, in their order. `None` where they cannot be joined.
    pub fn join(parts: &[Self]) -> Option<Self> {
        let as_inputs = |part: &Self| Inputs::new(part.tensors().to_vec()).ok();
        let inputs = parts.iter().map(as_inputs).collect::<Option<Vec<_>>>()?;
        let joined = Inputs::join(&inputs)?;
        Some(Self::new(joined.batch(), joined.into_tensors()))
    }
}

/// Answers each part of a joint request by its own model: what [`crate::Model::infer_together`] does
/// where nothing better is known.
///
/// # Errors
/// As of [`crate::Model::infer`]; [`InferError::Failed`] where rows do not come apart as `parts` say.
pub fn one_after_another(inputs: &Inputs, parts: &[Part<'_>]) -> Result<Outputs, InferError> {
    let rows: Vec<u64> = parts.iter().map(|part| part.rows).collect();
    let apart = || InferError::Failed {
        detail: "rows of several models do not come apart, or not together again".to_owned(),
    };
    let split = split(inputs.tensors(), &rows).ok_or_else(apart)?;
    let answers = split.into_iter().zip(parts);
    let answers = answers.map(|(tensors, part)| part.model.infer(Inputs::new(tensors)?));
    Outputs::join(&answers.collect::<Result<Vec<_>, _>>()?).ok_or_else(apart)
}

/// The tensors of each of `rows`, of so many rows.
fn split(tensors: &[Tensor], rows: &[u64]) -> Option<Vec<Vec<Tensor>>> {
    let all: u64 = rows.iter().try_fold(0_u64, |sum, rows| sum.checked_add(*rows))?;
    let mut from = 0_u64;
    rows.iter()
        .map(|rows| {
            let range = from..from.checked_add(*rows)?;
            from = range.end;
            tensors.iter().map(|it| cut(it, &range, all)).collect()
        })
        .collect()
}

/// The rows `range` of a tensor that has `all` of them.
fn cut(tensor: &Tensor, range: &Range<u64>, all: u64) -> Option<Tensor> {
    let (rows, rest) = tensor.shape().split_first()?;
    if *rows != all {
        return None;
    }
    let width = rest.iter().try_fold(1_u64, |width, dim| width.checked_mul(*dim))?;
    let place = |row: u64| usize::try_from(row.checked_mul(width)?).ok();
    let data = slice(tensor.data(), place(range.start)?..place(range.end)?)?;
    let shape = std::iter::once(range.end - range.start).chain(rest.iter().copied());
    Tensor::new(tensor.name(), shape.collect(), data).ok()
}

macro_rules! of_each_datatype {
    ($($datatype:ident)*) => {
        /// Whether the elements were of one datatype and are appended.
        fn append(to: &mut TensorData, from: &TensorData) -> bool {
            match (to, from) {
                $((TensorData::$datatype(to), TensorData::$datatype(from)) => {
                    to.extend_from_slice(from);
                    true
                })*
                _ => false,
            }
        }

        fn slice(data: &TensorData, range: Range<usize>) -> Option<TensorData> {
            Some(match data {
                $(TensorData::$datatype(it) => TensorData::$datatype(it.get(range)?.to_vec()),)*
            })
        }
    };
}

of_each_datatype! {
    Bool Uint8 Uint16 Uint32 Uint64 Int8 Int16 Int32 Int64 Fp16 Fp32 Fp64 Bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(rows: &[f32], texts: &[&str]) -> Inputs {
        let texts = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        let count = rows.len() as u64 / 2;
        Inputs::new(vec![
            Tensor::new("x", vec![count, 2], TensorData::Fp32(rows.to_vec())).unwrap(),
            Tensor::new("text", vec![count], TensorData::Bytes(texts)).unwrap(),
        ])
        .unwrap()
    }

    #[test]
    fn what_is_joined_and_split_again_is_what_it_was() {
        let parts = [inputs(&[1.0, 2.0], &["a"]), inputs(&[3.0, 4.0, 5.0, 6.0], &["b", "c"])];
        let joined = Inputs::join(&parts).unwrap();
        assert_eq!(joined.batch(), 3);
        let answer = Outputs::new(3, joined.tensors().to_vec());
        let answers = answer.split(&[1, 2]).unwrap();
        for (answer, part) in answers.iter().zip(&parts) {
            assert_eq!(answer.tensors(), part.tensors());
            assert_eq!(answer.batch(), part.batch());
        }
    }

    #[test]
    fn requests_that_do_not_agree_are_not_joined() {
        let named = |name: &str, shape: Vec<u64>, data: TensorData| {
            Inputs::new(vec![Tensor::new(name, shape, data).unwrap()]).unwrap()
        };
        let one = named("x", vec![1, 2], TensorData::Fp32(vec![0.0; 2]));
        for other in [
            named("y", vec![1, 2], TensorData::Fp32(vec![0.0; 2])),
            named("x", vec![1, 3], TensorData::Fp32(vec![0.0; 3])),
            named("x", vec![1, 2], TensorData::Fp64(vec![0.0; 2])),
            named("x", vec![], TensorData::Fp32(vec![0.0])),
            Inputs::new(vec![]).unwrap(),
        ] {
            assert_eq!(Inputs::join([&one, &other]), None);
        }
        assert_eq!(Inputs::join([]), None);
    }

    #[test]
    fn an_answer_without_a_row_for_each_is_not_split() {
        let tensor = Tensor::new("y", vec![2], TensorData::Int64(vec![1, 2])).unwrap();
        let answer = Outputs::new(2, vec![tensor]);
        assert_eq!(answer.split(&[1, 2]), None);
        assert_eq!(answer.split(&[1]), None);
        assert_eq!(answer.split(&[u64::MAX, 2]), None);
        let scalar = Tensor::new("y", vec![], TensorData::Int64(vec![1])).unwrap();
        assert_eq!(Outputs::new(1, vec![scalar]).split(&[1]), None);
    }
}
