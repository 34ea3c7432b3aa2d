//! State-of-the-world on the wire.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::google::protobuf::Any;

use crate::interest::Change;
use crate::service::Wire;
use crate::session::{Push, Request, Variant};

pub(crate) struct StateOfTheWorld;

impl Wire for StateOfTheWorld {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;
    const VARIANT: Variant = Variant::StateOfTheWorld;

    fn node(request: &DiscoveryRequest) -> Option<&Node> {
        request.node.as_ref()
    }

    fn request(request: DiscoveryRequest) -> Request {
        Request {
            type_url: request.type_url,
            interest: Change::Replace(request.resource_names),
            claims: BTreeMap::new(),
            resumes: !request.version_info.is_empty(),
            nonce: request.response_nonce,
            error: request.error_detail.map(|status| status.message),
        }
    }

    fn response(push: Push, stamp: u64) -> DiscoveryResponse {
        let any = |value: Vec<u8>| Any { type_url: push.type_url.clone(), value };
        DiscoveryResponse {
            resources: push
                .resources
                .iter()
                .map(|(_, resource)| any(resource.stamped(stamp)))
                .collect(),
            version_info: push.version,
            nonce: push.nonce,
            type_url: push.type_url,
            ..DiscoveryResponse::default()
        }
    }
}
