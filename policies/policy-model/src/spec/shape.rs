//! Every unknown field of a document at once. Reading stops at the first mistake; whoever wrote
//! three wants to be told of three.

use serde_json::Value;
use serde_saphyr::Spanned;

use super::{Kind, places::Node};
use crate::{diagnostic::closest, schema};

/// A field that the kind does not have: its line within the document and its column, both from 1,
/// and what is told of it.
pub(super) struct Unknown {
    pub(super) line: u64,
    pub(super) column: u64,
    pub(super) message: String,
}

/// The fields of `document` that `kind` does not have. None where it is not YAML at all.
pub(super) fn unknown_fields(kind: Kind, document: &str) -> Vec<Unknown> {
    let options = serde_saphyr::options! { with_snippet: false };
    let Ok(root) = serde_saphyr::from_str_with_options::<Spanned<Node>>(document, options) else {
        return Vec::new();
    };
    let schema = schema::of_kind(kind);
    let mut walk = Walk { document, definitions: &schema["definitions"], found: Vec::new() };
    walk.node(&root.value, &schema);
    walk.found
}

/// What was expected, what was found, and which one was meant.
pub(super) fn unknown(what: &str, found: &str, known: &[&str]) -> String {
    let mend = closest(found, known.iter().copied())
        .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
    format!("expected {what} of {}, found `{found}`{mend}", known.join(", "))
}

struct Walk<'a> {
    document: &'a str,
    definitions: &'a Value,
    found: Vec<Unknown>,
}

impl<'a> Walk<'a> {
    fn node(&mut self, node: &Node, schema: &'a Value) {
        let schema = self.followed(schema);
        match node {
            Node::Scalar => {}
            Node::Sequence(items) => {
                items.iter().for_each(|item| self.node(&item.value, &schema["items"]));
            }
            Node::Mapping(entries) => {
                // A map of any names has no list of them.
                let Some(fields) = schema["properties"].as_object() else { return };
                for (name, value) in entries {
                    match fields.get(name) {
                        Some(field) => self.node(&value.value, field),
                        None => self.unknown(name, value, fields),
                    }
                }
            }
        }
    }

    /// What a schema refers to, directly, or beside a description, or as one of two with `null`.
    fn followed(&self, schema: &'a Value) -> &'a Value {
        let wrapped = |schema: &'a Value| ["allOf", "anyOf"].map(|by| &schema[by][0]);
        let [all, any] = wrapped(schema);
        let found = [schema, all, any].into_iter().find_map(|it| it["$ref"].as_str());
        let name = found.and_then(|path| path.strip_prefix("#/definitions/"));
        name.map_or(schema, |name| &self.definitions[name])
    }

    fn unknown(
        &mut self,
        name: &str,
        value: &Spanned<Node>,
        fields: &serde_json::Map<String, Value>,
    ) {
        let mut known: Vec<&str> = fields.keys().map(String::as_str).collect();
        // Which order the map is in depends on features that other crates turn on.
        known.sort_unstable();
        let start = value.referenced.span().byte_offset().and_then(|at| usize::try_from(at).ok());
        let before = start.and_then(|start| self.document.get(..start));
        // The name stands right before its value.
        let Some(before) = before.and_then(|text| text.get(..text.rfind(name)?)) else { return };
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
        self.found.push(Unknown {
            line: count(before.matches('\n').count()) + 1,
            column: count(column) + 1,
            message: unknown("a field", name, &known),
        });
    }
}
