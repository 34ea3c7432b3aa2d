//! What tiers give is changed by `bulkhead apply` while tenants with real tokens ask through real
//! Envoys: no request fails, and the sidecar schedules by the new values from then on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use devstack::{stack::Stack, until};
use reqwest::Method;
use serde_json::{Value, json};
use tests::e2e::{
    caller::Caller,
    edge::PATIENCE,
    example::{Example, INFER},
    ledger::metric,
    load::Load,
    resources::{apply, head},
    tenant::Tenant,
};

/// A tenant of each of the two tiers that are changed, on one node.
const POOL: &str = "org_ua";
const BRIDGE: &str = "org_aa";
const PLANE: &str = "shared";
/// One of another tier and node, which is not to feel it.
const BESIDE: &str = "org_dl";

/// As many rows as one request may have: what a node takes for it is computing.
const ROWS: usize = 1024;
/// More than a node of one processor answers at once, of either tenant.
const CALLERS: usize = 6;
/// How many answers tell who gets how much.
const WINDOW: usize = 60;
/// What a tenant of 16 times the weight gets at least, times what the other one gets.
const CLEARLY_MORE: usize = 3;

/// What a tier gives.
#[derive(Clone, Copy)]
struct Share {
    weight: u32,
    concurrency: u32,
    waiting: u32,
}

const fn weight(weight: u32) -> Share {
    Share { weight, concurrency: 8, waiting: 64 }
}

/// Two tiers that limit no rate.
fn tiers(pool: Share, bridge: Share) -> String {
    let tier = |name, Share { weight, concurrency, waiting }: Share| {
        format!(
            "{}  rateLimit: {{requests: 1000000, burst: 1000000}}\n  \
             share: {{weight: {weight}, concurrency: {concurrency}, waiting: {waiting}}}\n",
            head("Tier", name)
        )
    };
    tier("pool", pool) + &tier("bridge", bridge)
}

async fn apply_tiers(stack: &Stack, pool: Share, bridge: Share) -> Result<()> {
    let printed = apply(stack.state_dir(), &stack.admin_url(), &tiers(pool, bridge)).await?;
    eprintln!("bulkhead apply:\n{printed}");
    Ok(())
}

/// The example's request for [`ROWS`] flights as the binary tensor extension has it, which takes next
/// to nothing to read; and the length of its JSON.
fn many_flights() -> Result<(Bytes, usize)> {
    let (mut inputs, mut behind) = (vec![], vec![]);
    let example = Example::read()?;
    for input in example.request()["inputs"].as_array().context("no inputs")? {
        let element = element(input)?;
        let bytes = element.len() * ROWS;
        (0..ROWS).for_each(|_| behind.extend_from_slice(&element));
        inputs.push(json!({
            "name": input["name"], "datatype": input["datatype"], "shape": [ROWS, 1],
            "parameters": {"binary_data_size": bytes},
        }));
    }
    let outputs = json!([{"name": "air_time", "parameters": {"binary_data": true}}]);
    let json = json!({"inputs": inputs, "outputs": outputs}).to_string().into_bytes();
    let length = json.len();
    Ok((Bytes::from([json, behind].concat()), length))
}

