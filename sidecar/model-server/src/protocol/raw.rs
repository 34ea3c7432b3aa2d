//! Elements as bytes: little-endian, one after the other, as the binary tensor extension and
//! `raw_input_contents` have them. `BOOL` takes a byte that is 0 or 1; each element of `BYTES`
//! follows its length, four bytes.
//!
//! Source: "Binary Tensor Data Extension",
//! <https://github.com/kserve/open-inference-protocol>, and the same section of Triton's protocol
//! extensions.

use inference::{DataType, TensorData, f16};
use tenancy::problem::Problem;

use super::{ProtocolError, spec::Spec};

/// What stands before an element of `BYTES`.
const LENGTH_BYTES: usize = 4;

/// Reads the elements of the input that `spec` describes from all of `bytes`.
///
/// # Errors
/// `bad_shape` where there are more or fewer than its shape says, `invalid_request` where a byte of
/// `BOOL` is neither 0 nor 1.
pub(crate) fn read(spec: &Spec, bytes: &[u8]) -> Result<TensorData, ProtocolError> {
    Ok(match spec.datatype {
        DataType::Bool => TensorData::Bool(booleans(spec, bytes)?),
        DataType::Uint8 => TensorData::Uint8(each(spec, bytes, u8::from_le_bytes)?),
        DataType::Uint16 => TensorData::Uint16(each(spec, bytes, u16::from_le_bytes)?),
        DataType::Uint32 => TensorData::Uint32(each(spec, bytes, u32::from_le_bytes)?),
        DataType::Uint64 => TensorData::Uint64(each(spec, bytes, u64::from_le_bytes)?),
        DataType::Int8 => TensorData::Int8(each(spec, bytes, i8::from_le_bytes)?),
        DataType::Int16 => TensorData::Int16(each(spec, bytes, i16::from_le_bytes)?),
        DataType::Int32 => TensorData::Int32(each(spec, bytes, i32::from_le_bytes)?),
        DataType::Int64 => TensorData::Int64(each(spec, bytes, i64::from_le_bytes)?),
        DataType::Fp16 => TensorData::Fp16(each(spec, bytes, f16::from_le_bytes)?),
        DataType::Fp32 => TensorData::Fp32(each(spec, bytes, f32::from_le_bytes)?),
        DataType::Fp64 => TensorData::Fp64(each(spec, bytes, f64::from_le_bytes)?),
        DataType::Bytes => TensorData::Bytes(strings(spec, bytes)?),
    })
}

fn each<T, const WIDTH: usize>(
    spec: &Spec,
    bytes: &[u8],
    element: fn([u8; WIDTH]) -> T,
) -> Result<Vec<T>, ProtocolError> {
    let (elements, rest) = bytes.as_chunks::<WIDTH>();
    if !rest.is_empty() || elements.len() as u64 != spec.elements {
        return Err(not_filled(spec, bytes.len()));
    }
    Ok(elements.iter().map(|bytes| element(*bytes)).collect())
}

fn booleans(spec: &Spec, bytes: &[u8]) -> Result<Vec<bool>, ProtocolError> {
    let bytes = each(spec, bytes, u8::from_le_bytes)?;
    if let Some(at) = bytes.iter().position(|byte| *byte > 1) {
        return Err(ProtocolError::invalid(format!(
            "expected byte {at} of input `{}` to be 0 or 1, as its datatype BOOL says",
            spec.name
        )));
    }
    Ok(bytes.into_iter().map(|byte| byte == 1).collect())
}

fn strings(spec: &Spec, bytes: &[u8]) -> Result<Vec<Vec<u8>>, ProtocolError> {
    let refused = || not_filled(spec, bytes.len());
    let mut strings = vec![];
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first_chunk::<LENGTH_BYTES>() {
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| refused())?;
        let (text, after) = after.split_at_checked(length).ok_or_else(refused)?;
        strings.push(text.to_vec());
        rest = after;
    }
    if !rest.is_empty() || strings.len() as u64 != spec.elements {
        return Err(refused());
    }
    Ok(strings)
}

fn not_filled(spec: &Spec, found_bytes: usize) -> ProtocolError {
    let Spec { name, shape, datatype, .. } = spec;
    ProtocolError::new(
        Problem::BadShape,
        format!(
            "expected the {found_bytes} bytes of input `{name}` to be {datatype} elements of \
             shape {shape:?}, found that they are not"
        ),
    )
}

