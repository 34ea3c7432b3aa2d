//! The types of expressions.

use std::fmt;

/// The type of an expression or a variable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Type {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A signed number of 64 bits.
    Int,
    /// An unsigned number of 64 bits.
    Uint,
    /// A floating-point number of 64 bits.
    Double,
    /// Text.
    String,
    /// Bytes.
    Bytes,
    /// A moment.
    Timestamp,
    /// A length of time.
    Duration,
    /// A type, as `type()` gives.
    Type,
    /// Anything, looked at when evaluated.
    Dyn,
    /// A list of elements of a type.
    List(Box<Type>),
    /// A map from keys of a type to values of a type.
    Map(Box<Type>, Box<Type>),
}

impl Type {
    /// A list of `element`s.
    pub fn list(element: Type) -> Self {
        Type::List(Box::new(element))
    }

    /// A map from text to `value`s.
    pub fn map(value: Type) -> Self {
        Type::Map(Box::new(Type::String), Box::new(value))
    }

    /// Whether a value of one can be one of the other, which [`Type::Dyn`] leaves to evaluation.
    pub(super) fn fits(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::Dyn, _) | (_, Type::Dyn) => true,
            (Type::List(a), Type::List(b)) => a.fits(b),
            (Type::Map(a, b), Type::Map(c, d)) => a.fits(c) && b.fits(d),
            (a, b) => a == b,
        }
    }

    /// The type of what is one or the other, where they fit.
    pub(super) fn join(self, other: Type) -> Type {
        match (self, other) {
            (Type::List(a), Type::List(b)) => Type::list(a.join(*b)),
            (Type::Map(a, b), Type::Map(c, d)) => {
                Type::Map(Box::new(a.join(*c)), Box::new(b.join(*d)))
            }
            (a, b) if a == b => a,
            _ => Type::Dyn,
        }
    }

    pub(super) fn is_numeric(&self) -> bool {
        matches!(self, Type::Int | Type::Uint | Type::Double)
    }

    /// Whether its values are all of one small size.
    pub(super) fn is_fixed(&self) -> bool {
        match self {
            Type::Null
            | Type::Bool
            | Type::Int
            | Type::Uint
            | Type::Double
            | Type::Timestamp
            | Type::Duration
            | Type::Type => true,
            Type::String | Type::Bytes | Type::Dyn | Type::List(_) | Type::Map(..) => false,
        }
    }
}

impl fmt::Display for Type {
    /// As CEL writes it: `map(string, dyn)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Null => f.write_str("null"),
            Type::Bool => f.write_str("bool"),
            Type::Int => f.write_str("int"),
            Type::Uint => f.write_str("uint"),
            Type::Double => f.write_str("double"),
            Type::String => f.write_str("string"),
            Type::Bytes => f.write_str("bytes"),
            Type::Timestamp => f.write_str("timestamp"),
            Type::Duration => f.write_str("duration"),
            Type::Type => f.write_str("type"),
            Type::Dyn => f.write_str("dyn"),
            Type::List(element) => write!(f, "list({element})"),
            Type::Map(key, value) => write!(f, "map({key}, {value})"),
        }
    }
}
