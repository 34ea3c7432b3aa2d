//! The functions that there are.

use super::super::Type;
use crate::program::Function;

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    List,
    Strings,
    Map,
    Any,
}

impl Takes {
    pub(super) fn fits(self, ty: &Type) -> bool {
        match (self, ty) {
            (_, Type::Dyn) | (Takes::Any, _) => true,
            (Takes::Bool, Type::Bool)
            | (Takes::Int, Type::Int)
            | (Takes::Uint, Type::Uint)
            | (Takes::Double, Type::Double)
            | (Takes::String, Type::String)
            | (Takes::Bytes, Type::Bytes)
            | (Takes::Timestamp, Type::Timestamp)
            | (Takes::Duration, Type::Duration)
            | (Takes::List, Type::List(_))
            | (Takes::Map, Type::Map(..)) => true,
            (Takes::Strings, Type::List(element)) => element.fits(&Type::String),
            _ => false,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Takes::Bool => "bool",
            Takes::Int => "int",
            Takes::Uint => "uint",
            Takes::Double => "double",
            Takes::String => "string",
            Takes::Bytes => "bytes",
            Takes::Timestamp => "timestamp",
            Takes::Duration => "duration",
            Takes::List => "list",
            Takes::Strings => "list(string)",
            Takes::Map => "map",
            Takes::Any => "any",
        }
    }
}

/// `string, bytes or list`.
pub(super) fn names(takes: &[Takes]) -> String {
    let names: Vec<&str> = takes.iter().map(|it| it.name()).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// A way to call a function.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) function: Function,
    /// Whether the first parameter stands before the point.
    pub(super) method: bool,
    pub(super) parameters: &'static [&'static [Takes]],
    pub(super) gives: Gives,
}

/// What a function gives.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    Strings,
    Type,
}

impl Gives {
    pub(super) fn ty(self) -> Type {
        match self {
            Gives::Bool => Type::Bool,
            Gives::Int => Type::Int,
            Gives::Uint => Type::Uint,
            Gives::Double => Type::Double,
            Gives::String => Type::String,
            Gives::Bytes => Type::Bytes,
            Gives::Timestamp => Type::Timestamp,
            Gives::Duration => Type::Duration,
            Gives::Strings => Type::list(Type::String),
            Gives::Type => Type::Type,
        }
    }
}

const fn global(
    name: &'static str,
    function: Function,
    parameters: &'static [&'static [Takes]],
    gives: Gives,
) -> Shape {
    Shape { name, function, method: false, parameters, gives }
}

const fn method(
    name: &'static str,
    function: Function,
    parameters: &'static [&'static [Takes]],
    gives: Gives,
) -> Shape {
    Shape { name, function, method: true, parameters, gives }
}

const TEXT: &[Takes] = &[Takes::String];
const SIZED: &[Takes] = &[Takes::String, Takes::Bytes, Takes::List, Takes::Map];
const MOMENT: &[Takes] = &[Takes::Timestamp];
const TIME: &[Takes] = &[Takes::Timestamp, Takes::Duration];
const NUMBER: &[Takes] = &[Takes::Int, Takes::Uint, Takes::Double, Takes::String];

/// Every function but `matches()` and `dyn()`, which [`super::call`] knows by name.
pub(super) const FUNCTIONS: &[Shape] = &[
    global("size", Function::Size, &[SIZED], Gives::Int),
    method("size", Function::Size, &[SIZED], Gives::Int),
    method("contains", Function::Contains, &[TEXT, TEXT], Gives::Bool),
    method("startsWith", Function::StartsWith, &[TEXT, TEXT], Gives::Bool),
    method("endsWith", Function::EndsWith, &[TEXT, TEXT], Gives::Bool),
    method("lowerAscii", Function::LowerAscii, &[TEXT], Gives::String),
    method("upperAscii", Function::UpperAscii, &[TEXT], Gives::String),
    method("trim", Function::Trim, &[TEXT], Gives::String),
    method("split", Function::Split, &[TEXT, TEXT], Gives::Strings),
    method("join", Function::Join, &[&[Takes::Strings]], Gives::String),
    method("join", Function::Join, &[&[Takes::Strings], TEXT], Gives::String),
    method("substring", Function::Substring, &[TEXT, &[Takes::Int]], Gives::String),
    method("substring", Function::Substring, &[TEXT, &[Takes::Int], &[Takes::Int]], Gives::String),
    method("indexOf", Function::IndexOf, &[TEXT, TEXT], Gives::Int),
    global("bool", Function::ToBool, &[&[Takes::Bool, Takes::String]], Gives::Bool),
    global(
        "int",
        Function::ToInt,
        &[&[Takes::Int, Takes::Uint, Takes::Double, Takes::String, Takes::Timestamp]],
        Gives::Int,
    ),
    global("uint", Function::ToUint, &[NUMBER], Gives::Uint),
    global("double", Function::ToDouble, &[NUMBER], Gives::Double),
    global(
        "string",
        Function::ToString,
        &[&[
            Takes::Bool,
            Takes::Int,
            Takes::Uint,
            Takes::Double,
            Takes::String,
            Takes::Bytes,
            Takes::Timestamp,
            Takes::Duration,
        ]],
        Gives::String,
    ),
    global("bytes", Function::ToBytes, &[&[Takes::String, Takes::Bytes]], Gives::Bytes),
    global(
        "timestamp",
        Function::ToTimestamp,
        &[&[Takes::Int, Takes::String, Takes::Timestamp]],
        Gives::Timestamp,
    ),
    global("duration", Function::ToDuration, &[&[Takes::String, Takes::Duration]], Gives::Duration),
    global("type", Function::TypeOf, &[&[Takes::Any]], Gives::Type),
    method("getFullYear", Function::FullYear, &[MOMENT], Gives::Int),
    method("getFullYear", Function::FullYear, &[MOMENT, TEXT], Gives::Int),
    method("getMonth", Function::Month, &[MOMENT], Gives::Int),
    method("getMonth", Function::Month, &[MOMENT, TEXT], Gives::Int),
    method("getDate", Function::Date, &[MOMENT], Gives::Int),
    method("getDate", Function::Date, &[MOMENT, TEXT], Gives::Int),
    method("getDayOfMonth", Function::DayOfMonth, &[MOMENT], Gives::Int),
    method("getDayOfMonth", Function::DayOfMonth, &[MOMENT, TEXT], Gives::Int),
    method("getDayOfWeek", Function::DayOfWeek, &[MOMENT], Gives::Int),
    method("getDayOfWeek", Function::DayOfWeek, &[MOMENT, TEXT], Gives::Int),
    method("getDayOfYear", Function::DayOfYear, &[MOMENT], Gives::Int),
    method("getDayOfYear", Function::DayOfYear, &[MOMENT, TEXT], Gives::Int),
    method("getHours", Function::Hours, &[TIME], Gives::Int),
    method("getHours", Function::Hours, &[MOMENT, TEXT], Gives::Int),
    method("getMinutes", Function::Minutes, &[TIME], Gives::Int),
    method("getMinutes", Function::Minutes, &[MOMENT, TEXT], Gives::Int),
    method("getSeconds", Function::Seconds, &[TIME], Gives::Int),
    method("getSeconds", Function::Seconds, &[MOMENT, TEXT], Gives::Int),
    method("getMilliseconds", Function::Milliseconds, &[TIME], Gives::Int),
    method("getMilliseconds", Function::Milliseconds, &[MOMENT, TEXT], Gives::Int),
];
