//! Values: what variables lend and what expressions give.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

/// A value. Text, lists and maps that come from outside are borrowed.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A floating-point number (IEEE 754, binary64).
    Double(f64),
    /// Text.
    String(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// Nanoseconds since 1970-01-01T00:00:00Z, negative before. The years 1 to 9999 are valid.
    Timestamp(i128),
    /// Nanoseconds, at most 2^63 of them either way.
    Duration(i64),
    /// Values in an order.
    List(List<'a>),
    /// Values by keys.
    Map(Map<'a>),
    /// A type, as `type()` gives.
    Type(Kind),
}

/// A list, lent by a variable or made by an expression.
#[derive(Clone)]
pub enum List<'a> {
    /// Lent.
    Lent(&'a (dyn Sequence + 'a)),
    /// Made.
    Made(Rc<Vec<Value<'a>>>),
}

/// A map, lent by a variable or made by an expression.
#[derive(Clone)]
pub enum Map<'a> {
    /// Lent; its keys are text.
    Lent(&'a (dyn Mapping + 'a)),
    /// Made.
    Made(Rc<Vec<(Value<'a>, Value<'a>)>>),
}

/// A list as its owner keeps it.
pub trait Sequence {
    /// How many elements there are.
    fn len(&self) -> usize;

    /// The element at `index`; `None` at and above [`Sequence::len`].
    fn get(&self, index: usize) -> Option<Value<'_>>;

    /// Whether there is no element.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A map with text for keys as its owner keeps it.
pub trait Mapping {
    /// How many entries there are.
    fn len(&self) -> usize;

    /// The value of `key`.
    fn get<'s>(&'s self, key: &str) -> Option<Value<'s>>;

    /// Its keys, each once, in any order that stays the same.
    fn keys(&self) -> Box<dyn Iterator<Item = &str> + '_>;

    /// Whether there is no entry.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Which type a value is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is the type of the value of the same name")]
pub enum Kind {
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    List,
    Map,
    Type,
}

impl Kind {
    pub(crate) const ALL: [Kind; 12] = [
        Kind::Null,
        Kind::Bool,
        Kind::Int,
        Kind::Uint,
        Kind::Double,
        Kind::String,
        Kind::Bytes,
        Kind::Timestamp,
        Kind::Duration,
        Kind::List,
        Kind::Map,
        Kind::Type,
    ];

    /// The type's name in CEL.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Null => "null_type",
            Kind::Bool => "bool",
            Kind::Int => "int",
            Kind::Uint => "uint",
            Kind::Double => "double",
            Kind::String => "string",
            Kind::Bytes => "bytes",
            Kind::Timestamp => "google.protobuf.Timestamp",
            Kind::Duration => "google.protobuf.Duration",
            Kind::List => "list",
            Kind::Map => "map",
            Kind::Type => "type",
        }
    }
}

impl fmt::Display for Kind {
    /// As diagnostics say it: `a string`, `an int`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Null => "null",
            Kind::Bool => "a bool",
            Kind::Int => "an int",
            Kind::Uint => "a uint",
            Kind::Double => "a double",
            Kind::String => "a string",
            Kind::Bytes => "bytes",
            Kind::Timestamp => "a timestamp",
            Kind::Duration => "a duration",
            Kind::List => "a list",
            Kind::Map => "a map",
            Kind::Type => "a type",
        })
    }
}

impl<'a> Value<'a> {
    /// A timestamp of whole `seconds` since 1970-01-01T00:00:00Z.
    pub fn unix_seconds(seconds: i64) -> Self {
        Value::Timestamp(i128::from(seconds) * 1_000_000_000)
    }

