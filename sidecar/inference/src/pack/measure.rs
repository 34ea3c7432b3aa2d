//! How far a model's answers go from themselves when its weights become narrow, or thin.

use super::PackError;
use crate::{DataType, Inputs, Model, Tensor, TensorData, TensorSpec};

const ROWS: u64 = 64;
const ROUNDS: u64 = 4;

/// How far answers are apart, relative to the largest magnitude of each output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Deviation {
    /// The largest difference of any number.
    pub largest: f64,
    /// The mean difference.
    pub mean: f64,
    /// How many numbers were compared.
    pub numbers: usize,
}

/// Compares two models that take the same on the same inputs: floats spread evenly from -2 to 2,
/// integers 0 and 1, and texts that no list has. What the model meets in service may lie
/// elsewhere, so this finds weights that are too narrow, and proves none wide enough.
pub(super) fn deviation(wide: &dyn Model, narrow: &dyn Model) -> Result<Deviation, PackError> {
    let rows = ROWS.min(wide.max_batch());
    let mut noise = Noise::new();
    let (mut largest, mut sum, mut numbers) = (0.0_f64, 0.0, 0);
    for _ in 0..ROUNDS {
        let tensors = wide.signature().inputs.iter().map(|spec| input(spec, rows, &mut noise));
        let inputs = Inputs::new(tensors.collect::<Result<_, _>>()?)?;
        let (wide, narrow) = (wide.infer(inputs.clone())?, narrow.infer(inputs)?);
        for (wide, narrow) in wide.tensors().iter().zip(narrow.tensors()) {
            let (TensorData::Fp32(wide), TensorData::Fp32(narrow)) = (wide.data(), narrow.data())
            else {
                continue;
            };
            let scale = wide.iter().fold(f32::MIN_POSITIVE, |most, it| most.max(it.abs()));
            for (wide, narrow) in wide.iter().zip(narrow) {
                let apart = f64::from((wide - narrow).abs() / scale);
                // `max` would pass over what is not a number, which stays once it was found.
                largest = if apart <= largest || largest.is_nan() { largest } else { apart };
                sum += apart;
                numbers += 1;
            }
        }
    }
    Ok(Deviation { largest, mean: sum / numbers.max(1) as f64, numbers })
}

fn input(spec: &TensorSpec, rows: u64, noise: &mut Noise) -> Result<Tensor, crate::InferError> {
    let shape: Vec<u64> = spec
        .shape
        .iter()
        .enumerate()
        .map(|(axis, dim)| match u64::try_from(*dim) {
            Ok(dim) => dim,
            Err(_) if axis == 0 => rows,
            Err(_) => 8,
        })
        .collect();
    let count = shape.iter().product::<u64>();
    let data = match spec.datatype {
        DataType::Bool => TensorData::Bool((0..count).map(|_| noise.bit() == 1).collect()),
        DataType::Int32 => TensorData::Int32((0..count).map(|_| i32::from(noise.bit())).collect()),
        DataType::Int64 => TensorData::Int64((0..count).map(|_| i64::from(noise.bit())).collect()),
        DataType::Fp64 => TensorData::Fp64((0..count).map(|_| f64::from(noise.float())).collect()),
        DataType::Bytes => TensorData::Bytes(vec![vec![]; count as usize]),
        // Plans take no others.
        _ => TensorData::Fp32((0..count).map(|_| noise.float()).collect()),
    };
    Tensor::new(&spec.name, shape, data)
}

/// Numbers that look random and are always the same (xorshift64*, Vigna 2016).
pub(super) struct Noise(u64);

impl Noise {
    pub(super) const fn new() -> Self {
        Self(0x2013_0131)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn bit(&mut self) -> u8 {
        (self.next() >> 63) as u8
    }

    /// From -2 to 2.
    pub(super) fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 22) as f32 - 2.0
    }
}
