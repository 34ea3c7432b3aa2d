//! Property values as they cross the boundary.

use std::time::Duration;

use crate::{Headers, pairs};

/// The value of a property, serialised as Envoy does it: text and bytes as they are, numbers as 8 bytes,
/// little-endian, a truth value as one byte, times (since the Unix epoch) and durations as a number
/// of nanoseconds, maps as headers are.
///
/// ```
/// use std::time::Duration;
/// use wasm_host::PropertyValue;
///
/// assert_eq!(PropertyValue::from("eu"), PropertyValue::from(b"eu".to_vec()));
/// assert_eq!(PropertyValue::from(443_i64), PropertyValue::from(443_i64.to_le_bytes().to_vec()));
/// assert_eq!(PropertyValue::from(Duration::from_secs(1)), PropertyValue::from(1_000_000_000_i64));
/// assert_eq!(PropertyValue::from(true), PropertyValue::from(vec![1]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyValue(Vec<u8>);

impl PropertyValue {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl From<&str> for PropertyValue {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for PropertyValue {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Vec<u8>> for PropertyValue {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for PropertyValue {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl From<i64> for PropertyValue {
    fn from(number: i64) -> Self {
        Self(number.to_le_bytes().into())
    }
}

impl From<u64> for PropertyValue {
    fn from(number: u64) -> Self {
        Self(number.to_le_bytes().into())
    }
}

impl From<f64> for PropertyValue {
    fn from(number: f64) -> Self {
        Self(number.to_le_bytes().into())
    }
}

impl From<bool> for PropertyValue {
    fn from(truth: bool) -> Self {
        Self(vec![u8::from(truth)])
    }
}

impl From<Duration> for PropertyValue {
    fn from(duration: Duration) -> Self {
        i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX).into()
    }
}

impl From<&Headers> for PropertyValue {
    fn from(map: &Headers) -> Self {
        Self(pairs::encode(map))
    }
}
