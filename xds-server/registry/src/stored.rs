//! Resources as the journal holds them: JSON in the shape of their YAML.

use policy_model::{
    diagnostic::Origin,
    spec::{Kind, Metadata, Object, Resource},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    kind: Kind,
    metadata: Metadata,
    spec: Value,
}

/// The resource that entry `seq` holds. Its origin is that entry.
pub(crate) fn read(seq: u64, json: Value) -> Result<Resource, String> {
    let document: Document = serde_json::from_value(json).map_err(|error| error.to_string())?;
    let origin = Origin { file: format!("journal entry {seq}"), line: 0, column: 0 };
    let (metadata, spec) = (document.metadata, document.spec);
    match document.kind {
        Kind::Tier => object(metadata, spec, origin).map(Resource::Tier),
        Kind::DataPlane => object(metadata, spec, origin).map(Resource::DataPlane),
        Kind::Issuer => object(metadata, spec, origin).map(Resource::Issuer),
        Kind::Model => object(metadata, spec, origin).map(Resource::Model),
        Kind::Tenant => object(metadata, spec, origin).map(Resource::Tenant),
    }
}

fn object<S: DeserializeOwned>(
    metadata: Metadata,
    spec: Value,
    origin: Origin,
) -> Result<Object<S>, String> {
    let spec = serde_json::from_value(spec).map_err(|error| error.to_string())?;
    Ok(Object { metadata, spec, origin })
}
