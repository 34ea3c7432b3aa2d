//! The sidecar behind real Envoys, asked through the ingress with real tokens unless a test says
//! otherwise: the protocol, whose model answers, models that are not what the registry names,
//! resources and bodies that are refused, and starts without a control plane.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

#[path = "e2e_sidecar/artifacts.rs"]
mod artifacts;
#[path = "e2e_sidecar/bodies.rs"]
mod bodies;
#[path = "e2e_sidecar/neighbours.rs"]
mod neighbours;
#[path = "e2e_sidecar/protocol.rs"]
mod protocol;
#[path = "e2e_sidecar/resources.rs"]
mod resources;
#[path = "e2e_sidecar/restart.rs"]
mod restart;
#[path = "e2e_sidecar/tensors.rs"]
mod tensors;

use devstack::stack::Stack;
use tests::e2e::example::Example;

/// Each of these only asks, so that one stack serves them all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_protocol_is_answered_to_each_tenant_by_its_own_models_alone() {
    let stack = Stack::builder().start().await.unwrap();
    let example = Example::read().unwrap();
    protocol::every_path_of_the_protocol_is_answered(&stack, &example).await.unwrap();
    protocol::each_tenant_gets_the_documented_answer_of_its_own_model(&stack, &example)
        .await
        .unwrap();
    tensors::what_the_model_cannot_take_is_refused_with_its_own_code(&stack, &example)
        .await
        .unwrap();
    neighbours::no_name_version_or_field_reaches_a_neighbours_model(&stack, &example)
        .await
        .unwrap();
    neighbours::a_silos_sidecar_answers_its_own_tenant_alone(&stack, &example).await.unwrap();
    resources::bad_resources_are_refused_with_their_place_and_change_nothing(&stack).await.unwrap();
}
