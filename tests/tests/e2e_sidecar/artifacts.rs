//! Model files that are not what the registry names.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use devstack::{environment, stack::Stack};
use tenancy::Digest;
use tests::e2e::{
    example::{Example, INFER},
    ledger::{Ledger, Metered, drained},
    tenant::Tenant,
};

/// Whose file is swapped, for a neighbour's: a sound model, that would give an answer.
const VICTIM: &str = "aa";
const NEIGHBOUR: &str = "ev";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_whose_file_was_swapped_is_refused_and_never_answers() {
    let stack = Stack::builder().start().await.unwrap();
    let ledger = Ledger::of(&stack);
    let example = Example::read().unwrap();
    let victim = Tenant::of(&stack, "org_aa").unwrap();
    victim.predict(&example, 1).await.unwrap();

    swapped_on_the_node(&stack, &example, &victim).await.unwrap();
    swapped_at_the_control_plane(&stack, &example, &victim).await.unwrap();

    drained(&stack).await.unwrap();
    // The one before, and the one once all was well again.
    assert_eq!(ledger.metered("org_aa").await.unwrap(), Metered::requests(2, 1));
}

async fn swapped_on_the_node(stack: &Stack, example: &Example, victim: &Tenant) -> Result<()> {
    stack.plane("shared")?.sidecar().stop();
    replace(&on_the_node(stack)?, &model(NEIGHBOUR))?;
    start_again(stack).await?;
    is_refused(example, victim).await?;
    // The node goes on for everybody else.
    for other in ["org_ev", "org_ua"] {
        Tenant::of(stack, other)?.predict(example, 1).await?;
    }
    Ok(())
}

async fn swapped_at_the_control_plane(
    stack: &Stack,
    example: &Example,
    victim: &Tenant,
) -> Result<()> {
    let kept = stack.state_dir().join("xds-server/artifacts").join(digest()?.hex());
    stack.plane("shared")?.sidecar().stop();
    fs::remove_file(on_the_node(stack)?)?;
    replace(&kept, &model(NEIGHBOUR))?;
    start_again(stack).await?;
    is_refused(example, victim).await?;
    ensure!(!on_the_node(stack)?.exists(), "what was refused was kept");

    replace(&kept, &model(VICTIM))?;
    victim.predict(example, 1).await.context("with the right file again")?;
    Ok(())
}

/// By every path that would need the model.
async fn is_refused(example: &Example, victim: &Tenant) -> Result<()> {
    let answer = victim.post(INFER, example.request()).await?;
    answer.denied(502, "artifact_digest_mismatch")?;
    let problem = answer.json()?;
    ensure!(problem.get("outputs").is_none(), "{problem}");
    let neighbours = format!("{}", example.minutes("org_ev")?.trunc());
    ensure!(!answer.shown().contains(&neighbours), "{}", answer.shown());
    for path in ["/v2/models/air-time", "/v2/models/air-time/versions/1/ready"] {
        victim.get(path).await?.denied(502, "artifact_digest_mismatch")?;
    }
    Ok(())
}

async fn start_again(stack: &Stack) -> Result<()> {
    stack.plane("shared")?.sidecar().start_again()?;
    stack.sidecar_ready("shared").await
}

/// As another writer would: a new file in the place of the old one.
fn replace(file: &Path, with: &Path) -> Result<()> {
    fs::remove_file(file).with_context(|| format!("expected {} to be there", file.display()))?;
    fs::copy(with, file)?;
    Ok(())
}

fn on_the_node(stack: &Stack) -> Result<PathBuf> {
    let folder = stack.state_dir().join("sidecar-shared/artifacts/sha256");
    Ok(folder.join(digest()?.hex()))
}

fn model(name: &str) -> PathBuf {
    environment::repository().join(format!("examples/flights/models/{name}.onnx"))
}

fn digest() -> Result<Digest> {
    Ok(Digest::of(&fs::read(model(VICTIM))?))
}
