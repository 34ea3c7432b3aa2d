//! Elements in the typed lists of a message, one list for several datatypes.

use inference::{DataType, TensorData};
use tenancy::problem::Problem;

use super::messages::Contents;
use crate::protocol::{ProtocolError, spec::Spec};

/// Takes the elements of the input that `spec` describes; [`inference::Tensor::new`] counts them.
///
/// # Errors
/// `invalid_request` where one is out of its datatype's range, where another list than the
/// datatype's holds elements, and for `FP16`, which has no list.
pub(super) fn read(spec: &Spec, contents: Contents) -> Result<TensorData, ProtocolError> {
    let lists = Lists::of(&contents);
    let (data, own) = match spec.datatype {
        DataType::Bool => (TensorData::Bool(contents.bools), Lists::BOOLS),
        DataType::Uint8 => (TensorData::Uint8(narrow(spec, contents.uints)?), Lists::UINTS),
        DataType::Uint16 => (TensorData::Uint16(narrow(spec, contents.uints)?), Lists::UINTS),
        DataType::Uint32 => (TensorData::Uint32(contents.uints), Lists::UINTS),
        DataType::Uint64 => (TensorData::Uint64(contents.uint64s), Lists::UINT64S),
        DataType::Int8 => (TensorData::Int8(narrow(spec, contents.ints)?), Lists::INTS),
        DataType::Int16 => (TensorData::Int16(narrow(spec, contents.ints)?), Lists::INTS),
        DataType::Int32 => (TensorData::Int32(contents.ints), Lists::INTS),
        DataType::Int64 => (TensorData::Int64(contents.int64s), Lists::INT64S),
        DataType::Fp32 => (TensorData::Fp32(contents.fp32s), Lists::FP32S),
        DataType::Fp64 => (TensorData::Fp64(contents.fp64s), Lists::FP64S),
        DataType::Bytes => (TensorData::Bytes(contents.bytes), Lists::BYTES),
        DataType::Fp16 => return Err(no_list(spec)),
    };
    if lists.others_than(own) {
        let Spec { name, datatype, .. } = spec;
        return Err(ProtocolError::invalid(format!(
            "expected the contents of input `{name}` in the list of datatype {datatype}, found \
             elements in another one"
        )));
    }
    Ok(data)
}

/// The elements of `data`; `None` for `FP16`, which has no list.
pub(super) fn write(data: TensorData) -> Option<Contents> {
    let empty = Contents::default();
    Some(match data {
        TensorData::Bool(bools) => Contents { bools, ..empty },
        TensorData::Uint8(values) => Contents { uints: widen(values), ..empty },
        TensorData::Uint16(values) => Contents { uints: widen(values), ..empty },
        TensorData::Uint32(uints) => Contents { uints, ..empty },
        TensorData::Uint64(uint64s) => Contents { uint64s, ..empty },
        TensorData::Int8(values) => Contents { ints: widen(values), ..empty },
        TensorData::Int16(values) => Contents { ints: widen(values), ..empty },
        TensorData::Int32(ints) => Contents { ints, ..empty },
        TensorData::Int64(int64s) => Contents { int64s, ..empty },
        TensorData::Fp32(fp32s) => Contents { fp32s, ..empty },
        TensorData::Fp64(fp64s) => Contents { fp64s, ..empty },
        TensorData::Bytes(bytes) => Contents { bytes, ..empty },
        TensorData::Fp16(_) => return None,
    })
}

fn narrow<W: Copy, N: TryFrom<W>>(spec: &Spec, values: Vec<W>) -> Result<Vec<N>, ProtocolError> {
    let narrowed = values.into_iter().enumerate().map(|(at, value)| {
        N::try_from(value).map_err(|_| {
            let Spec { name, datatype, .. } = spec;
            ProtocolError::invalid(format!(
                "expected element {at} of input `{name}` to be in the range of {datatype}"
            ))
        })
    });
    narrowed.collect()
}

fn widen<N, W: From<N>>(values: Vec<N>) -> Vec<W> {
    values.into_iter().map(W::from).collect()
}

fn no_list(spec: &Spec) -> ProtocolError {
    ProtocolError::new(
        Problem::InvalidRequest,
        format!(
            "expected input `{}` of datatype FP16 in `raw_input_contents`: the protocol has no \
             list for it",
            spec.name
        ),
    )
}

/// Which lists hold elements, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lists(u8);

impl Lists {
    const BOOLS: Self = Self(1);
    const INTS: Self = Self(1 << 1);
    const INT64S: Self = Self(1 << 2);
    const UINTS: Self = Self(1 << 3);
    const UINT64S: Self = Self(1 << 4);
    const FP32S: Self = Self(1 << 5);
    const FP64S: Self = Self(1 << 6);
    const BYTES: Self = Self(1 << 7);

    fn of(contents: &Contents) -> Self {
        let lists = [
            (Self::BOOLS, contents.bools.is_empty()),
            (Self::INTS, contents.ints.is_empty()),
            (Self::INT64S, contents.int64s.is_empty()),
            (Self::UINTS, contents.uints.is_empty()),
            (Self::UINT64S, contents.uint64s.is_empty()),
            (Self::FP32S, contents.fp32s.is_empty()),
            (Self::FP64S, contents.fp64s.is_empty()),
            (Self::BYTES, contents.bytes.is_empty()),
        ];
        let filled = lists.iter().filter(|(_, empty)| !empty);
        Self(filled.fold(0, |bits, (list, _)| bits | list.0))
    }

    const fn others_than(self, own: Self) -> bool {
        self.0 & !own.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(datatype: DataType) -> Spec {
        Spec::new("x".to_owned(), vec![1], datatype.as_str(), 1).unwrap()
    }

    #[test]
    fn every_datatype_but_fp16_reads_as_it_was_written() {
        for data in [
            TensorData::Bool(vec![true]),
            TensorData::Uint8(vec![255]),
            TensorData::Uint16(vec![u16::MAX]),
            TensorData::Uint32(vec![u32::MAX]),
            TensorData::Uint64(vec![u64::MAX]),
            TensorData::Int8(vec![i8::MIN]),
            TensorData::Int16(vec![i16::MIN]),
            TensorData::Int32(vec![i32::MIN]),
            TensorData::Int64(vec![i64::MIN]),
            TensorData::Fp32(vec![0.5]),
            TensorData::Fp64(vec![0.25]),
            TensorData::Bytes(vec![vec![0xff, 0]]),
        ] {
            let contents = write(data.clone()).unwrap();
            assert_eq!(read(&spec(data.datatype()), contents), Ok(data));
        }
        assert_eq!(write(TensorData::Fp16(vec![])), None);
        assert!(read(&spec(DataType::Fp16), Contents::default()).is_err());
    }

    #[test]
    fn an_element_out_of_range_or_in_anothers_list_is_refused() {
        let ints = |ints| Contents { ints, ..Contents::default() };
        for (datatype, contents) in [
            (DataType::Int8, ints(vec![128])),
            (DataType::Int64, ints(vec![1])),
            (DataType::Uint8, Contents { uints: vec![256], ..Contents::default() }),
            (DataType::Int32, Contents { fp32s: vec![1.0], ..ints(vec![1]) }),
        ] {
            let refused = read(&spec(datatype), contents).unwrap_err();
            assert_eq!(refused.problem, Problem::InvalidRequest, "{datatype}");
        }
    }
}
