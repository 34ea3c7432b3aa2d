//! Inputs that mean nothing.

use half::f16;

use crate::{DataType, Inputs, Signature, Tensor, TensorData};

/// The most elements that one input of nothing has.
const MOST_ELEMENTS: u64 = 1 << 24;

impl Signature {
    /// A request of one row that is all zeros and empty texts, with every open dimension 1: what a
    /// model can be run on before anybody asks. `None` where that is too large to be made lightly.
    pub fn zeros(&self) -> Option<Inputs> {
        self.zeros_of(1)
    }

    /// As [`Signature::zeros`], of so many rows.
    pub fn zeros_of(&self, rows: u64) -> Option<Inputs> {
        let tensors = self.inputs.iter().map(|spec| {
            let open = |axis: usize| if axis == 0 { rows } else { 1 };
            let dims = spec.shape.iter().enumerate();
            let shape: Vec<u64> =
                dims.map(|(axis, dim)| u64::try_from(*dim).unwrap_or(open(axis))).collect();
            let elements = shape.iter().try_fold(1_u64, |product, dim| product.checked_mul(*dim));
            let elements = elements.filter(|elements| *elements <= MOST_ELEMENTS)?;
            let data = zeros(spec.datatype, usize::try_from(elements).ok()?);
            Tensor::new(spec.name.clone(), shape, data).ok()
        });
        Inputs::new(tensors.collect::<Option<_>>()?).ok()
    }
}

fn zeros(datatype: DataType, elements: usize) -> TensorData {
    match datatype {
        DataType::Bool => TensorData::Bool(vec![false; elements]),
        DataType::Uint8 => TensorData::Uint8(vec![0; elements]),
        DataType::Uint16 => TensorData::Uint16(vec![0; elements]),
        DataType::Uint32 => TensorData::Uint32(vec![0; elements]),
        DataType::Uint64 => TensorData::Uint64(vec![0; elements]),
        DataType::Int8 => TensorData::Int8(vec![0; elements]),
        DataType::Int16 => TensorData::Int16(vec![0; elements]),
        DataType::Int32 => TensorData::Int32(vec![0; elements]),
        DataType::Int64 => TensorData::Int64(vec![0; elements]),
        DataType::Fp16 => TensorData::Fp16(vec![f16::ZERO; elements]),
        DataType::Fp32 => TensorData::Fp32(vec![0.0; elements]),
        DataType::Fp64 => TensorData::Fp64(vec![0.0; elements]),
        DataType::Bytes => TensorData::Bytes(vec![vec![]; elements]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TensorSpec;

    #[test]
    fn a_request_of_nothing_fits_the_signature() {
        let signature = Signature {
            inputs: vec![
                TensorSpec::new("x", DataType::Fp32, vec![-1, 3]),
                TensorSpec::new("text", DataType::Bytes, vec![-1]),
            ],
            ..Signature::default()
        };
        assert_eq!(signature.check(&signature.zeros().unwrap(), 1), Ok(1));
        assert_eq!(signature.check(&signature.zeros_of(7).unwrap(), 7), Ok(7));
        let large = TensorSpec::new("x", DataType::Fp32, vec![-1, 1 << 40]);
        assert_eq!(Signature { inputs: vec![large], ..signature }.zeros(), None);
    }
}
