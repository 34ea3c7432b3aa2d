//! Sidecars that start while the control plane is dead.

use std::fs;

use anyhow::Result;
use devstack::{stack::Stack, until};
use tenancy::Digest;
use tests::e2e::{
    edge::PATIENCE,
    example::{Example, INFER},
    tenant::Tenant,
};

/// All on one node: the pooled model, and two of their own.
const TENANTS: [&str; 3] = ["org_ua", "org_aa", "org_ev"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_starts_without_the_control_plane_on_what_it_was_told_and_else_serves_nobody() {
    let stack = Stack::builder().start().await.unwrap();
    let example = Example::read().unwrap();
    artifacts_are_on_the_node(&stack).await.unwrap();
    let clients: Vec<Tenant> =
        TENANTS.iter().map(|tenant| Tenant::of(&stack, tenant).unwrap()).collect();

    // None of the models was loaded before: all of it comes from the node's own disk.
    stack.kill_xds_server();
    stack.kill_sidecar("shared").unwrap();
    stack.sidecar_ready("shared").await.unwrap();
    for client in &clients {
        client.predict(&example, 1).await.unwrap();
    }

    // What cannot be trusted is as good as nothing, and nothing serves nobody.
    let sidecar = stack.plane("shared").unwrap().sidecar();
    sidecar.stop();
    damage(&stack).unwrap();
    sidecar.start_again().unwrap();
    for client in &clients {
        let answer = client.post(INFER, example.request()).await.unwrap();
        answer.denied(503, "policy_unavailable").unwrap();
    }

    stack.start_xds_server().await.unwrap();
    stack.sidecar_ready("shared").await.unwrap();
    for client in &clients {
        client.predict(&example, 1).await.unwrap();
    }
}

/// A node fetches what it is assigned in the background.
async fn artifacts_are_on_the_node(stack: &Stack) -> Result<()> {
    let models = devstack::environment::repository().join("examples/flights/models");
    let folder = stack.state_dir().join("sidecar-shared/artifacts/sha256");
    for model in ["pooled", "aa", "ev"] {
        let digest = Digest::of(&fs::read(models.join(format!("{model}.onnx")))?);
        let file = folder.join(digest.hex());
        let what = format!("the artifact of {model} to be on the node");
        until(&what, PATIENCE, async || Ok(file.is_file().then_some(()))).await?;
    }
    Ok(())
}

/// Turns one bit of the saved assignments.
fn damage(stack: &Stack) -> Result<()> {
    let file = stack.state_dir().join("sidecar-shared/assignments.bin");
    let mut bytes = fs::read(&file)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    Ok(fs::write(&file, bytes)?)
}
