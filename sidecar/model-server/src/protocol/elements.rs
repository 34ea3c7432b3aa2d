//! One element of a tensor, from one JSON value.

/// A JSON value that is no array and no object.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    /// Negative.
    Signed(i64),
    Float(f64),
    Text(&'a str),
}

impl Scalar<'_> {
    /// What it is, for a refusal; the value itself could be long.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Unsigned(value) => value.to_string(),
            Self::Signed(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(_) => "a string".to_owned(),
        }
    }
}

/// An element of a tensor.
pub(super) trait Element: Sized {
    /// What a JSON value has to be.
    const EXPECTED: &'static str;

    /// The element, where the value is one and is in the datatype's range.
    fn from_scalar(scalar: Scalar<'_>) -> Option<Self>;
}

impl Element for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        match scalar {
            Scalar::Bool(value) => Some(value),
            _ => None,
        }
    }
}

macro_rules! integers {
    ($($type:ty = $expected:literal;)*) => {$(
        impl Element for $type {
            const EXPECTED: &'static str = $expected;

            fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
                match scalar {
                    Scalar::Unsigned(value) => value.try_into().ok(),
                    Scalar::Signed(value) => value.try_into().ok(),
                    _ => None,
                }
            }
        }
    )*};
}

integers! {
    u8 = "an integer from 0 to 255";
    u16 = "an integer from 0 to 65535";
    u32 = "an integer from 0 to 4294967295";
    u64 = "an integer from 0 to 18446744073709551615";
    i8 = "an integer from -128 to 127";
    i16 = "an integer from -32768 to 32767";
    i32 = "an integer from -2147483648 to 2147483647";
    i64 = "an integer from -9223372036854775808 to 9223372036854775807";
}

macro_rules! floats {
    ($($type:ty = $expected:literal;)*) => {$(
        impl Element for $type {
            const EXPECTED: &'static str = $expected;

            fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
                let value = match scalar {
                    Scalar::Unsigned(value) => value as Self,
                    Scalar::Signed(value) => value as Self,
                    Scalar::Float(value) => value as Self,
                    _ => return None,
                };
                value.is_finite().then_some(value)
            }
        }
    )*};
}

floats! {
    f32 = "a number within the range of FP32";
    f64 = "a number";
}

impl Element for Vec<u8> {
    const EXPECTED: &'static str = "a string";

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        match scalar {
            Scalar::Text(text) => Some(text.as_bytes().to_vec()),
            _ => None,
        }
    }
}
