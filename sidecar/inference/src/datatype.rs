//! The datatypes of the Open Inference Protocol v2.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

macro_rules! datatypes {
    ($($variant:ident = $name:literal;)*) => {
        /// What an element of a tensor is. Names as in the Open Inference Protocol v2, section
        /// "Tensor Data Types"; datatypes that it does not name are not served.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum DataType {
            $(#[doc = concat!("`", $name, "`.")] #[serde(rename = $name)] $variant,)*
        }

        impl DataType {
            /// Every datatype there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The protocol's name for it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

datatypes! {
    Bool = "BOOL";
    Uint8 = "UINT8";
    Uint16 = "UINT16";
    Uint32 = "UINT32";
    Uint64 = "UINT64";
    Int8 = "INT8";
    Int16 = "INT16";
    Int32 = "INT32";
    Int64 = "INT64";
    Fp16 = "FP16";
    Fp32 = "FP32";
    Fp64 = "FP64";
    Bytes = "BYTES";
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A datatype's name that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a datatype of the Open Inference Protocol, such as `FP32`, found `{found}`")]
pub struct UnknownDataType {
    /// The refused text, shortened.
    pub found: String,
}

impl FromStr for DataType {
    type Err = UnknownDataType;

    fn from_str(name: &str) -> Result<Self, UnknownDataType> {
        Self::ALL
            .iter()
            .copied()
            .find(|datatype| datatype.as_str() == name)
            .ok_or_else(|| UnknownDataType { found: name.chars().take(32).collect() })
    }
}
