//! Resources as the journal holds them: JSON in the shape of their YAML.

use policy_model::{diagnostic::Origin, spec::Resource};
use serde_json::Value;

/// The resource that entry `seq` holds. Its origin is that entry.
pub(crate) fn read(seq: u64, json: Value) -> Result<Resource, String> {
    let origin = Origin { file: format!("journal entry {seq}"), line: 0, column: 0 };
    Resource::from_json(json, origin)
}
