//! What a scenario changes in its deployment, as `given` and `apply` list it.

use std::collections::BTreeMap;

use policy_model::{
    diagnostic::{Diagnostic, Origin},
    spec::{self, Mode},
};
use serde_json::Value;
use serde_saphyr::Spanned;

use super::{Change, read::diagnostic};

/// An item of such a list, and where it begins.
pub(super) type Item = Spanned<BTreeMap<String, Value>>;

/// The changes that `items` of `file` are; their mistakes join the others.
pub(super) fn read(
    file: &str,
    text: &str,
    items: &[Item],
    mistakes: &mut Vec<Diagnostic>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for item in items {
        match change(file, text, item) {
            Ok(found) => changes.extend(found),
            Err(found) => mistakes.extend(found),
        }
    }
    changes
}

fn change(file: &str, text: &str, item: &Item) -> Result<Vec<Change>, Vec<Diagnostic>> {
    let (line, column) = (item.referenced.line(), item.referenced.column());
    let origin = Origin { file: file.to_owned(), line, column };
    let said = |field: &str| match item.value.get(field) {
        Some(Value::String(text)) => Some(text.clone()),
        _ => None,
    };
    let keys: Vec<&str> = item.value.keys().map(String::as_str).collect();
    let mode = |name: &str| match name {
        "enforce" => Some(Mode::Enforce),
        "shadow" => Some(Mode::Shadow),
        _ => None,
    };
    match (keys.as_slice(), said("check"), said("remove"), said("mode")) {
        (["check"], Some(check), _, _) => Ok(vec![Change::Named { check, mode: None, origin }]),
        (["check", "mode"], Some(check), _, Some(name)) if mode(&name).is_some() => {
            Ok(vec![Change::Named { check, mode: mode(&name), origin }])
        }
        (["remove"], _, Some(id), _) => Ok(vec![Change::Remove { id, origin }]),
        (["told", "trained_on"], ..) => told(&item.value, origin).map(|change| vec![change]),
        (keys, ..) if keys.contains(&"kind") => {
            let document = block(text, line, column);
            let resources = spec::parse(file, &document)?;
            Ok(resources.into_iter().map(|it| Change::Resource(Box::new(it))).collect())
        }
        _ => Err(vec![diagnostic(
            file,
            line,
            column,
            "expected a resource with `apiVersion`, `kind`, `metadata` and `spec`, or \
                 `check: <name>` with or without `mode: enforce | shadow`, or \
                 `remove: <Kind>/<name>`, or `told: <tenant>` with `trained_on: [<tenant>, ..]`"
                .to_owned(),
        )]),
    }
}

fn told(item: &BTreeMap<String, Value>, origin: Origin) -> Result<Change, Vec<Diagnostic>> {
    let field = |name: &str| item.get(name).cloned().unwrap_or_default();
    let read = serde_json::from_value(field("told"))
        .and_then(|tenant| Ok((tenant, serde_json::from_value(field("trained_on"))?)));
    read.map(|(tenant, trained_on)| Change::Told { tenant, trained_on, origin: origin.clone() })
        .map_err(|_| {
            let message = "expected `told: <tenant>` with `trained_on: [<tenant>, ..]`";
            vec![diagnostic(&origin.file, origin.line, origin.column, message.to_owned())]
        })
}

/// The block that begins at `line` and `column`, as a document of its own whose every character is
/// where it is in the file, so that what is said of it is said of the file's lines and columns.
fn block(text: &str, line: u64, column: u64) -> String {
    let before = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
    let indent = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
    let mut lines = text.lines().skip(before);
    let first = lines.next().and_then(|first| first.get(indent..)).unwrap_or_default();
    let mut document = "\n".repeat(before);
    document.push_str(&" ".repeat(indent));
    document.push_str(first);
    let belongs =
        |line: &&str| line.trim().is_empty() || line.len() - line.trim_start().len() >= indent;
    for line in lines.take_while(belongs) {
        document.push('\n');
        document.push_str(line);
    }
    document.push('\n');
    document
}
