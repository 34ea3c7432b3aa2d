//! Resources as written.

mod check;
mod data_plane;
mod issuer;
mod model;
mod parse;
mod places;
mod serving;
mod shape;
mod tenant;
mod tier;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use check::{CheckSpec, DenialSpec, Mode, Point, SelectorSpec, UnknownPoint};
pub use data_plane::{DataPlaneSpec, EndpointSpec};
pub use issuer::{Algorithm, IssuerSpec};
pub use model::{BaseSpec, EvaluationSpec, ModelSpec, ModelStatus, ModelVersionSpec};
pub use parse::parse;
pub use places::Places;
pub use serving::{DeviceMemorySpec, MemorySpec, Priority, ServingSpec, ShareSpec};
pub use tenant::{TenantModelSpec, TenantSpec};
pub use tier::{Bases, RateLimitSpec, TierSpec};

use crate::diagnostic::Origin;

/// The only `apiVersion` there is.
pub const API_VERSION: &str = "bulkhead.dev/v1";

/// A resource's `metadata`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// The name, unique within the kind. A tenant's is its `org_id`.
    pub name: String,
    /// Free labels, for people and selectors.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Free notes, for people only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// One resource: its metadata, its spec and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Object<S> {
    /// The metadata.
    pub metadata: Metadata,
    /// The spec.
    pub spec: S,
    /// Where it was written; not part of what it says.
    pub origin: Origin,
    /// Where each of its fields was written, as far as that is known.
    pub places: Places,
}

macro_rules! resources {
    ($($kind:ident($spec:ty)),* $(,)?) => {
        /// A resource of any kind.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs, reason = "each variant is the kind that its name says")]
        pub enum Resource {
            $($kind(Object<$spec>),)*
        }

        /// A resource's kind.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "each variant is the kind that its name says")]
        pub enum Kind {
            $($kind,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// The kind's name, as in YAML.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => stringify!($kind),)* }
            }
        }

        impl Resource {
            /// The kind.
            pub const fn kind(&self) -> Kind {
                match self { $(Self::$kind(_) => Kind::$kind,)* }
            }

            /// The metadata.
            pub const fn metadata(&self) -> &Metadata {
                match self { $(Self::$kind(object) => &object.metadata,)* }
            }

            /// Where it was written.
            pub const fn origin(&self) -> &Origin {
                match self { $(Self::$kind(object) => &object.origin,)* }
            }

            /// Where its fields were written.
            pub const fn places(&self) -> &Places {
                match self { $(Self::$kind(object) => &object.places,)* }
            }

            /// The resource that `json` holds, in the shape of [`Resource::to_json`].
            ///
            /// # Errors
            /// In words, where it is no resource: this is how a journal is read, which nobody
            /// writes by hand, so there are no places to tell.
            pub fn from_json(json: serde_json::Value, origin: Origin) -> Result<Self, String> {
                let document: Stored = serde_json::from_value(json).map_err(|e| e.to_string())?;
                let (metadata, places) = (document.metadata, Places::default());
                Ok(match document.kind {
                    $(Kind::$kind => {
                        let spec = serde_json::from_value(document.spec);
                        let spec = spec.map_err(|error| error.to_string())?;
                        Self::$kind(Object { metadata, spec, origin, places })
                    })*
                })
            }

            /// The resource as JSON, in the same shape as the YAML.
            pub fn to_json(&self) -> serde_json::Value {
                let spec = match self {
                    $(Self::$kind(object) => serde_json::to_value(&object.spec),)*
                };
                serde_json::json!({
                    "apiVersion": API_VERSION,
                    "kind": self.kind().as_str(),
                    "metadata": self.metadata(),
                    "spec": spec.unwrap_or_default(),
                })
            }
        }
    };
}

/// A resource as JSON, before its kind says how its spec reads.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    kind: Kind,
    metadata: Metadata,
    spec: serde_json::Value,
}

resources! {
    Tier(TierSpec),
    DataPlane(DataPlaneSpec),
    Issuer(IssuerSpec),
    Model(ModelSpec),
    Tenant(TenantSpec),
    Check(CheckSpec),
}

impl Resource {
    /// The name.
    pub fn name(&self) -> &str {
        &self.metadata().name
    }

    /// `Kind/name`, as people and the journal call it.
    pub fn id(&self) -> String {
        format!("{}/{}", self.kind().as_str(), self.name())
    }
}
