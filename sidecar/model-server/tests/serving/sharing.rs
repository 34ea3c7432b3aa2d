//! Versions that replace one another under load, and requests that run as one.

use std::time::Duration;

use model_server::Capacity;
use policy_model::assignment::{Serving, Share};
use reqwest::StatusCode;
use serde_json::json;
use tenancy::Digest;

use crate::{
    INFER,
    node::{Answered, Home, Sidecar, answered, expected_air_time, flight, onnx, plain_client},
    plane::{Plane, model},
    three_tenants,
};

/// As the answer of a batch may differ from one alone.
const TOLERANCE: f32 = 0.01;

fn serving() -> Serving {
    Serving { max_batch_rows: 8, batch_wait_micros: 0, keep_old_version_seconds: 3600 }
}

/// A sidecar whose metrics are asked at the returned address.
pub async fn with_metrics(plane: &Plane) -> (Home, Sidecar, String) {
    with_capacity(plane, Capacity::default()).await
}

/// The same, which takes so much of its node.
pub async fn with_capacity(plane: &Plane, capacity: Capacity) -> (Home, Sidecar, String) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let home = Home { metrics: Some(free), capacity, ..Home::new() };
    let sidecar = home.start_ready(plane).await;
    (home, sidecar, format!("http://{free}/metrics"))
}

/// The value of a metric, by its name and labels.
pub async fn metric(url: &str, name: &str) -> f64 {
    let text = plain_client().build().unwrap().get(url).send().await.unwrap().text().await.unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn a_version_is_replaced_under_load_and_going_back_takes_no_load() {
    let mut plane = Plane::start().await;
    plane.serving = Some(serving());
    let [old, new] = ["ua", "b6"].map(|name| plane.artifact(onnx(name)));
    plane.assign("ua", "bridge", vec![model("air-time", "1", "m", old, &["ua"])]);
    let (home, sidecar, metrics) = with_metrics(&plane).await;
    let passport = plane.passport("ua");
    assert_eq!(sidecar.predict(INFER, &passport).await.air_time(), expected_air_time("ua"));

    plane.assign("ua", "bridge", vec![model("air-time", "2", "m", new, &["ua"])]);
    let answers = answers_until(&sidecar, &passport, plane.push()).await;
    // Each answer is one version's whole, and says which.
    for answer in &answers {
        let file = if answer.body["model_version"] == "1" { "ua" } else { "b6" };
        assert_eq!(answer.air_time(), expected_air_time(file), "{answer:?}");
    }
    let answer = sidecar.predict(INFER, &passport).await;
    assert_eq!(
        (answer.air_time(), &answer.body["model_version"]),
        (expected_air_time("b6"), &json!("2"))
    );

    let loads = metric(&metrics, "bulkhead_sidecar_model_loads_total").await;
    plane.assign("ua", "bridge", vec![model("air-time", "1", "m", old, &["ua"])]);
    plane.push().await;
    let answer = sidecar.predict(INFER, &passport).await;
    assert_eq!(
        (answer.air_time(), &answer.body["model_version"]),
        (expected_air_time("ua"), &json!("1"))
    );
    assert_eq!(metric(&metrics, "bulkhead_sidecar_model_loads_total").await, loads);
    assert!(home.artifact(&Digest::of(&onnx("b6"))).exists());
    sidecar.stop().await;
}

/// What is answered, one request after the other, until `end`.
async fn answers_until<T>(
    sidecar: &Sidecar,
    passport: &str,
    end: impl Future<Output = T>,
) -> Vec<Answered> {
    let mut answers = vec![];
    tokio::pin!(end);
    loop {
        tokio::select! {
            _ = &mut end => return answers,
            answer = sidecar.predict(INFER, passport) => answers.push(answer),
        }
    }
}

#[tokio::test]
async fn what_is_pinned_is_loaded_before_anybody_asks() {
    let mut plane = Plane::start().await;
    let own = plane.artifact(onnx("ua"));
    plane.assign("ua", "bridge", vec![model("air-time", "1", "m", own, &["ua"])]);
    let memory = policy_model::assignment::Memory { pinned: true, ..Default::default() };
    plane.tenants.get_mut("ua").unwrap().memory = Some(memory);
    let (_home, sidecar, metrics) = with_metrics(&plane).await;
    let patience = tokio::time::Instant::now() + crate::plane::PATIENCE;
    let loaded = "bulkhead_sidecar_tenant_model_loads_total{tenant=\"ua\"}";
    while metric(&metrics, loaded).await < 1.0 {
        assert!(tokio::time::Instant::now() < patience, "it is not loaded");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let answer = sidecar.predict(INFER, &plane.passport("ua")).await;
    assert_eq!(answer.air_time(), expected_air_time("ua"));
    assert_eq!(metric(&metrics, loaded).await, 1.0);
    sidecar.stop().await;
}

#[tokio::test]
async fn requests_of_several_tenants_run_as_one_and_each_is_metered_for_its_own() {
    let mut plane = Plane::start().await;
    // Long enough that what is sent at once is seen together, and a full batch waits no longer.
    plane.serving = Some(Serving { batch_wait_micros: 1_000_000, ..serving() });
    let pooled = plane.artifact(onnx("pooled"));
    let orgs = ["aa", "dl"];
    for org in orgs {
        plane.assign(org, "pool", vec![model("air-time", "1", "m", pooled, &orgs)]);
    }
    let (_home, sidecar, metrics) = with_metrics(&plane).await;
    let expected = expected_air_time("pooled");
    // The first time both ways are compared, from then on they are joined.
    for _ in 0..2 {
        let mut bad = flight();
        bad["inputs"][3]["datatype"] = json!("INT64");
        let asked = (0..8).map(|n| {
            let passport = plane.passport(orgs[n % 2]);
            answered(sidecar.infer(INFER, &passport))
        });
        let refused = answered(sidecar.infer(INFER, &plane.passport("aa")).body(bad.to_string()));
        let (answers, refused) = tokio::join!(futures(asked), refused);
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "wrong_datatype"));
        for answer in answers {
            let found = answer.air_time();
            assert!((found - expected).abs() < TOLERANCE, "{found} and alone {expected}");
        }
    }
    let joined = "bulkhead_sidecar_batch_rows_bucket{tenant=\"dl\",le=\"1\"}";
    assert!(metric(&metrics, joined).await < 8.0, "none was joined");
    let events = plane.events(16).await;
    sidecar.stop().await;
    for org in orgs {
        let of_org: Vec<_> = events.iter().filter(|event| event.tenant.as_str() == org).collect();
        assert_eq!(of_org.len(), 8);
        assert!(of_org.iter().all(|event| event.quantity == 1));
    }
}

/// All of them, at once.
async fn futures<T: Send + 'static>(
    all: impl Iterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let mut tasks = tokio::task::JoinSet::new();
    all.for_each(|one| _ = tasks.spawn(one));
    tasks.join_all().await
}

#[tokio::test]
async fn a_share_that_cannot_be_meant_is_refused_and_the_last_good_one_stays() {
    let (mut plane, _home, sidecar) = three_tenants().await;
    let share = Share { priority: "urgent".to_owned(), weight: 1, concurrency: 1, waiting: 1 };
    plane.tenants.get_mut("ua").unwrap().share = Some(share);
    let progress = plane.push().await;
    assert!(progress.refused[0].refusal.message.contains("urgent"), "{progress:?}");
    assert_eq!(sidecar.predict(INFER, &plane.passport("ua")).await.status, StatusCode::OK);
    sidecar.stop().await;
}
