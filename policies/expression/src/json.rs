//! JSON as values, borrowed in place: claims, for one.

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::{Mapping, Value};

/// Whole numbers become ints (or uints where they are too large), other numbers doubles.
impl<'a> From<&'a Json> for Value<'a> {
    fn from(json: &'a Json) -> Self {
        match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(int), _, _) => Value::Int(int),
                (_, Some(uint), _) => Value::Uint(uint),
                (_, _, Some(double)) => Value::Double(double),
                (None, None, None) => Value::Null,
            },
            Json::String(text) => Value::String(Cow::Borrowed(text)),
            Json::Array(elements) => Value::list(elements),
            Json::Object(fields) => Value::map(fields),
        }
    }
}

impl Mapping for serde_json::Map<String, Json> {
    fn len(&self) -> usize {
        serde_json::Map::len(self)
    }

    fn get<'s>(&'s self, key: &str) -> Option<Value<'s>> {
        serde_json::Map::get(self, key).map(Value::from)
    }

    fn keys(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(serde_json::Map::keys(self).map(String::as_str))
    }
}