    /// A list that `owner` keeps.
    pub fn list(owner: &'a (dyn Sequence + 'a)) -> Self {
        Value::List(List::Lent(owner))
    }

    /// A map that `owner` keeps.
    pub fn map(owner: &'a (dyn Mapping + 'a)) -> Self {
        Value::Map(Map::Lent(owner))
    }

    /// Which type it is of.
    pub fn kind(&self) -> Kind {
        match self {
            Value::Null => Kind::Null,
            Value::Bool(_) => Kind::Bool,
            Value::Int(_) => Kind::Int,
            Value::Uint(_) => Kind::Uint,
            Value::Double(_) => Kind::Double,
            Value::String(_) => Kind::String,
            Value::Bytes(_) => Kind::Bytes,
            Value::Timestamp(_) => Kind::Timestamp,
            Value::Duration(_) => Kind::Duration,
            Value::List(_) => Kind::List,
            Value::Map(_) => Kind::Map,
            Value::Type(_) => Kind::Type,
        }
    }
}

impl<'a> List<'a> {
    /// How many elements there are.
    pub fn len(&self) -> usize {
        match self {
            List::Lent(owner) => owner.len(),
            List::Made(values) => values.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `index`.
    pub fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            List::Lent(owner) => owner.get(index),
            List::Made(values) => values.get(index).cloned(),
        }
    }
}

impl<'a> Map<'a> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        match self {
            Map::Lent(owner) => owner.len(),
            Map::Made(entries) => entries.len(),
        }
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries((0..self.len()).map_while(|at| self.get(at))).finish()
    }
}

impl fmt::Debug for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        match self {
            Map::Lent(owner) => {
                map.entries(owner.keys().map(|key| (key, owner.get(key))));
            }
            Map::Made(entries) => {
                map.entries(entries.iter().map(|(key, value)| (key, value)));
            }
        }
        map.finish()
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<u64> for Value<'_> {
    fn from(value: u64) -> Self {
        Value::Uint(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Value::Double(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Value::String(Cow::Borrowed(value))
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Value::String(Cow::Owned(value))
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Value::String(Cow::Borrowed(value))
    }
}

impl<'a> From<&'a rkyv::string::ArchivedString> for Value<'a> {
    fn from(value: &'a rkyv::string::ArchivedString) -> Self {
        Value::String(Cow::Borrowed(value.as_str()))
    }
}

impl<T> Sequence for Vec<T>
where
    for<'s> Value<'s>: From<&'s T>,
{
    fn len(&self) -> usize {
        Vec::len(self)
    }

    fn get(&self, index: usize) -> Option<Value<'_>> {
        self.as_slice().get(index).map(Value::from)
    }
}

impl<T> Sequence for rkyv::vec::ArchivedVec<T>
where
    for<'s> Value<'s>: From<&'s T>,
{
    fn len(&self) -> usize {
        rkyv::vec::ArchivedVec::len(self)
    }

    fn get(&self, index: usize) -> Option<Value<'_>> {
        self.as_slice().get(index).map(Value::from)
    }
}

impl<T> Mapping for BTreeMap<String, T>
where
    for<'s> Value<'s>: From<&'s T>,
{
    fn len(&self) -> usize {
        BTreeMap::len(self)
    }

    fn get<'s>(&'s self, key: &str) -> Option<Value<'s>> {
        BTreeMap::get(self, key).map(Value::from)
    }

    fn keys(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(BTreeMap::keys(self).map(String::as_str))
    }
}

impl Mapping for Vec<(String, String)> {
    fn len(&self) -> usize {
        Vec::len(self)
    }

    fn get<'s>(&'s self, key: &str) -> Option<Value<'s>> {
        self.iter().find(|(name, _)| name == key).map(|(_, value)| Value::from(value))
    }

    fn keys(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.iter().map(|(name, _)| name.as_str()))
    }
}

type ArchivedPair =
    rkyv::tuple::ArchivedTuple2<rkyv::string::ArchivedString, rkyv::string::ArchivedString>;

/// The archive of a `Vec<(String, String)>`: labels in a table.
impl Mapping for rkyv::vec::ArchivedVec<ArchivedPair> {
    fn len(&self) -> usize {
        rkyv::vec::ArchivedVec::len(self)
    }

    fn get<'s>(&'s self, key: &str) -> Option<Value<'s>> {
        self.iter().find(|pair| pair.0 == *key).map(|pair| Value::from(&pair.1))
    }

    fn keys(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.iter().map(|pair| pair.0.as_str()))
    }
}
