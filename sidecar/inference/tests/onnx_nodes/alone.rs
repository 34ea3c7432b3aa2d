//! tract without Bulkhead around it, as its documentation says to use it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use inference::{Tensor, TensorData};
use tract_onnx::prelude::{
    Framework, InferenceModelExt, IntoRunnable, TValue, Tensor as TractTensor, TractResult,
    tract_ndarray,
};

use super::Case;

/// Whether tract alone passes a test.
pub fn passes(case: &Case) -> bool {
    let answered = catch_unwind(AssertUnwindSafe(|| answer(case)));
    answered.is_ok_and(|it| it.is_ok_and(|answer| case.is_answered_by(&answer)))
}

fn answer(case: &Case) -> TractResult<Vec<Tensor>> {
    let model = tract_onnx::onnx().model_for_read(&mut &*case.onnx)?;
    let plan = model.into_optimized()?.into_runnable()?;
    let inputs = case.inputs.iter().map(given).collect::<TractResult<_>>()?;
    plan.run(inputs)?.iter().map(|answer| answered(answer)).collect()
}

fn given(tensor: &Tensor) -> TractResult<TValue> {
    let shape: Vec<usize> = tensor.shape().iter().map(|dim| *dim as usize).collect();
    macro_rules! convert {
        ($($kind:ident)*) => {
            match tensor.data() {
                $(TensorData::$kind(values) => TractTensor::from_shape(&shape, values)?,)*
                TensorData::Bytes(texts) => {
                    let texts = texts.iter().map(|it| String::from_utf8_lossy(it).into_owned());
                    tract_ndarray::ArrayD::from_shape_vec(shape, texts.collect())?.into()
                }
            }
        };
    }
    let converted: TractTensor =
        convert!(Bool Uint8 Uint16 Uint32 Uint64 Int8 Int16 Int32 Int64 Fp16 Fp32 Fp64);
    Ok(converted.into())
}

fn answered(value: &TractTensor) -> TractResult<Tensor> {
    use tract_onnx::prelude::DatumType as Kind;
    let value = match value.datum_type() {
        Kind::TDim => value.cast_to::<i64>()?.into_owned(),
        _ => value.clone(),
    };
    let plain = value.try_as_plain_ram()?;
    macro_rules! convert {
        ($($theirs:ident $kind:ident $of:ty;)*) => {
            match value.datum_type() {
                $(Kind::$theirs => TensorData::$kind(plain.as_slice::<$of>()?.to_vec()),)*
                Kind::String => {
                    let texts = plain.as_slice::<String>()?.iter();
                    TensorData::Bytes(texts.map(|it| it.clone().into_bytes()).collect())
                }
                other => return Err(std::io::Error::other(format!("{other:?}")).into()),
            }
        };
    }
    let data = convert! {
        Bool Bool bool; U8 Uint8 u8; U16 Uint16 u16; U32 Uint32 u32; U64 Uint64 u64;
        I8 Int8 i8; I16 Int16 i16; I32 Int32 i32; I64 Int64 i64;
        F16 Fp16 half::f16; F32 Fp32 f32; F64 Fp64 f64;
    };
    let shape = value.shape().iter().map(|dim| *dim as u64).collect();
    Tensor::new("", shape, data).map_err(|error| std::io::Error::other(error.to_string()).into())
}
