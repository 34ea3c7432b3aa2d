//! JSON Schema of what operators write, from the doc comments of [`crate::spec`], for editors:
//!
//! ```yaml
//! # yaml-language-server: $schema=https://.../policies/schema/bulkhead.schema.json
//! ```
//!
//! A schema helps while writing. It refuses less than [`crate::compile`] does: references and
//! expressions are beyond it.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::spec::{
    API_VERSION, CheckSpec, DataPlaneSpec, IssuerSpec, Kind, Metadata, ModelSpec, TenantSpec,
    TierSpec,
};

/// Draft 7 is what the editors' YAML servers read best.
const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// A name: 1 to 64 letters, digits, `-`, `_` and `.`, a letter or digit first.
#[derive(JsonSchema)]
#[schemars(inline)]
pub struct Name(
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"))]
    #[allow(dead_code, reason = "only its schema is used")]
    String,
);

/// A SHA-256: `sha256:` and 64 hexadecimal digits.
#[derive(JsonSchema)]
#[schemars(inline)]
pub struct Sha256(
    #[schemars(regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    #[allow(dead_code, reason = "only its schema is used")]
    String,
);

/// How far a tenant is kept apart from the others.
#[derive(JsonSchema)]
#[schemars(rename = "Tier", rename_all = "lowercase")]
pub enum TierName {
    /// Shared compute, shared data under row-level security, the pooled model.
    Pool,
    /// Shared compute, data and model of its own.
    Bridge,
    /// Compute, data, key and model of its own, in its region.
    Silo,
}

/// Every file of schemas, by name: one for each kind, and `bulkhead.schema.json` for a file that
/// holds any of them.
pub fn files() -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> =
        Kind::ALL.iter().map(|kind| (file_name(*kind), text(of_kind(*kind)))).collect();
    files.insert("bulkhead.schema.json".to_owned(), text(of_any()));
    files
}

/// `DataPlane` is `data-plane.json`.
fn file_name(kind: Kind) -> String {
    let mut name = String::new();
    for c in kind.as_str().chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name + ".json"
}

pub(crate) fn of_kind(kind: Kind) -> Value {
    let mut generator = SchemaSettings::draft07().into_generator();
    let mut schema = document(&mut generator, kind);
    if let Some(members) = schema.as_object_mut() {
        members.insert("$schema".to_owned(), DRAFT.into());
        members.insert("definitions".to_owned(), definitions(&mut generator));
    }
    schema
}

/// Which kind it is says which of the schemas holds, so that an editor tells of that one alone.
fn of_any() -> Value {
    let mut generator = SchemaSettings::draft07().into_generator();
    let cases: Vec<Value> = Kind::ALL
        .iter()
        .map(|kind| {
            let then = document(&mut generator, *kind);
            json!({"if": {"properties": {"kind": {"const": kind.as_str()}}}, "then": then})
        })
        .collect();
    let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    json!({
        "$schema": DRAFT,
        "title": "Bulkhead resource",
        "description": "A resource of any kind.",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {"apiVersion": {"const": API_VERSION}, "kind": {"enum": kinds}},
        "allOf": cases,
        "definitions": definitions(&mut generator),
    })
}

fn document(generator: &mut SchemaGenerator, kind: Kind) -> Value {
    let metadata = generator.subschema_for::<Metadata>();
    let spec = spec(generator, kind);
    let described = generator.definitions().get(&format!("{}Spec", kind.as_str()));
    let description = described.and_then(|it| it.get("description")).cloned().unwrap_or_default();
    json!({
        "title": kind.as_str(),
        "description": description,
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": false,
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": kind.as_str()},
            "metadata": metadata,
            "spec": spec,
        },
    })
}

fn spec(generator: &mut SchemaGenerator, kind: Kind) -> Schema {
    match kind {
        Kind::Tier => generator.subschema_for::<TierSpec>(),
        Kind::DataPlane => generator.subschema_for::<DataPlaneSpec>(),
        Kind::Issuer => generator.subschema_for::<IssuerSpec>(),
        Kind::Model => generator.subschema_for::<ModelSpec>(),
        Kind::Tenant => generator.subschema_for::<TenantSpec>(),
        Kind::Check => generator.subschema_for::<CheckSpec>(),
    }
}

fn definitions(generator: &mut SchemaGenerator) -> Value {
    Value::Object(generator.take_definitions(true).into_iter().collect::<Map<_, _>>())
}

/// With the members in one order, whatever features of the JSON library other crates turn on.
fn text(schema: Value) -> String {
    fn sorted(value: Value) -> Value {
        match value {
            Value::Object(members) => {
                let members: BTreeMap<String, Value> =
                    members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
                Value::Object(members.into_iter().collect())
            }
            Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
            other => other,
        }
    }
    format!("{:#}\n", sorted(schema))
}
