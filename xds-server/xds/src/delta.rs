//! Delta on the wire.

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource,
};
use envoy_types::pb::google::protobuf::Any;

use crate::interest::Change;
use crate::service::Wire;
use crate::session::{Push, Request, Variant};

pub(crate) struct Delta;

impl Wire for Delta {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;
    const VARIANT: Variant = Variant::Delta;

    fn node(request: &DeltaDiscoveryRequest) -> Option<&Node> {
        request.node.as_ref()
    }

    fn request(request: DeltaDiscoveryRequest) -> Request {
        Request {
            type_url: request.type_url,
            interest: Change::Adjust {
                subscribe: request.resource_names_subscribe,
                unsubscribe: request.resource_names_unsubscribe,
            },
            resumes: !request.initial_resource_versions.is_empty(),
            claims: request.initial_resource_versions.into_iter().collect(),
            nonce: request.response_nonce,
            error: request.error_detail.map(|status| status.message),
        }
    }

    fn response(push: Push, stamp: u64) -> DeltaDiscoveryResponse {
        let resource = |(name, resource): &(String, crate::Resource)| Resource {
            name: name.clone(),
            version: resource.version().to_owned(),
            resource: Some(Any { type_url: push.type_url.clone(), value: resource.stamped(stamp) }),
            ..Resource::default()
        };
        DeltaDiscoveryResponse {
            resources: push.resources.iter().map(resource).collect(),
            removed_resources: push.removed,
            system_version_info: push.version,
            nonce: push.nonce,
            type_url: push.type_url,
            ..DeltaDiscoveryResponse::default()
        }
    }
}
