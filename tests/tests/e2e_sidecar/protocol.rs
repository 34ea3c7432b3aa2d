//! The paths and answers of the Open Inference Protocol v2.

use anyhow::{Context as _, Result, ensure};
use devstack::stack::Stack;
use reqwest::Method;
use serde_json::{Value, json};
use tests::e2e::{
    caller::Caller,
    example::{Example, INFER},
    tenant::Tenant,
};

/// Without a version, and with the one that there is.
const MODEL_PATHS: [&str; 2] = ["/v2/models/air-time", "/v2/models/air-time/versions/1"];

pub async fn every_path_of_the_protocol_is_answered(
    stack: &Stack,
    example: &Example,
) -> Result<()> {
    let client = Tenant::of(stack, "org_ua")?;
    for (path, expected) in [
        ("/v2/health/live", json!({ "live": true })),
        ("/v2/health/ready", json!({ "ready": true })),
    ] {
        is(path, &client.get(path).await?.ok()?.json()?, &expected)?;
    }
    let server = client.get("/v2").await?.ok()?.json()?;
    let extensions = json!(["binary_tensor_data", "model_repository", "statistics"]);
    ensure!(server["name"] == "bulkhead" && server["extensions"] == extensions, "/v2: {server}");

    for path in MODEL_PATHS {
        let metadata = client.get(path).await?.ok()?.json()?;
        is(
            path,
            &metadata,
            &json!({
                "name": "air-time",
                "versions": ["1"],
                "platform": "onnx",
                "inputs": inputs_of(example),
                "outputs": [{ "name": "air_time", "datatype": "FP32", "shape": [-1, 1] }],
            }),
        )?;
        let ready = format!("{path}/ready");
        let expected = json!({ "name": "air-time", "ready": true });
        is(&ready, &client.get(&ready).await?.ok()?.json()?, &expected)?;

        let mut request = example.rows(4);
        request["id"] = json!("booking-4711");
        request["outputs"] = json!([{ "name": "air_time" }]);
        let answer = client.post(&format!("{path}/infer"), &request).await?.ok()?.json()?;
        example.check("org_ua", 4, &answer).with_context(|| path)?;
        let named = (&answer["model_name"], &answer["model_version"], &answer["id"]);
        let expected = (&json!("air-time"), &json!("1"), &json!("booking-4711"));
        ensure!(named == expected, "{path}/infer: {answer}");
    }
    other_paths_and_methods_are_refused(stack, &client).await
}

async fn other_paths_and_methods_are_refused(stack: &Stack, client: &Tenant) -> Result<()> {
    for path in ["/", "/v1/models/air-time", "/v2/models", "/v2/models/air-time/explain"] {
        client.get(path).await?.denied(404, "not_found").with_context(|| path)?;
    }
    let answer = client.get(INFER).await?;
    answer.denied(405, "method_not_allowed")?;
    ensure!(answer.headers.get("allow").is_some_and(|it| it == "POST"), "{:?}", answer.headers);
    let problem = answer.json()?;
    let content_type = answer.headers.get("content-type").context("no content type")?;
    ensure!(content_type == "application/problem+json", "{content_type:?}");
    ensure!(problem["error"] == problem["detail"] && problem["status"] == 405, "{problem}");

    // Health tells nothing of a tenant; still nobody reaches a node without a token.
    let nobody = Caller::new(&stack.ingress_url())?;
    let request = nobody.request(Method::GET, "/v2/health/live", None);
    nobody.send(request).await?.denied(401, "missing_credentials").map(drop)
}

/// The inputs as the documented request gives them, with a batch of any size.
fn inputs_of(example: &Example) -> Vec<Value> {
    let inputs = example.request()["inputs"].as_array().into_iter().flatten();
    let signature =
        |it: &Value| json!({ "name": it["name"], "datatype": it["datatype"], "shape": [-1, 1] });
    inputs.map(signature).collect()
}

fn is(path: &str, found: &Value, expected: &Value) -> Result<()> {
    ensure!(found == expected, "{path}: expected {expected}, found {found}");
    Ok(())
}

pub async fn each_tenant_gets_the_documented_answer_of_its_own_model(
    stack: &Stack,
    example: &Example,
) -> Result<()> {
    for tenant in ["org_ua", "org_yv", "org_aa", "org_dl", "org_ev"] {
        Tenant::of(stack, tenant)?.predict(example, 1).await?;
    }
    // What makes the above a proof of whose model it was.
    let [pooled, other_pooled, aa, dl, ev] =
        ["org_ua", "org_yv", "org_aa", "org_dl", "org_ev"].map(|it| example.minutes(it));
    let (pooled, aa, dl, ev) = (pooled?, aa?, dl?, ev?);
    ensure!((pooled - 333.97).abs() < 0.005 && (pooled - other_pooled?).abs() < 0.005, "{pooled}");
    let mut all = [pooled, aa, dl, ev];
    all.sort_by(f64::total_cmp);
    ensure!(all.windows(2).all(|pair| pair[1] - pair[0] > 1.0), "{all:?} are too close");
    Ok(())
}
