//! What an input says of itself beside its data.

use inference::DataType;
use tenancy::problem::Problem;

use super::ProtocolError;

/// Name, shape and datatype of an input, checked against themselves.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(super) name: String,
    pub(super) shape: Vec<u64>,
    pub(super) datatype: DataType,
    /// The product of the shape.
    pub(super) elements: u64,
}

impl Spec {
    /// Reads it. Each element takes a byte of the request at least, of which there are
    /// `request_bytes`.
    ///
    /// # Errors
    /// `wrong_datatype` and `bad_shape`, with the input.
    pub(crate) fn new(
        name: String,
        shape: Vec<u64>,
        datatype: &str,
        request_bytes: u64,
    ) -> Result<Self, ProtocolError> {
        let datatype: DataType = datatype.parse().map_err(|error| {
            ProtocolError::new(Problem::WrongDatatype, format!("input `{name}`: {error}"))
        })?;
        let elements = shape.iter().try_fold(1_u64, |product, dim| product.checked_mul(*dim));
        match elements.filter(|elements| *elements <= request_bytes) {
            Some(elements) => Ok(Self { name, shape, datatype, elements }),
            None => Err(ProtocolError::new(
                Problem::BadShape,
                format!(
                    "expected the data of input `{name}` to fill its shape {shape:?}, found less"
                ),
            )),
        }
    }
}