/// The one element of an input of the example, in bytes.
fn element(input: &Value) -> Result<Vec<u8>> {
    let mut value = &input["data"];
    while let Some(inner) = value.get(0) {
        value = inner;
    }
    let number = || value.as_f64().with_context(|| format!("expected a number in {input}"));
    Ok(match input["datatype"].as_str().unwrap_or_default() {
        "FP32" => (number()? as f32).to_le_bytes().to_vec(),
        "INT64" => (number()? as i64).to_le_bytes().to_vec(),
        "BYTES" => {
            let text = value.as_str().with_context(|| format!("expected a text in {input}"))?;
            [&(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
        }
        other => anyhow::bail!("an input of the example of datatype {other}"),
    })
}

/// Callers of a tenant that keep a node's processor busy.
fn heavy(stack: &Stack, tenant: &str) -> Result<Load> {
    let (body, json_bytes) = many_flights()?;
    let asks = (0..CALLERS).map(|_| {
        let caller = Caller::new(&stack.ingress_url())?;
        let (token, body) = (Tenant::of(stack, tenant)?.token, body.clone());
        Ok(move || {
            let request = caller
                .request(Method::POST, INFER, Some(&token))
                .header("inference-header-content-length", json_bytes)
                .header("content-type", "application/octet-stream")
                .body(body.clone());
            let caller = caller.clone();
            async move { caller.send(request).await }
        })
    });
    Ok(Load::start(asks.collect::<Result<Vec<_>>>()?))
}

/// Waits until `most` is served clearly more than `least`.
async fn served_more(most: &Load, least: &Load) -> Result<()> {
    until("the new weights to be scheduled by", PATIENCE, async || {
        let before = least.answered();
        most.answers(WINDOW).await?;
        let others = least.answered() - before;
        eprintln!("{WINDOW} answers of the one, {others} of the other");
        Ok((WINDOW >= CLEARLY_MORE * others).then_some(()))
    })
    .await
}

/// How many requests of a tenant were refused because as many waited as may.
async fn refused_for_the_queue(stack: &Stack, tenant: &str) -> Result<u64> {
    let counter = "bulkhead_sidecar_refused_total";
    let name = format!("{counter}{{tenant=\"{tenant}\",reason=\"tenant_queue_full\"}}");
    metric(stack, PLANE, &name).await
}

/// The first processor that this process may use.
fn first_processor() -> Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let first = list.context("no list of processors")?.trim().split([',', '-']).next();
    Ok(first.context("no processor")?.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tiers_changed_under_load_fail_no_request_and_are_what_is_scheduled_by() -> Result<()> {
    let processor = first_processor()?;
    let stack =
        Stack::builder().sidecar_argument("--cpus").sidecar_argument(processor).start().await?;
    apply_tiers(&stack, weight(1), weight(1)).await?;

    let (pool, bridge) = (heavy(&stack, POOL)?, heavy(&stack, BRIDGE)?);
    let beside = Load::of_predictions(&stack, BESIDE, 2)?;
    apply_tiers(&stack, weight(1), weight(16)).await?;
    served_more(&bridge, &pool).await?;
    apply_tiers(&stack, weight(16), weight(1)).await?;
    served_more(&pool, &bridge).await?;
    for load in [pool, bridge] {
        load.stop().await?.all_served()?;
    }
    assert_eq!(refused_for_the_queue(&stack, POOL).await?, 0);

    a_cap_holds_from_when_it_is_applied(&stack).await?;
    beside.stop().await?.all_served()?;
    assert!(stack.processes_alive(), "{:?}", stack.processes());
    Ok(())
}

/// One at once and two that wait: of six callers some are refused, and none of a neighbour's.
async fn a_cap_holds_from_when_it_is_applied(stack: &Stack) -> Result<()> {
    let neighbour = heavy(stack, BRIDGE)?;
    let tight = Share { weight: 1, concurrency: 1, waiting: 2 };
    apply_tiers(stack, tight, weight(1)).await?;
    let capped = heavy(stack, POOL)?;
    until("the cap to refuse", PATIENCE, async || {
        Ok((refused_for_the_queue(stack, POOL).await? > 0).then_some(()))
    })
    .await?;
    capped.answers(WINDOW).await?;
    let outcomes = capped.stop().await?;
    ensure!(outcomes.served > 0, "nobody was served under the cap: {outcomes:?}");
    ensure!(!outcomes.others.is_empty(), "nobody was refused");
    for refused in outcomes.others.keys() {
        ensure!(refused.starts_with("503") && refused.contains("overloaded"), "{refused}");
    }

    apply_tiers(stack, weight(1), weight(1)).await?;
    let before = refused_for_the_queue(stack, POOL).await?;
    let freed = heavy(stack, POOL)?;
    freed.answers(WINDOW).await?;
    freed.stop().await?.all_served()?;
    assert_eq!(refused_for_the_queue(stack, POOL).await?, before);
    neighbour.stop().await?.all_served()
}