/// How many bytes `data` takes.
pub(crate) fn size(data: &TensorData) -> usize {
    let width = match data {
        TensorData::Bytes(values) => {
            return values.iter().map(|text| LENGTH_BYTES + text.len()).sum();
        }
        TensorData::Bool(_) | TensorData::Uint8(_) | TensorData::Int8(_) => 1,
        TensorData::Uint16(_) | TensorData::Int16(_) | TensorData::Fp16(_) => 2,
        TensorData::Uint32(_) | TensorData::Int32(_) | TensorData::Fp32(_) => 4,
        TensorData::Uint64(_) | TensorData::Int64(_) | TensorData::Fp64(_) => 8,
    };
    data.len() * width
}

/// Appends the elements of `data` to `bytes`.
pub(crate) fn write(data: &TensorData, bytes: &mut Vec<u8>) {
    macro_rules! append {
        ($values:expr) => {
            bytes.extend($values.iter().flat_map(|value| value.to_le_bytes()))
        };
    }
    match data {
        TensorData::Bool(values) => bytes.extend(values.iter().map(|value| u8::from(*value))),
        TensorData::Uint8(values) => bytes.extend_from_slice(values),
        TensorData::Uint16(values) => append!(values),
        TensorData::Uint32(values) => append!(values),
        TensorData::Uint64(values) => append!(values),
        TensorData::Int8(values) => append!(values),
        TensorData::Int16(values) => append!(values),
        TensorData::Int32(values) => append!(values),
        TensorData::Int64(values) => append!(values),
        TensorData::Fp16(values) => append!(values),
        TensorData::Fp32(values) => append!(values),
        TensorData::Fp64(values) => append!(values),
        TensorData::Bytes(values) => {
            for text in values {
                // A longer one could not have come, nor be sent.
                let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                bytes.extend_from_slice(&length.to_le_bytes());
                bytes.extend_from_slice(text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spec(datatype: DataType, elements: u64) -> Spec {
        Spec::new("x".to_owned(), vec![elements], datatype.as_str(), u64::MAX).unwrap()
    }

    fn written(data: &TensorData) -> Vec<u8> {
        let mut bytes = vec![];
        write(data, &mut bytes);
        bytes
    }

    #[test]
    fn each_datatype_is_little_endian_and_reads_as_it_was_written() {
        for (data, bytes) in [
            (TensorData::Bool(vec![true, false]), &[1, 0][..]),
            (TensorData::Uint8(vec![7, 255]), &[7, 255]),
            (TensorData::Uint16(vec![0x0102]), &[2, 1]),
            (TensorData::Uint32(vec![0x0102]), &[2, 1, 0, 0]),
            (TensorData::Uint64(vec![1]), &[1, 0, 0, 0, 0, 0, 0, 0]),
            (TensorData::Int8(vec![-1]), &[255]),
            (TensorData::Int16(vec![-2]), &[254, 255]),
            (TensorData::Int32(vec![-2]), &[254, 255, 255, 255]),
            (TensorData::Int64(vec![-1]), &[255; 8]),
            (TensorData::Fp16(vec![f16::ONE]), &[0, 0x3c]),
            (TensorData::Fp32(vec![1.0]), &[0, 0, 0x80, 0x3f]),
            (TensorData::Fp64(vec![1.0]), &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f]),
            (TensorData::Bytes(vec![vec![0xff, 0], vec![]]), &[2, 0, 0, 0, 0xff, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(written(&data), bytes, "{data:?}");
            assert_eq!(size(&data), bytes.len());
            assert_eq!(read(&spec(data.datatype(), data.len() as u64), bytes), Ok(data));
        }
    }

    #[test]
    fn bytes_that_do_not_fill_the_shape_exactly_are_refused() {
        for (datatype, elements, bytes) in [
            (DataType::Fp32, 2, &[0; 7][..]),
            (DataType::Fp32, 2, &[0; 9]),
            (DataType::Fp32, 1, &[0; 8]),
            (DataType::Bytes, 1, &[5, 0, 0, 0, 1]),
            (DataType::Bytes, 1, &[0xff, 0xff, 0xff, 0xff]),
            (DataType::Bytes, 1, &[0, 0, 0]),
            (DataType::Bytes, 1, &[0; 8]),
        ] {
            let refused = read(&spec(datatype, elements), bytes).unwrap_err();
            assert_eq!(refused.problem, Problem::BadShape, "{datatype} {bytes:?}");
        }
        let refused = read(&spec(DataType::Bool, 2), &[1, 2]).unwrap_err();
        assert_eq!(refused.problem, Problem::InvalidRequest);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_as_what_writes_them_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..64),
            datatype in prop::sample::select(DataType::ALL),
            elements in 0..40_u64,
        ) {
            if let Ok(data) = read(&spec(datatype, elements), &bytes) {
                prop_assert_eq!(data.len() as u64, elements);
                prop_assert_eq!(written(&data), bytes);
            }
        }
    }
}
