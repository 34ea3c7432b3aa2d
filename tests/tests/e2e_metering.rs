//! The meter over the whole deployment: real Envoys, real sidecars and a real control plane that
//! crash while tenants with real tokens ask for predictions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use anyhow::{Context as _, Result, ensure};
use devstack::{dev_issuer::TokenOptions, stack::Stack};
use serde_json::json;
use tests::e2e::{
    caller::Answer,
    example::{Example, INFER},
    ledger::{Ledger, Metered, drained, unshipped},
    load::Load,
    tenant::Tenant,
};

/// Tenants of every tier, and how many flights each asks about in a request.
const CALLERS: [(&str, usize); 4] = [("org_ua", 1), ("org_aa", 3), ("org_ev", 2), ("org_dl", 5)];
const PLANES: [&str; 2] = ["shared", "silo-dl"];

/// A sidecar that dies so often within a second of its start would be left down.
const CRASHES: u32 = 4;
const ANSWERS_BETWEEN_CRASHES: usize = 25;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sidecars_killed_under_load_lose_no_event_and_count_none_twice() {
    let stack = Stack::builder().start().await.unwrap();
    let ledger = Ledger::of(&stack);
    let loads: Vec<_> =
        CALLERS.iter().map(|(id, rows)| Load::of_predictions(&stack, id, *rows).unwrap()).collect();

    for _ in 0..CRASHES {
        for load in &loads {
            load.answers(ANSWERS_BETWEEN_CRASHES).await.unwrap();
        }
        for plane in PLANES {
            stack.kill_sidecar(plane).unwrap();
        }
        for plane in PLANES {
            stack.sidecar_ready(plane).await.unwrap();
        }
    }
    for load in &loads {
        load.answers(ANSWERS_BETWEEN_CRASHES).await.unwrap();
    }
    let mut served = Vec::new();
    for load in loads {
        let outcomes = load.stop().await.unwrap();
        outcomes.all_served().unwrap();
        served.push(outcomes.served);
    }
    drained(&stack).await.unwrap();

    for ((tenant, rows), served) in CALLERS.into_iter().zip(served) {
        let metered = ledger.metered(tenant).await.unwrap();
        eprintln!("{tenant}: {served} requests of {rows} rows answered, {metered:?}");
        assert_eq!(metered, Metered::requests(served, rows), "{tenant}");
    }
    for plane in stack.planes() {
        assert_eq!(plane.sidecar().restarts(), CRASHES, "{}", plane.sidecar().name());
        let stats = plane.node().stats("cluster.sidecar.upstream_rq_retry").await.unwrap();
        let retried =
            stats.iter().find(|it| it.0 == "cluster.sidecar.upstream_rq_retry").unwrap().1;
        eprintln!("{}: {retried} retries", plane.spec().id);
        assert!(retried > 0, "no request of {} met a crash", plane.spec().id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_wait_on_the_node_while_the_control_plane_is_dead_and_arrive_once() {
    let stack = Stack::builder().start().await.unwrap();
    let ledger = Ledger::of(&stack);
    let example = Example::read().unwrap();
    let (pooled, silo) =
        (Tenant::of(&stack, "org_ua").unwrap(), Tenant::of(&stack, "org_dl").unwrap());

    stack.kill_xds_server();
    for _ in 0..30 {
        pooled.predict(&example, 1).await.unwrap();
    }
    for _ in 0..10 {
        silo.predict(&example, 2).await.unwrap();
    }
    assert_eq!(unshipped(&stack, "shared").await.unwrap(), 30);
    assert_eq!(unshipped(&stack, "silo-dl").await.unwrap(), 10);

    // The sidecar dies as well: it starts from what it was last told, with its events.
    stack.kill_sidecar("shared").unwrap();
    stack.sidecar_ready("shared").await.unwrap();
    for _ in 0..10 {
        pooled.predict(&example, 1).await.unwrap();
    }
    assert_eq!(unshipped(&stack, "shared").await.unwrap(), 40);

    stack.start_xds_server().await.unwrap();
    drained(&stack).await.unwrap();
    assert_eq!(ledger.metered("org_ua").await.unwrap(), Metered::requests(40, 1));
    assert_eq!(ledger.metered("org_dl").await.unwrap(), Metered::requests(10, 2));

    what_is_refused_is_not_metered(&stack, &ledger, &example).await.unwrap();
    a_record_says_who_used_what_and_where(&ledger).await.unwrap();
}

/// Refused by the gate, by the sidecar before and after it read the body; then one that is
/// answered, which a sidecar hands over last.
async fn what_is_refused_is_not_metered(
    stack: &Stack,
    ledger: &Ledger,
    example: &Example,
) -> Result<()> {
    let client = Tenant::of(stack, "org_yv")?;
    let expired = TokenOptions { expires_in: -60, ..TokenOptions::default() };
    let forged = TokenOptions { signed_by: Some("org_ua".to_owned()), ..TokenOptions::default() };
    for (options, code) in [(expired, "token_expired"), (forged, "unknown_key")] {
        let token = stack.issuer().token("org_yv", &options)?;
        let mut client = client.clone();
        client.token = token;
        client.post(INFER, example.request()).await?.denied(401, code)?;
    }
    let unknown = client.post("/v2/models/air-time-aa/infer", example.request()).await?;
    unknown.denied(404, "unknown_model")?;
    client.post(INFER, &json!({ "inputs": [] })).await?.denied(400, "missing_input")?;
    let wrong = example.with("distance", "datatype", json!("FP64"));
    client.post(INFER, &wrong).await?.denied(400, "wrong_datatype")?;
    let answer: Answer = client.predict(example, 3).await?;
    ensure!(answer.status == 200, "{}", answer.shown());

    drained(stack).await?;
    let metered = ledger.metered("org_yv").await?;
    ensure!(metered == Metered::requests(1, 3), "expected one event of 3 rows, found {metered:?}");
    Ok(())
}

async fn a_record_says_who_used_what_and_where(ledger: &Ledger) -> Result<()> {
    let records = ledger.records("org_dl").await?;
    let record = records.first().context("no record")?;
    for (field, expected) in [
        ("tenant", "org_dl"),
        ("metric", "prediction_rows"),
        ("model", "air-time-dl"),
        ("version", "1"),
        ("data_plane", "silo-dl"),
        ("region", "us-east-2"),
    ] {
        ensure!(record[field] == expected, "expected {field} `{expected}`, found {record}");
    }
    Ok(())
}
