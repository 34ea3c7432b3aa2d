//! Changes that some proxies try first.

use reqwest::Method;
use serde_json::{Value, json};
use xds::{
    client::{DeltaClient, Updates},
    type_url,
};

use crate::plane::{PATIENCE, Plane, SHARED, tenant};

/// Connects a gateway, which answers updates as its test says.
fn gateway(plane: &Plane, node: &str) -> Updates {
    DeltaClient::new(&format!("http://{}", plane.running.grpc), node)
        .unwrap()
        .metadata("role", "gateway")
        .metadata("listen", "127.0.0.1:8080")
        .subscribe(type_url::EXTENSION)
        .start()
}

/// Takes the next update, and refuses it where there is a reason; returns its filter's version.
async fn take(updates: &mut Updates, refuse: Option<&str>) -> String {
    let waited = async {
        loop {
            let (update, responder) = updates.next().await.unwrap();
            let version = update.upserts.first().map(|it| it.version.clone());
            match refuse {
                Some(reason) => responder.nack(reason),
                None => responder.ack(),
            }
            if let Some(version) = version {
                return version;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.expect("no update came")
}

/// Nobody has anything to answer any more.
async fn settled(plane: &Plane) -> Value {
    let waited = async {
        loop {
            let status = plane.get("", "/v1/status").await.json;
            let groups = status["groups"].as_array().unwrap();
            if !groups.is_empty() && groups.iter().all(|it| it["settled"] == true) {
                return status;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.expect("it did not settle")
}

fn try_first(text: &str, canary: Value) -> Value {
    json!({
        "files": [{"name": "acme.yaml", "text": text}],
        "message": "carefully",
        "canary": canary,
    })
}

/// What the journal says of trials: kind and payload.
async fn trials(plane: &Plane) -> Vec<(String, Value)> {
    let entries = plane.get("", "/v1/journal?limit=1000").await.json["entries"].take();
    let entries = entries.as_array().unwrap().iter();
    let trials = entries.filter(|it| it["kind"].as_str().unwrap().starts_with("Canary"));
    trials.map(|it| (it["kind"].as_str().unwrap().to_owned(), it["payload"].clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_the_canary_takes_is_committed_and_reaches_the_others() {
    let plane = Plane::open().await;
    plane.apply("", SHARED).await;
    let (mut one, mut two) = (gateway(&plane, "g-1"), gateway(&plane, "g-2"));
    let (before, _) = (take(&mut one, None).await, take(&mut two, None).await);
    settled(&plane).await;
    let asked = try_first(&tenant("org_a", 7), json!({"proxy": "g-1"}));
    let apply = plane.post("", "/v1/resources", asked);
    let tries = async {
        let tried = take(&mut one, None).await;
        assert_ne!(tried, before);
        // The other gets it once it is committed, and not before.
        assert_eq!(take(&mut two, None).await, tried);
    };
    let (answer, ()) = tokio::join!(apply, tries);
    assert_eq!(answer.status, 200, "{}", answer.json);
    assert_eq!(answer.json["canaries"], json!(["g-1"]));
    let told = trials(&plane).await;
    assert_eq!(told.len(), 2);
    assert_eq!(
        (told[0].0.as_str(), &told[0].1["selection"]),
        ("CanaryStarted", &json!("proxy g-1"))
    );
    assert_eq!(told[0].1["revision"], answer.json["revision"]);
    assert_eq!(told[1].1["outcome"], "accepted");
    let newest = plane.get("", "/v1/history?limit=1").await.json;
    assert_eq!(newest["revisions"][0]["message"], "carefully");
    assert_eq!(newest["revisions"][0]["seq"], answer.json["seq"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_the_canary_refuses_is_nowhere_and_says_why() {
    let plane = Plane::open().await;
    plane.apply("", SHARED).await;
    let (mut one, mut two) = (gateway(&plane, "g-1"), gateway(&plane, "g-2"));
    let (before, _) = (take(&mut one, None).await, take(&mut two, None).await);
    settled(&plane).await;
    let resources = plane.get("", "/v1/resources").await.json["resources"].take();
    let asked = try_first(&tenant("org_a", 7), json!({"proxy": "g-1"}));
    let apply = plane.post("", "/v1/resources", asked);
    let tries = async {
        take(&mut one, Some("table refused: out of memory")).await;
        assert_eq!(take(&mut one, None).await, before, "it is sent what it had");
    };
    let (answer, ()) = tokio::join!(apply, tries);
    assert_eq!((answer.status, answer.code()), (409, "canary_refused"), "{}", answer.json);
    let refusal = &answer.json["refusals"][0];
    assert_eq!(refusal["proxy"], "g-1");
    assert_eq!(refusal["message"], "table refused: out of memory");
    assert!(refusal["resource"].as_str().unwrap().contains("gate"), "{refusal}");
    assert_eq!(plane.get("", "/v1/resources").await.json["resources"], resources);
    let told = trials(&plane).await;
    assert_eq!(told[1].1["outcome"], "refused");
    assert!(told[1].1["details"][0].as_str().unwrap().contains("out of memory"));
    assert_eq!(plane.get("", "/v1/history").await.json["revisions"].as_array().unwrap().len(), 2);
    let quiet = tokio::time::timeout(std::time::Duration::from_millis(200), two.next()).await;
    assert!(quiet.is_err(), "the other proxy was sent nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_trial_nothing_else_is_changed() {
    let plane = Plane::open().await;
    plane.apply("", SHARED).await;
    let mut one = gateway(&plane, "g-1");
    take(&mut one, None).await;
    settled(&plane).await;
    let asked = try_first(&tenant("org_a", 7), json!({"percent": 10}));
    let apply = plane.post("", "/v1/resources", asked.clone());
    let meanwhile = async {
        let (update, responder) =
            tokio::time::timeout(PATIENCE, one.next()).await.unwrap().unwrap();
        let again = plane.post("", "/v1/resources", asked.clone()).await;
        assert_eq!((again.status, again.code()), (409, "canary_running"), "{}", again.json);
        let plain = plane.apply("", &tenant("org_b", 1)).await;
        assert_eq!((plain.status, plain.code()), (409, "canary_running"));
        let gone = plane.call("", Method::DELETE, "/v1/resources/DataPlane/shared", None).await;
        assert_eq!((gone.status, gone.code()), (409, "canary_running"));
        let back = plane.post("", "/v1/rollback", json!({"to": 1})).await;
        assert_eq!((back.status, back.code()), (409, "canary_running"));
        assert!(plane.get("", "/v1/status").await.json["canary"].is_u64());
        drop(update);
        responder.ack();
        // It may be sent more: what it is served as one of all.
        while let Some((_, responder)) = one.next().await {
            responder.ack();
        }
    };
    tokio::select! {
        answer = apply => assert_eq!(answer.status, 200, "{}", answer.json),
        () = meanwhile => panic!("the gateway's stream ended"),
    }
    assert_eq!(plane.get("", "/v1/status").await.json["canary"], Value::Null);
    assert_eq!(plane.apply("", &tenant("org_b", 1)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_is_not_there_or_says_nothing_changes_nothing() {
    let plane = Plane::open().await;
    plane.apply("", SHARED).await;
    let nobody = try_first(&tenant("org_a", 7), json!({"proxy": "g-9"}));
    let answer = plane.post("", "/v1/resources", nobody).await;
    assert_eq!((answer.status, answer.code()), (409, "canary_nobody"), "{}", answer.json);
    let mut one = gateway(&plane, "g-1");
    take(&mut one, None).await;
    settled(&plane).await;
    let silent = json!({"proxy": "g-1", "patience_seconds": 1});
    let answer = plane.post("", "/v1/resources", try_first(&tenant("org_a", 7), silent)).await;
    assert_eq!((answer.status, answer.code()), (409, "canary_unanswered"), "{}", answer.json);
    assert_eq!(answer.json["proxies"], json!(["g-1"]));
    let outcomes: Vec<Value> =
        trials(&plane).await.iter().map(|it| it.1["outcome"].clone()).collect();
    assert_eq!(outcomes, [Value::Null, json!("abandoned"), Value::Null, json!("unanswered")]);
    assert!(!plane.get("", "/v1/resources").await.json.to_string().contains("org_a"));
}
