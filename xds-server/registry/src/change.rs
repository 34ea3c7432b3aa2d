//! What an apply changed, in words.

use std::fmt;

use policy_model::spec::Resource;
use serde::Serialize;
use serde_json::Value;

/// What became of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// It was not there before.
    Created,
    /// It says something else now.
    Changed,
    /// It says what it said before.
    Unchanged,
    /// It is gone.
    Deleted,
}

/// What became of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `Kind/name`.
    pub resource: String,
    /// What became of it.
    pub what: What,
    /// For [`What::Changed`]: the fields that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// Its path, for instance `spec.models[0].version`.
    pub path: String,
    /// What it said, as JSON, shortened; `(nothing)` where it was not there.
    pub before: String,
    /// What it says, likewise.
    pub after: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            What::Created => "created",
            What::Changed => "changed",
            What::Unchanged => "unchanged",
            What::Deleted => "deleted",
        };
        write!(f, "{} {what}", self.resource)?;
        for (at, field) in self.fields.iter().enumerate() {
            let separator = if at == 0 { ": " } else { ", " };
            write!(f, "{separator}{} {} -> {}", field.path, field.before, field.after)?;
        }
        Ok(())
    }
}

impl Change {
    pub(crate) fn new(resource: &Resource, what: What) -> Self {
        Self { resource: resource.id(), what, fields: Vec::new() }
    }

    /// What becomes of `before` when `after` is applied.
    pub(crate) fn between(before: Option<&Resource>, after: &Resource) -> Self {
        let Some(before) = before else { return Self::new(after, What::Created) };
        let mut fields = Vec::new();
        // As it would be read back from the journal: reading a decimal may move its last bit.
        let after_json = serde_json::from_str(&after.to_json().to_string()).ok();
        compare("", Some(&before.to_json()), after_json.as_ref(), &mut fields);
        let what = if fields.is_empty() { What::Unchanged } else { What::Changed };
        Self { resource: after.id(), what, fields }
    }
}

fn compare(
    path: &str,
    before: Option<&Value>,
    after: Option<&Value>,
    fields: &mut Vec<FieldChange>,
) {
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let added = after.keys().filter(|key| !before.contains_key(*key));
            for key in before.keys().chain(added) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, before.get(key), after.get(key), fields);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            for at in 0..before.len().max(after.len()) {
                compare(&format!("{path}[{at}]"), before.get(at), after.get(at), fields);
            }
        }
        (Some(before), Some(after)) if before == after => {}
        (before, after) => fields.push(FieldChange {
            path: path.to_owned(),
            before: words(before),
            after: words(after),
        }),
    }
}

fn words(value: Option<&Value>) -> String {
    const SHOWN_CHARS: usize = 80;
    let Some(value) = value else { return "(nothing)".to_owned() };
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
