//! Key sets against a real issuer on a local port.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use identity::{Freshness, IssuerStatus, KeySets, http_client};
use policy_model::spec::Algorithm;
use serde_json::json;

/// What the issuer answers; tests change it while it runs.
#[derive(Clone, Default)]
struct Answers {
    issuer: String,
    jwks_uri: String,
    jwks: Vec<u8>,
    status: Option<u16>,
    cache_control: Option<&'static str>,
}

#[derive(Default)]
struct Issuer {
    answers: Mutex<Answers>,
    asked: AtomicUsize,
}

impl Issuer {
    /// Starts an issuer that says the truth and has one key, named `first`.
    async fn start() -> (Arc<Self>, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let issuer = Arc::new(Self::default());
        issuer.set(|answers| {
            answers.issuer = url.clone();
            answers.jwks_uri = format!("{url}/keys");
            answers.jwks = jwks(&["first"]);
        });
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .route("/away", get(|| async { Redirect::temporary("file:///etc/hostname") }))
            .route("/moved", get(|| async { Redirect::temporary("/keys") }))
            .with_state(Arc::clone(&issuer));
        tokio::spawn(async move { axum::serve(listener, app).await });
        (issuer, url)
    }

    fn set(&self, change: impl FnOnce(&mut Answers)) {
        change(&mut self.answers.lock().unwrap());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn discovery(State(issuer): State<Arc<Issuer>>) -> Response {
    let answers = issuer.answers.lock().unwrap().clone();
    json!({ "issuer": answers.issuer, "jwks_uri": answers.jwks_uri }).to_string().into_response()
}

async fn keys(State(issuer): State<Arc<Issuer>>) -> Response {
    issuer.asked.fetch_add(1, Ordering::SeqCst);
    let answers = issuer.answers.lock().unwrap().clone();
    let status = StatusCode::from_u16(answers.status.unwrap_or(200)).unwrap();
    let mut response = (status, answers.jwks).into_response();
    if let Some(value) = answers.cache_control {
        response.headers_mut().insert(header::CACHE_CONTROL, value.parse().unwrap());
    }
    response
}

/// The generators of P-256 and P-384 (SEC 2, 2.4.2 and 2.5.1) are points like any other.
fn jwks(kids: &[&str]) -> Vec<u8> {
    let key = |kid: &&str| {
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "kid": kid,
            "x": "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",
            "y": "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU",
        })
    };
    json!({ "keys": kids.iter().map(key).collect::<Vec<_>>() }).to_string().into_bytes()
}

/// Waits short enough for a test, in the order of the real ones.
fn quick() -> Freshness {
    Freshness {
        floor: Duration::from_millis(20),
        ceiling: Duration::from_secs(3_600),
        unsaid: Duration::from_millis(20),
        retry_first: Duration::from_millis(10),
        retry_ceiling: Duration::from_millis(40),
        on_demand: Duration::from_secs(3_600),
    }
}

fn start(freshness: Freshness) -> KeySets {
    let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    KeySets::start(http_client().unwrap(), freshness, Arc::new(move || noon))
}

async fn status_where(
    sets: &KeySets,
    issuer: &str,
    holds: impl Fn(&IssuerStatus) -> bool,
) -> IssuerStatus {
    let mut status = sets.watch_status();
    let reached = status.wait_for(|all| all.get(issuer).is_some_and(&holds));
    let Ok(found) = tokio::time::timeout(Duration::from_secs(30), reached).await else {
        panic!("never reached; the status is {:?}", sets.status());
    };
    let found = found.unwrap();
    found[issuer].clone()
}

async fn error_of(change: impl FnOnce(&mut Answers, &str)) -> String {
    let (issuer, url) = Issuer::start().await;
    issuer.set(|answers| change(answers, &url));
    let sets = start(quick());
    sets.set_issuers([url.clone()]);
    let status = status_where(&sets, &url, |status| status.error.is_some()).await;
    assert!(sets.keys().is_empty());
    status.error.unwrap()
}

fn kids(sets: &KeySets, issuer: &str) -> Vec<String> {
    sets.keys().get(issuer).into_iter().flatten().map(|key| key.id.clone()).collect()
}

#[tokio::test]
async fn keys_are_found_by_discovery() {
    let (_issuer, url) = Issuer::start().await;
    let sets = start(Freshness::default());
    sets.set_issuers([url.clone()]);
    sets.settled(Duration::from_secs(30)).await;
    assert_eq!(kids(&sets, &url), ["first"]);
    assert_eq!(sets.keys()[&url][0].algorithm, Algorithm::ES256);
    let status = sets.status()[&url].clone();
    assert_eq!((status.keys, status.failures, status.error), (1, 0, None));
    assert_eq!((status.fetched_at, status.fresh_until), (Some(1_000_000), Some(1_000_300)));
}

#[tokio::test]
async fn a_rotated_key_comes_and_the_old_one_goes_and_refreshes_alone_wake_nobody() {
    let (issuer, url) = Issuer::start().await;
    let sets = start(quick());
    let mut keys = sets.watch();
    sets.set_issuers([url.clone()]);
    status_where(&sets, &url, |status| status.attempts >= 3).await;
    assert!(keys.has_changed().unwrap());
    keys.mark_unchanged();
    let attempts = sets.status()[&url].attempts;
    status_where(&sets, &url, |status| status.attempts >= attempts + 3).await;
    assert!(!keys.has_changed().unwrap(), "a refresh without a change woke the watcher");
    issuer.set(|answers| answers.jwks = jwks(&["second", "third"]));
    tokio::time::timeout(Duration::from_secs(30), keys.changed()).await.unwrap().unwrap();
    assert_eq!(kids(&sets, &url), ["second", "third"]);
}

