//! Requests that the model cannot take.

use anyhow::{Context as _, Result, ensure};
use devstack::stack::Stack;
use reqwest::Method;
use serde_json::{Value, json};
use tests::e2e::{
    caller::Caller,
    example::{Example, INFER},
    ledger::{Ledger, Metered, drained},
    tenant::Tenant,
};

/// The tenant asks for nothing else in this stack.
const TENANT: &str = "org_b6";

pub async fn what_the_model_cannot_take_is_refused_with_its_own_code(
    stack: &Stack,
    example: &Example,
) -> Result<()> {
    let ledger = Ledger::of(stack);
    let client = Tenant::of(stack, TENANT)?;
    // Each with what its text has to name: what was wrong, in the caller's own words.
    for (request, code, named) in requests(example) {
        let answer = client.post(INFER, &request).await?;
        answer.denied(400, code).with_context(|| request.to_string())?;
        let problem = answer.json()?;
        let detail = problem["detail"].as_str().unwrap_or_default();
        ensure!(detail.contains(named), "expected the text to name {named}, found {problem}");
        ensure!(problem["error"] == problem["detail"], "{problem}");
    }
    for text in ["", "no JSON", "[]", "{\"inputs\": [", "\u{feff}{}"] {
        let caller = Caller::new(&stack.ingress_url())?;
        let request = caller.request(Method::POST, INFER, Some(&client.token)).body(text);
        caller.send(request).await?.denied(400, "invalid_request").with_context(|| text)?;
    }

    // A good one after them is answered as ever, and is the only one that was metered.
    let answer = client.post(INFER, example.request()).await?;
    answer.ok()?;
    drained(stack).await?;
    let metered = ledger.metered(TENANT).await?;
    ensure!(metered == Metered::requests(1, 1), "expected one event, found {metered:?}");
    Ok(())
}

fn requests(example: &Example) -> Vec<(Value, &'static str, &'static str)> {
    let mut without_an_input = example.request().clone();
    if let Some(inputs) = without_an_input["inputs"].as_array_mut() {
        inputs.retain(|input| input["name"] != "dep_delay");
    }
    let mut another_output = example.request().clone();
    another_output["outputs"] = json!([{ "name": "price" }]);
    let mut twice = example.request().clone();
    let first = twice["inputs"][0].clone();
    if let Some(inputs) = twice["inputs"].as_array_mut() {
        inputs.push(first);
    }
    vec![
        // Shapes: too much or too little data, ranks, sizes that no memory holds, batches apart.
        (example.with("distance", "shape", json!([2, 1])), "bad_shape", "distance"),
        (example.with("distance", "shape", json!([1, 2])), "bad_shape", "distance"),
        (example.with("distance", "shape", json!([1])), "bad_shape", "distance"),
        (example.with("distance", "shape", json!([0, 1])), "bad_shape", "distance"),
        (example.with("distance", "shape", json!([u64::MAX, 2])), "bad_shape", "distance"),
        (example.with("distance", "shape", json!([4_000_000_000_u64, 1])), "bad_shape", "distance"),
        (example.with("distance", "data", json!([2454, 2454])), "bad_shape", "distance"),
        // Datatypes: another, none that there is, and data that is not of the one it says.
        (example.with("distance", "datatype", json!("FP64")), "wrong_datatype", "FP32"),
        (example.with("month", "datatype", json!("INT32")), "wrong_datatype", "INT64"),
        (example.with("sched_minutes", "datatype", json!("INT64")), "wrong_datatype", "FP32"),
        (example.with("carrier", "datatype", json!("INT64")), "invalid_request", "carrier"),
        (example.with("distance", "datatype", json!("FLOAT")), "wrong_datatype", "FLOAT"),
        (example.with("distance", "data", json!(["far"])), "invalid_request", "distance"),
        (example.with("month", "data", json!([1.5])), "invalid_request", "month"),
        // Inputs and outputs that are missing, unknown, or there twice.
        (without_an_input, "missing_input", "dep_delay"),
        (example.with("dep_delay", "name", json!("delay")), "unknown_input", "delay"),
        (another_output, "unknown_input", "price"),
        (twice, "invalid_request", "carrier"),
    ]
}
