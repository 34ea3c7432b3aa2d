//! The request as checks see it.

use std::borrow::Cow;

use expression::{Mapping, Value};
use tenancy::headers;

use crate::Headers;

/// The headers of a request, pseudo headers among them, lent to expressions.
///
/// What a check reads is what travels on: the client's internal headers are not among the
/// `request.headers`, nor is the token, which a message could otherwise tell to somebody.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    headers: RequestHeaders<'a>,
}

#[derive(Debug, Clone, Copy)]
struct RequestHeaders<'a>(&'a Headers);

impl<'a> Request<'a> {
    pub(crate) fn new(headers: &'a Headers) -> Self {
        Self { headers: RequestHeaders(headers) }
    }

    /// The variable at `path`, without its `request.`.
    pub(crate) fn get(&self, path: &str) -> Option<Value<'_>> {
        match path {
            "method" => Some(text(self.first(":method"))),
            "path" => Some(text(self.target().0)),
            "query" => Some(text(self.target().1)),
            "host" => Some(text(self.first(":authority"))),
            "headers" => Some(Value::map(&self.headers)),
            "content_length" => Some(Value::Int(self.content_length())),
            _ => None,
        }
    }

    /// Path and query.
    fn target(&self) -> (&'a [u8], &'a [u8]) {
        let target = self.first(":path");
        match target.iter().position(|byte| *byte == b'?') {
            Some(at) => (
                target.get(..at).unwrap_or_default(),
                target.get(at.saturating_add(1)..).unwrap_or_default(),
            ),
            None => (target, &[]),
        }
    }

    fn content_length(&self) -> i64 {
        let length = std::str::from_utf8(self.first("content-length")).ok();
        length.and_then(|length| length.trim().parse().ok()).filter(|n| *n >= 0).unwrap_or(-1)
    }

    fn first(&self, name: &str) -> &'a [u8] {
        let mut all = self.headers.0.iter();
        all.find(|(found, _)| *found == name).map_or(&[], |(_, value)| value)
    }
}

fn text(bytes: &[u8]) -> Value<'_> {
    Value::String(String::from_utf8_lossy(bytes))
}

impl<'a> RequestHeaders<'a> {
    fn visible(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.0.iter().filter(|(name, _)| is_visible(name))
    }

    /// Each name once, at its first place.
    fn names(&self) -> impl Iterator<Item = &'a str> {
        let headers = self.0;
        self.visible().enumerate().filter_map(move |(place, (name, _))| {
            let all = RequestHeaders(headers);
            let mut before = all.visible().take(place);
            (!before.any(|(other, _)| other.eq_ignore_ascii_case(name))).then_some(name)
        })
    }
}

fn is_visible(name: &str) -> bool {
    !(name.starts_with(':')
        || headers::is_internal(name.as_bytes())
        || name.eq_ignore_ascii_case(headers::AUTHORIZATION))
}

impl Mapping for RequestHeaders<'_> {
    fn len(&self) -> usize {
        self.names().count()
    }

    /// Of a header that is given more than once, the values joined by `, ` (RFC 9110, 5.2).
    fn get<'s>(&'s self, key: &str) -> Option<Value<'s>> {
        let mut values = self
            .visible()
            .filter(|(name, _)| name.eq_ignore_ascii_case(key))
            .map(|(_, value)| String::from_utf8_lossy(value));
        let first = values.next()?;
        let joined = values.fold(first, |mut all, next| {
            all.to_mut().push_str(", ");
            all.to_mut().push_str(&next);
            all
        });
        Some(Value::String(joined))
    }

    fn keys(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.names())
    }
}

/// A value that is text, borrowed.
pub(crate) fn borrowed(text: &str) -> Value<'_> {
    Value::String(Cow::Borrowed(text))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn shown(headers: &[(&str, &str)], path: &str) -> String {
        let headers: Headers =
            headers.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect();
        let request = Request::new(&headers);
        match request.get(path).unwrap() {
            Value::String(text) => text.into_owned(),
            Value::Int(number) => number.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_query_is_not_part_of_the_path() {
        let headers = [(":path", "/v2/models?x=1?2"), (":method", "POST")];
        assert_eq!(shown(&headers, "path"), "/v2/models");
        assert_eq!(shown(&headers, "query"), "x=1?2");
        assert_eq!(shown(&headers, "method"), "POST");
        assert_eq!(shown(&headers, "host"), "");
    }

    #[test]
    fn a_length_that_is_not_said_or_is_none_is_unknown() {
        assert_eq!(shown(&[], "content_length"), "-1");
        assert_eq!(shown(&[("content-length", "17")], "content_length"), "17");
        assert_eq!(shown(&[("content-length", "-17")], "content_length"), "-1");
        assert_eq!(shown(&[("content-length", "much")], "content_length"), "-1");
    }

    #[test]
    fn values_of_one_name_are_joined_and_credentials_are_not_shown() {
        let headers: Headers = [
            (":path", "/"),
            ("x-a", "1"),
            ("authorization", "Bearer secret"),
            ("x-bulkhead-passport", "forged"),
            ("x-a", "2"),
        ]
        .iter()
        .map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()))
        .collect();
        let headers = RequestHeaders(&headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["x-a"]);
        assert_eq!(headers.len(), 1);
        assert!(matches!(headers.get("x-a"), Some(Value::String(text)) if text == "1, 2"));
        for hidden in ["authorization", "x-bulkhead-passport", ":path"] {
            assert!(headers.get(hidden).is_none(), "{hidden}");
        }
    }
}
