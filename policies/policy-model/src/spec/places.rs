//! Where each field of a resource was written, so that a mistake found later is told with its
//! line and column.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

/// The fields whose text is kept as written, so that an offset within the value finds its place:
/// they hold expressions.
const KEPT: [&str; 2] = ["spec.expression", "spec.denial.message"];

/// Where each field of one resource was written, by path: `spec.models[0].version`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places(BTreeMap<String, Place>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    line: u64,
    column: u64,
    /// The scalar as written, quotes, indentation and all.
    written: Option<String>,
}

impl Places {
    /// The places in `document`, which begins at `first_line` of its file. Empty where it is not
    /// YAML: whoever reads it for its meaning says so.
    pub(super) fn read(first_line: u64, document: &str) -> Self {
        let options = serde_saphyr::options! { with_snippet: false };
        let mut places = Self::default();
        let read = serde_saphyr::from_str_with_options::<Spanned<Node>>(document, options);
        if let Ok(node) = read {
            places.insert(first_line, document, String::new(), node);
        }
        places
    }

    fn insert(&mut self, first_line: u64, document: &str, path: String, node: Spanned<Node>) {
        match node.value {
            Node::Scalar => {}
            Node::Sequence(items) => {
                for (index, item) in items.into_iter().enumerate() {
                    self.insert(first_line, document, format!("{path}[{index}]"), item);
                }
            }
            Node::Mapping(entries) => {
                let dot = if path.is_empty() { "" } else { "." };
                for (key, value) in entries {
                    self.insert(first_line, document, format!("{path}{dot}{key}"), value);
                }
            }
        }
        let at = node.referenced;
        if at.line() > 0 {
            let written = KEPT.contains(&path.as_str()).then(|| written(document, at)).flatten();
            let line = at.line() + first_line - 1;
            self.0.insert(path, Place { line, column: at.column(), written });
        }
    }

    /// The line and column, both from 1, of the field at `path`, or of the nearest field around
    /// it that was written.
    pub fn of(&self, path: &str) -> Option<(u64, u64)> {
        let mut path = path;
        loop {
            if let Some(place) = self.0.get(path) {
                return Some((place.line, place.column));
            }
            path = path.get(..path.rfind(['.', '['])?)?;
        }
    }

    /// The line and column of the byte at `offset` of the text `value`, which is what the field
    /// at `path` holds. Where that cannot be said, the field's own.
    pub fn within(&self, path: &str, value: &str, offset: usize) -> Option<(u64, u64)> {
        let place = self.0.get(path)?;
        let inside = place.written.as_deref().and_then(|written| {
            let before = written.get(..align(written, value, offset)?)?;
            let lines = u64::try_from(before.matches('\n').count()).ok()?;
            let last = before.rsplit('\n').next().unwrap_or(before);
            let columns = u64::try_from(last.chars().count()).ok()?;
            let column = if lines == 0 { place.column + columns } else { columns + 1 };
            Some((place.line + lines, column))
        });
        Some(inside.unwrap_or((place.line, place.column)))
    }
}

/// The text that `at` spans.
fn written(document: &str, at: serde_saphyr::Location) -> Option<String> {
    let start = usize::try_from(at.span().byte_offset()?).ok()?;
    let length = usize::try_from(at.span().byte_len()?).ok()?;
    document.get(start..start.checked_add(length)?).map(str::to_owned)
}

/// Where in `written` the byte `offset` of `value` stands. However YAML folded, indented or
/// quoted a scalar (YAML 1.2.2, chapters 7 and 8), the characters that are no white space stay
/// in their order; only a quote within quotes and a backslash are written as two.
fn align(written: &str, value: &str, offset: usize) -> Option<usize> {
    let style = written.chars().next();
    let start = match style {
        Some('\'' | '"') => 1,
        // The header of a block scalar is a line of its own.
        Some('|' | '>') => written.find('\n')? + 1,
        _ => 0,
    };
    let mut source = written.get(start..)?.char_indices().peekable();
    let mut next = || loop {
        let (at, c) = source.next()?;
        match (style, c) {
            (Some('\''), '\'') => _ = source.next(),
            // An escape for a letter or a digit is not undone; nobody writes code so.
            (Some('"'), '\\') => {
                let escaped = source.next()?.1;
                if escaped.is_whitespace() || matches!(escaped, 'n' | 't' | 'r') {
                    continue;
                }
                return Some((at, escaped));
            }
            (_, c) if c.is_whitespace() => continue,
            _ => {}
        }
        return Some((at, c));
    };
    for (at, c) in value.char_indices() {
        if c.is_whitespace() {
            // A mistake at white space is shown at what follows it.
            continue;
        }
        let (found, same) = next()?;
        if same != c {
            return None;
        }
        if at >= offset {
            return Some(start + found);
        }
    }
    // The end of the text: whatever is missing there.
    Some(start + written.get(start..)?.trim_end_matches(['\'', '"']).trim_end().len())
}

/// A document's shape, with the place of every node.
pub(super) enum Node {
    Scalar,
    Sequence(Vec<Spanned<Node>>),
    Mapping(Vec<(String, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = items.next_element()? {
            nodes.push(node);
        }
        Ok(Node::Sequence(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            nodes.push(entry);
        }
        Ok(Node::Mapping(nodes))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    /// Where the `#` of the expression is in the document, and where it is said to be.
    fn check(document: &str) {
        #[derive(Deserialize)]
        struct Document {
            spec: BTreeMap<String, String>,
        }
        let read: Document = serde_saphyr::from_str(document).unwrap();
        let value = &read.spec["expression"];
        let places = Places::read(1, document);
        let found = places.within("spec.expression", value, value.find('@').unwrap()).unwrap();
        let before = document.get(..document.find('@').unwrap()).unwrap();
        let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
        let line = before.matches('\n').count() + 1;
        assert_eq!(found, (line as u64, column as u64), "{document}\n{places:?}");
    }

    #[test]
    fn a_mistake_within_an_expression_is_found_however_it_was_written() {
        check("spec:\n  expression: a == @b && c\n");
        check("spec: { expression: 'it''s ö == @b' }\n");
        check("spec: { expression: \"it \\\"is\\\" ö == \\n @b\" }\n");
        check("spec:\n  expression: a ==\n    ö\n      && @b\n    || c\n  x: y\n");
        check("spec:\n  expression: |\n    a == 'ö'\n      && \"@b\"\n  x: y\n");
        check("spec:\n  expression: >-\n\n    a == 'ö'\n    && c\n\n    || \"@b\"\n");
        check("spec:\n  expression: 'a ==\n    ''ö'' ||\n\n    @b'\n");
        check("spec:\n  expression: |2-\n      a ==\n    @b\n");
    }

    #[test]
    fn a_field_that_was_not_written_is_where_what_is_around_it_is() {
        let places = Places::read(5, "a:\n  b: [x, {c: 1}]\n");
        assert_eq!(places.of("a.b[1].c"), Some((6, 14)));
        assert_eq!(places.of("a.b[1].d.e"), places.of("a.b[1]"));
        assert_eq!(places.of("a.b[7]"), Some((6, 6)));
        assert_eq!(places.of("z"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(written in "(?s).{0,60}", value in "(?s).{0,60}", offset in 0..80_usize) {
            let _ = align(&written, &value, offset);
            let _ = Places::read(1, &written);
        }
    }
}