#[tokio::test]
async fn max_age_holds_back_the_next_fetch_and_an_unknown_key_forces_one_of_it() {
    let (issuer, url) = Issuer::start().await;
    issuer.set(|answers| answers.cache_control = Some("public, max-age=3000"));
    let sets = start(quick());
    sets.set_issuers([url.clone()]);
    let status = status_where(&sets, &url, |status| status.attempts == 1).await;
    assert_eq!(status.fresh_until, Some(1_003_000));
    // Ten times the wait that would hold without max-age.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(issuer.asked(), 1);
    issuer.set(|answers| answers.jwks = jwks(&["second"]));
    assert!(sets.refresh_now(&url));
    assert!(!sets.refresh_now(&url), "a second demand at once was not refused");
    assert!(!sets.refresh_now("https://unknown.example"));
    status_where(&sets, &url, |status| status.attempts == 2).await;
    assert_eq!(kids(&sets, &url), ["second"]);
}

#[tokio::test]
async fn the_last_good_keys_outlive_errors_and_the_issuer_is_asked_again() {
    let (issuer, url) = Issuer::start().await;
    let sets = start(quick());
    sets.set_issuers([url.clone()]);
    status_where(&sets, &url, |status| status.keys == 1).await;
    issuer.set(|answers| answers.status = Some(500));
    let status = status_where(&sets, &url, |status| status.failures >= 3).await;
    assert!(status.error.unwrap().contains("500"));
    assert_eq!(kids(&sets, &url), ["first"]);
    issuer.set(|answers| (answers.status, answers.jwks) = (None, jwks(&["second"])));
    status_where(&sets, &url, |status| status.failures == 0).await;
    assert_eq!(kids(&sets, &url), ["second"]);
}

#[tokio::test]
async fn an_issuer_that_withdraws_every_key_speaks_for_nobody() {
    let (issuer, url) = Issuer::start().await;
    let sets = start(quick());
    sets.set_issuers([url.clone()]);
    status_where(&sets, &url, |status| status.keys == 1).await;
    issuer.set(|answers| answers.jwks = jwks(&[]));
    status_where(&sets, &url, |status| status.keys == 0).await;
    assert!(kids(&sets, &url).is_empty());
}

#[tokio::test]
async fn a_document_of_another_issuer_is_refused_byte_for_byte() {
    let error = error_of(|answers, url| answers.issuer = format!("{url}/")).await;
    assert!(error.contains("byte for byte"), "{error}");
}

#[tokio::test]
async fn keys_are_not_fetched_in_clear_text_from_elsewhere() {
    for elsewhere in ["http://192.0.2.1/keys", "file:///etc/hostname", "keys", "ftp://127.0.0.1/k"]
    {
        let error = error_of(|answers, _| answers.jwks_uri = elsewhere.to_owned()).await;
        assert!(error.contains("expected an https address"), "{error}");
    }
}

#[tokio::test]
async fn a_redirect_to_another_scheme_is_not_followed_and_one_within_it_is() {
    let error = error_of(|answers, url| answers.jwks_uri = format!("{url}/away")).await;
    assert!(error.contains("redirect") || error.contains("307"), "{error}");
    let (issuer, url) = Issuer::start().await;
    issuer.set(|answers| answers.jwks_uri = format!("{url}/moved"));
    let sets = start(quick());
    sets.set_issuers([url.clone()]);
    status_where(&sets, &url, |status| status.keys == 1).await;
}

#[tokio::test]
async fn a_huge_or_garbled_body_is_refused() {
    let error = error_of(|answers, _| answers.jwks = vec![b' '; 3 << 20]).await;
    assert!(error.contains("at most 1048576 bytes"), "{error}");
    let error = error_of(|answers, _| answers.jwks = b"<html>".to_vec()).await;
    assert!(error.contains("a key set"), "{error}");
}

#[tokio::test]
async fn exported_keys_are_in_force_after_a_restart_with_the_issuer_down() {
    let (issuer, url) = Issuer::start().await;
    let before = start(quick());
    before.set_issuers([url.clone()]);
    status_where(&before, &url, |status| status.keys == 1).await;
    let exported = before.export();
    issuer.set(|answers| answers.status = Some(503));
    let after = start(quick());
    after.import(&exported).unwrap();
    after.set_issuers([url.clone()]);
    let status = status_where(&after, &url, |status| status.failures >= 2).await;
    assert_eq!(after.keys(), before.keys());
    assert_eq!((status.keys, status.fetched_at), (1, Some(1_000_000)));
    assert!(after.import("{\"issuers\":7}").is_err());
}

#[tokio::test]
async fn an_issuer_that_is_no_longer_wanted_is_forgotten() {
    let (_one, first) = Issuer::start().await;
    let (_two, second) = Issuer::start().await;
    let sets = start(quick());
    sets.set_issuers([first.clone(), second.clone()]);
    status_where(&sets, &first, |status| status.keys == 1).await;
    status_where(&sets, &second, |status| status.keys == 1).await;
    sets.set_issuers([second.clone()]);
    let attempts = sets.status()[&second].attempts;
    status_where(&sets, &second, |status| status.attempts > attempts + 2).await;
    assert_eq!(sets.keys().keys().collect::<Vec<_>>(), [&second]);
    assert_eq!(sets.status().keys().collect::<Vec<_>>(), [&second]);
}
