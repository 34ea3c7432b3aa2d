//! How resources are changed, looked at and taken back.

use serde_json::{Value, json};

use crate::plane::{Answer, Plane, SHARED, tenant};

fn file(text: &str) -> Value {
    json!([{"name": "acme.yaml", "text": text}])
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect()
}

fn seq(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 200, "{}", answer.json);
    answer.json["seq"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_apply_is_told_who_changed_what_when_and_writes_nothing() {
    let plane = Plane::guarded().await;
    let seen = seq(&plane.apply("ada", SHARED).await);
    let by_ed = json!({
        "files": file(&tenant("org_a", 7)), "expected_seq": seen, "message": "org_a signs up",
    });
    let newest = seq(&plane.post("ed", "/v1/resources", by_ed).await);
    let before = plane.get("vera", "/v1/resources").await.json;
    let late = json!({"files": file(&tenant("org_b", 1)), "expected_seq": seen});
    let answer = plane.post("ada", "/v1/resources", late).await;
    assert_eq!((answer.status, answer.code()), (409, "stale_change"));
    assert_eq!(answer.json["seq"], newest);
    let diff = words(&answer.json["diff"]);
    assert_eq!(diff.len(), 1);
    for part in [&format!("entry {newest}"), "ed at 20", "(org_a signs up)", "Tenant/org_a created"]
    {
        assert!(diff[0].contains(part), "{}", diff[0]);
    }
    assert_eq!(plane.get("vera", "/v1/resources").await.json, before);
    let path = format!("/v1/resources/Tenant/org_a?expected_seq={seen}");
    let stale = plane.call("ada", reqwest::Method::DELETE, &path, None).await;
    assert_eq!((stale.status, stale.code()), (409, "stale_change"));
    let stale = plane.post("ada", "/v1/rollback", json!({"to": seen, "expected_seq": seen})).await;
    assert_eq!((stale.status, stale.code()), (409, "stale_change"));
    let ahead = json!({"files": file(&tenant("org_b", 1)), "expected_seq": 10_000});
    assert_eq!(plane.post("ada", "/v1/resources", ahead).await.code(), "stale_change");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_each_tenant_what_would_change_and_writes_nothing() {
    let plane = Plane::open().await;
    let first = format!("{SHARED}{}{}", tenant("org_a", 7), tenant("org_b", 7));
    plane.apply("", &first).await;
    let before = plane.get("", "/v1/journal?limit=1000").await.json;
    let changed = format!("{SHARED}{}{}", tenant("org_a", 8), tenant("org_c", 1));
    let dry = json!({"files": file(&changed), "prune": true, "dry_run": true});
    let answer = plane.post("", "/v1/resources", dry).await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    assert_eq!(answer.json["dry_run"], true);
    assert_eq!(
        words(&answer.json["changes"]),
        [
            "Tenant/org_a changed: spec.rateLimit.requests 7 -> 8",
            "Tenant/org_c created",
            "Tenant/org_b deleted",
        ]
    );
    let tenants: Vec<(&str, String)> = answer.json["tenants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["tenant"].as_str().unwrap(), words(&it["changes"]).join("; ")))
        .collect();
    assert_eq!(
        tenants[0],
        ("org_a", "rate limit 7/s burst 5 -> rate limit 8/s burst 5".to_owned())
    );
    assert!(tenants[1].1.contains("unknown_tenant"), "{tenants:?}");
    assert!(tenants[2].1.contains("tier pool, data plane shared"), "{tenants:?}");
    let diff = plane.post("", "/v1/diff", json!({"files": file(&changed), "prune": true})).await;
    assert_eq!(diff.json, answer.json);
    assert_eq!(plane.get("", "/v1/journal?limit=1000").await.json, before);

    let applied =
        plane.post("", "/v1/resources", json!({"files": file(&changed), "prune": true})).await;
    assert_eq!(applied.json["changes"], answer.json["changes"]);
    assert_eq!(applied.json["revision"], answer.json["revision"], "it is the revision foretold");
    let kinds = plane.get("", "/v1/resources").await.json["resources"].to_string();
    assert!(kinds.contains("\"Tier\"") && !kinds.contains("org_b"), "what ships stays: {kinds}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_held_can_be_looked_at_and_gone_back_to_by_entry_and_by_revision() {
    let plane = Plane::guarded().await;
    plane.apply("ada", SHARED).await;
    let one = plane.apply("ed", &tenant("org_a", 7)).await;
    let two = plane.apply("ed", &tenant("org_a", 8)).await;
    let (one_seq, two_seq) = (seq(&one), seq(&two));
    let then = plane.get("vera", &format!("/v1/resources?seq={one_seq}")).await.json;
    assert_eq!(then["seq"], one_seq);
    assert!(then["resources"].to_string().contains("\"requests\":7"), "{then}");

    let dry = json!({"to": one.json["revision"], "dry_run": true});
    let dry = plane.post("ed", "/v1/rollback", dry).await;
    assert_eq!(
        words(&dry.json["changes"]),
        ["Tenant/org_a changed: spec.rateLimit.requests 8 -> 7"]
    );
    let back = json!({"to": one.json["revision"], "message": "too much", "expected_seq": two_seq});
    let back = plane.post("ed", "/v1/rollback", back).await;
    assert!(seq(&back) > two_seq, "a rollback is a change of its own");
    assert_eq!(back.json["revision"], one.json["revision"], "equal content is an equal revision");
    let now = plane.get("vera", "/v1/resources").await.json;
    assert_eq!(now["resources"], then["resources"]);
    let again = plane.post("ed", "/v1/rollback", json!({"to": two_seq})).await;
    assert_eq!(again.json["revision"], two.json["revision"]);

    let history = plane.get("vera", "/v1/history?limit=2").await.json;
    let revisions = history["revisions"].as_array().unwrap();
    assert_eq!(revisions.len(), 2);
    assert_eq!(
        (&revisions[1]["actor"], &revisions[1]["message"]),
        (&json!("ed"), &json!("too much"))
    );
    assert_eq!(revisions[1]["rolled_back_to"], one_seq);
    assert_eq!(revisions[1]["revision"], one.json["revision"]);
    let older = revisions[1]["seq"].as_u64().unwrap();
    let older = plane.get("vera", &format!("/v1/history?before={older}&limit=1")).await.json;
    assert_eq!(older["revisions"][0]["seq"], two_seq);
    for absent in [json!({"to": 10_000}), json!({"to": "0123456789abcdef"})] {
        assert_eq!(plane.post("ed", "/v1/rollback", absent).await.code(), "not_found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_at_once_that_saw_the_same_one_wins() {
    let plane = Plane::open().await;
    let seen = seq(&plane.apply("", SHARED).await);
    let change = |name: &str| json!({"files": file(&tenant(name, 1)), "expected_seq": seen});
    let (one, two) = tokio::join!(
        plane.post("", "/v1/resources", change("org_a")),
        plane.post("", "/v1/resources", change("org_b")),
    );
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let (c, d) = (tenant("org_c", 1), tenant("org_d", 1));
    let (one, two) = tokio::join!(plane.apply("", &c), plane.apply("", &d));
    assert_eq!((one.status, two.status), (200, 200), "who expects nothing is not refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_refused_whole_with_every_diagnostic() {
    let plane = Plane::open().await;
    let text = format!("{SHARED}{}{}", tenant("org_a", 7), tenant("org_b", 1))
        .replace("requests: 1", "requests: 0");
    let answer = plane
        .apply(
            "",
            &text.replace(
                "dataPlane: shared, rateLimit: {requests: 7",
                "dataPlane: shard, rateLimit: {requests: 7",
            ),
        )
        .await;
    assert_eq!((answer.status, answer.code()), (422, "invalid_resources"));
    let diagnostics = answer.json["diagnostics"].as_array().unwrap();
    let errors = diagnostics.iter().filter(|it| it["severity"] == "error").count();
    assert_eq!(errors, 2, "{diagnostics:?}");
    assert!(answer.json.to_string().contains("did you mean `shared`?"));
    let unknown = plane.call("", reqwest::Method::DELETE, "/v1/resources/Tenant/org_x", None).await;
    assert_eq!((unknown.status, unknown.code()), (404, "not_found"));
    let unknown = plane.call("", reqwest::Method::DELETE, "/v1/resources/Tenent/org_x", None).await;
    assert_eq!((unknown.status, unknown.code()), (404, "not_found"));
    plane.apply("", &format!("{SHARED}{}", tenant("org_a", 1))).await;
    let needed =
        plane.call("", reqwest::Method::DELETE, "/v1/resources/DataPlane/shared", None).await;
    assert_eq!((needed.status, needed.code()), (422, "invalid_resources"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_revision_of_an_apply_is_the_one_that_is_published_and_journaled() {
    let plane = Plane::open().await;
    plane.apply("", SHARED).await;
    let answer = plane.apply("", &tenant("org_a", 7)).await;
    let status = plane.get("", "/v1/status").await.json;
    assert_eq!(status["revision"], answer.json["revision"]);
    assert_eq!(status["changed_seq"], answer.json["seq"]);
    let newest = plane.get("", "/v1/history?limit=1").await.json;
    assert_eq!(newest["revisions"][0]["revision"], answer.json["revision"]);
    let published = plane.journal("").await;
    let notes = published.iter().filter(|it| it.0 == "RevisionPublished").count();
    assert!(notes <= 1, "only the first revision was of no change set: {published:?}");
    let nothing = plane.apply("", &tenant("org_a", 7)).await;
    assert_eq!(
        (nothing.json["seq"].clone(), words(&nothing.json["changes"]).len()),
        (answer.json["seq"].clone(), 0)
    );
}
