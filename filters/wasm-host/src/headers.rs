//! A header map: ordered, several values to a name, names in lower case.

use std::fmt;

/// Headers or trailers. Names are kept in lower case, values are bytes, order is kept, and a name may
/// occur more than once.
///
/// ```
/// use wasm_host::Headers;
///
/// let mut headers = Headers::from([(":method", "GET"), ("Accept", "text/plain")]);
/// headers.append("accept", "text/html");
/// assert_eq!(headers.get_str("ACCEPT"), Some("text/plain"));
/// assert_eq!(headers.get_all("accept").count(), 2);
/// ```
///
/// Envoy joins repeated values of the headers that it has a slot for (`:path`, `content-type`, and in
/// its full build `authorization` too) with a comma before any filter sees them; this map does not.
/// Give it what Envoy would give.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    entries: Vec<(String, Vec<u8>)>,
}

impl Headers {
    /// No headers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The first value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// The first value of `name`, where it is UTF-8.
    #[must_use]
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// All values of `name`, in order.
    pub fn get_all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.entries
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }

    /// Whether `name` occurs.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Adds a value, beside those that `name` may have.
    pub fn append(&mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) {
        let entry = (name.as_ref().to_ascii_lowercase(), value.as_ref().to_vec());
        // HTTP/2 wants pseudo headers first, and Envoy keeps them there.
        if entry.0.starts_with(':') {
            let end = self.entries.iter().take_while(|(key, _)| key.starts_with(':')).count();
            self.entries.insert(end, entry);
        } else {
            self.entries.push(entry);
        }
    }

    /// Makes `value` the only value of `name`.
    pub fn set(&mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) {
        self.remove(name.as_ref());
        self.append(name, value);
    }

    /// Removes every value of `name`.
    pub fn remove(&mut self, name: &str) {
        self.entries.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> + '_ {
        self.entries.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The length of all names and values together, in bytes.
    #[must_use]
    pub fn byte_size(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut headers = Self::new();
        for (name, value) in pairs {
            headers.append(name, value);
        }
        headers
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>, const LEN: usize> From<[(N, V); LEN]> for Headers {
    fn from(pairs: [(N, V); LEN]) -> Self {
        pairs.into_iter().collect()
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> From<Vec<(N, V)>> for Headers {
    fn from(pairs: Vec<(N, V)>) -> Self {
        pairs.into_iter().collect()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Headers;

    #[test]
    fn names_are_case_insensitive_and_kept_in_lower_case() {
        let headers = Headers::from([("X-Tenant", "a")]);
        assert_eq!(headers.get("x-tEnAnT"), Some(b"a".as_slice()));
        assert_eq!(headers.iter().next(), Some(("x-tenant", b"a".as_slice())));
    }

    #[test]
    fn set_leaves_one_value_where_there_were_several() {
        let mut headers = Headers::from([("a", "1"), ("b", "2"), ("A", "3")]);
        headers.set("a", "4");
        assert_eq!(headers.get_all("a").collect::<Vec<_>>(), [b"4"]);
        assert_eq!(headers.len(), 2);
    }

    #[test]
    fn pseudo_headers_stay_first() {
        let mut headers = Headers::from([(":method", "GET"), ("a", "1")]);
        headers.set(":path", "/");
        let names: Vec<_> = headers.iter().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(names, [":method", ":path", "a"]);
    }
}
