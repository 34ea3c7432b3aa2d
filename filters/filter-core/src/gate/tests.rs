#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::rc::Rc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jwt_simple::prelude::{ECDSAP256KeyPairLike, ES256KeyPair, HS256Key, HeaderOptions, MACLike};
use proptest::prelude::*;
use serde_json::{Value, json};
use tenancy::{Tier, headers, problem::Problem};

use super::*;
use crate::fixture::{
    self, DL, Deployment, RSA, UA, es256, exactly, header, key, only, request, rs256,
};

const FORWARD: Verdict = Verdict::Forward;

fn denied(problem: Problem) -> Verdict {
    Verdict::Denied(problem.into())
}

#[test]
fn an_admitted_request_travels_under_its_tenants_passport_to_its_tenants_cluster() {
    let deployment = Deployment::new();
    let worker = deployment.worker();
    assert_eq!(worker.ask_with(&deployment.ua_token()), FORWARD);

    let sent = worker.host.request();
    let (passport, expires_at) = deployment.passport(&worker.host);
    assert_eq!(passport.tenant.as_str(), "org_ua");
    assert_eq!(passport.tier, Tier::Bridge);
    assert_eq!(passport.data_plane.as_str(), "shared");
    assert_eq!(passport.revision, worker.gate.revision());
    assert_eq!(expires_at, deployment.clock.unix_secs() + 60);
    assert_eq!(only(&sent, headers::CLUSTER), "plane/shared");
    assert_eq!(only(&sent, ":path"), "/v2/models/eta/infer");
    assert_eq!(only(&sent, "content-type"), "application/json");
    let id: uuid::Uuid = only(&sent, headers::REQUEST_ID).parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
}

#[test]
fn headers_that_steer_are_dropped_whatever_their_case() {
    let deployment = Deployment::new();
    let worker = deployment.worker();
    let mut headers = request(&deployment.ua_token());
    for name in [
        "x-bulkhead-cluster",
        "X-Bulkhead-Cluster",
        "x-bulkhead-passport",
        "X-BULKHEAD-PASSPORT",
        "x-bulkhead-request-id",
        "x-bulkhead-anything",
        "x-envoy-upstream-rq-timeout-ms",
        "X-Envoy-Retry-On",
        "x-envoy-original-dst-host",
    ] {
        headers.push(header(name, "smuggled"));
    }
    headers.push(header("x-mine", "kept"));
    headers.push(header("x-envoy-external-address", "192.0.2.7"));
    assert_eq!(worker.ask(headers), FORWARD);
    let sent = worker.host.request();
    assert!(!sent.iter().any(|(_, value)| value == b"smuggled"), "{sent:?}");
    assert_eq!(only(&sent, headers::CLUSTER), "plane/shared");
    assert_eq!(only(&sent, "x-mine"), "kept");
    assert_eq!(only(&sent, "x-envoy-external-address"), "192.0.2.7");
}

/// A token of UA's issuer with some claims set, or removed where the value is null.
fn ua_token_but(deployment: &Deployment, changes: Value) -> String {
    let mut claims = deployment.claims(UA, "org_ua");
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.remove(name);
        } else {
            claims.insert(name.clone(), value.clone());
        }
    }
    es256(&deployment.ua, claims)
}

#[test]
fn each_wrong_claim_has_its_own_denial() {
    let deployment = Deployment::new();
    let native = deployment.worker();
    let ours = deployment.worker_on(deployment.host().without_native_verification());
    let now = deployment.clock.unix_secs();
    let cases = [
        (json!({"exp": now}), Problem::TokenExpired),
        (json!({"exp": now as f64 + 0.9}), Problem::TokenExpired),
        (json!({"exp": -1}), Problem::MalformedToken),
        (json!({"exp": null}), Problem::TokenExpired),
        (json!({"exp": "tomorrow"}), Problem::MalformedToken),
        (json!({"nbf": now + 61}), Problem::TokenNotYetValid),
        (json!({"iat": now + 61}), Problem::TokenNotYetValid),
        (json!({"nbf": now as f64 + 60.5}), Problem::TokenNotYetValid),
        (json!({"nbf": []}), Problem::MalformedToken),
        (json!({"exp": 0}), Problem::TokenExpired),
        (json!({"sub": 7}), Problem::MalformedToken),
        (json!({"aud": 7}), Problem::MalformedToken),
        (json!({"aud": [fixture::AUDIENCE, 7]}), Problem::MalformedToken),
        (json!({"aud": "https://other.example"}), Problem::WrongAudience),
        (json!({"aud": ["https://other.example"]}), Problem::WrongAudience),
        (json!({"aud": []}), Problem::WrongAudience),
        (json!({"aud": null}), Problem::WrongAudience),
        (json!({"org_id": null}), Problem::MissingOrg),
        (json!({"org_id": ""}), Problem::MissingOrg),
        (json!({"org_id": "../org_dl"}), Problem::MissingOrg),
        (json!({"org_id": ["org_ua"]}), Problem::MissingOrg),
        (json!({"org_id": "org_dl"}), Problem::OrgNotBound),
        (json!({"org_id": "ORG_UA"}), Problem::OrgNotBound),
        (json!({"org_id": "org_gone"}), Problem::UnknownTenant),
        (json!({"org_id": "org_shut"}), Problem::TenantSuspended),
        (json!({"iss": "https://nobody.example"}), Problem::UnknownIssuer),
        (json!({"iss": null}), Problem::UnknownIssuer),
        (json!({"iss": DL}), Problem::UnknownKey),
    ];
    for (changes, problem) in cases {
        let token = ua_token_but(&deployment, changes.clone());
        for worker in [&native, &ours] {
            assert_eq!(worker.ask_with(&token), denied(problem), "{changes}");
            let reply = worker.host.replied().unwrap();
            assert_eq!(reply.status, problem.status());
            let body: Value = serde_json::from_str(&reply.body).unwrap();
            assert_eq!(body["code"], problem.code());
        }
    }
}

#[test]
fn claims_that_are_good_in_another_way_are_good() {
    let deployment = Deployment::new();
    let worker = deployment.worker();
    let now = deployment.clock.unix_secs();
    for changes in [
        json!({"aud": ["https://other.example", fixture::AUDIENCE]}),
        json!({"nbf": now + 60, "iat": now + 60}),
        json!({"iat": null}),
        json!({"exp": now as f64 + 1.5}),
    ] {
        let verdict = worker.ask_with(&ua_token_but(&deployment, changes.clone()));
        assert_eq!(verdict, FORWARD, "{changes}");
    }
}

#[test]
fn an_rsa_public_key_is_no_shared_secret() {
    let deployment = Deployment::new();
    let mut rows = deployment.rows();
    // Even a table that said so could not allow it.
    rows.issuers[0].algorithms.push("HS256".to_owned());
    let host = deployment.host();
    let gate = deployment.configure(&Rc::default(), &host, rows).unwrap();
    for secret in
        [RSA.public_key().to_der().unwrap(), RSA.public_key().to_pem().unwrap().into_bytes()]
    {
        let hmac = HS256Key::from_bytes(&secret).with_key_id("ua-rsa");
        let token = hmac.authenticate(exactly(deployment.claims(UA, "org_ua"))).unwrap();
        host.begin(request(&token));
        assert_eq!(gate.on_request_headers(&host), denied(Problem::AlgorithmNotAllowed));
    }
    assert_eq!(host.verifications(), 0);
}

#[test]
fn a_token_without_a_signature_is_refused() {
    let deployment = Deployment::new();
    let worker = deployment.worker();
    let payload = serde_json::to_vec(&deployment.claims(UA, "org_ua")).unwrap();
    for alg in ["none", "None", "NONE", ""] {
        let header = json!({"alg": alg, "typ": "JWT"}).to_string();
        let token =
            format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(&payload));
        assert_eq!(worker.ask_with(&token), denied(Problem::AlgorithmNotAllowed), "{alg}");
    }
}

#[test]
fn an_algorithm_that_its_issuer_does_not_use_is_refused() {
    let deployment = Deployment::new();
    let host = deployment.host();
    let mut rows = deployment.rows();
    rows.issuers[0].algorithms = vec!["RS256".to_owned()];
    let gate = deployment.configure(&Rc::default(), &host, rows).unwrap();
    host.begin(request(&deployment.ua_token()));
    assert_eq!(gate.on_request_headers(&host), denied(Problem::AlgorithmNotAllowed));
}

#[test]
fn an_issuer_can_speak_only_with_its_own_keys_and_for_its_own_orgs() {
    let deployment = Deployment::new();
    let worker = deployment.worker();
    let by_dl = |iss: &str, org: &str, kid: &str| {
        let pair = ES256KeyPair::from_bytes(&deployment.dl.to_bytes()).unwrap().with_key_id(kid);
        worker.ask_with(&es256(&pair, deployment.claims(iss, org)))
    };
    assert_eq!(by_dl(DL, "org_dl", "dl-1"), FORWARD);
    assert_eq!(by_dl(DL, "org_ua", "dl-1"), denied(Problem::OrgNotBound));
    assert_eq!(by_dl(UA, "org_ua", "dl-1"), denied(Problem::UnknownKey));
    assert_eq!(by_dl(UA, "org_ua", "ua-1"), denied(Problem::BadSignature));
    assert_eq!(by_dl(UA, "org_ua", "ua-rsa"), denied(Problem::UnknownKey));
}

#[test]
fn a_token_without_a_kid_needs_a_key_that_is_the_only_one() {
    let deployment = Deployment::new();
    let host = deployment.host();
    let no_kid = ES256KeyPair::from_bytes(&deployment.ua.to_bytes()).unwrap();
    let token = es256(&no_kid, deployment.claims(UA, "org_ua"));
    let mut rows = deployment.rows();
    let gate = deployment.configure(&Rc::default(), &host, rows.clone()).unwrap();
    host.begin(request(&token));
    assert_eq!(gate.on_request_headers(&host), FORWARD);

    let second = deployment.dl.public_key().to_der().unwrap();
    rows.issuers[0].keys.push(key("ua-2", "ES256", second));
    let gate = deployment.configure(&Rc::default(), &host, rows).unwrap();
    host.begin(request(&token));
    assert_eq!(gate.on_request_headers(&host), denied(Problem::UnknownKey));
}

#[test]
fn a_badly_signed_token_costs_one_verification_and_a_good_one_no_more_ever_after() {
    let deployment = Deployment::new();
    let worker = deployment.worker();
    let good = deployment.ua_token();
    for _ in 0..10 {
        assert_eq!(worker.ask_with(&good), FORWARD);
    }
    assert_eq!(worker.host.verifications(), 1);

    let forger = ES256KeyPair::generate().with_key_id("ua-1");
    let bad = es256(&forger, deployment.claims(UA, "org_ua"));
    for _ in 0..3 {
        assert_eq!(worker.ask_with(&bad), denied(Problem::BadSignature));
    }
    assert_eq!(worker.host.verifications(), 4);
    assert_eq!(worker.host.counter("bulkhead_gate_denied.bad_signature"), 3);
}

#[test]
fn a_host_without_native_verification_decides_the_same() {
    let deployment = Deployment::new();
    let worker = deployment.worker_on(deployment.host().without_native_verification());
    let claims = || deployment.claims(UA, "org_ua");
    let forger = ES256KeyPair::generate().with_key_id("ua-1");
    assert_eq!(worker.ask_with(&deployment.ua_token()), FORWARD);
    assert_eq!(worker.ask_with(&rs256(claims())), FORWARD);
    assert_eq!(worker.ask_with(&es256(&forger, claims())), denied(Problem::BadSignature));
    let now = deployment.clock.unix_secs();
    for (exp, problem) in [(now, Problem::TokenExpired), (0, Problem::TokenExpired)] {
        let token = ua_token_but(&deployment, json!({"exp": exp}));
        assert_eq!(worker.ask_with(&token), denied(problem));
    }
    let token = rs256(claims());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let cut = format!("{message}.{}", URL_SAFE_NO_PAD.encode(&signature[..255]));
    assert_eq!(worker.ask_with(&cut), denied(Problem::BadSignature));
    assert_eq!(worker.host.verifications(), 0);
}

#[test]
fn rs256_is_verified_natively_too() {
    let deployment = Deployment::new();
    let worker = deployment.worker();
    let token = rs256(deployment.claims(UA, "org_ua"));
    assert_eq!(worker.ask_with(&token), FORWARD);
    let mut claims = deployment.claims(UA, "org_ua");
    claims.insert("sub".to_owned(), json!("root"));
    let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims).unwrap());
    let mut parts: Vec<_> = token.split('.').collect();
    parts[1] = &payload;
    assert_eq!(worker.ask_with(&parts.join(".")), denied(Problem::BadSignature));
    assert_eq!(worker.host.verifications(), 2);
}

#[test]
fn a_known_token_expires_on_time() {
    let deployment = Deployment::new();
    let worker = deployment.worker();
    let token = deployment.ua_token();
    assert_eq!(worker.ask_with(&token), FORWARD);
    deployment.clock.advance_secs(3599);
    assert_eq!(worker.ask_with(&token), FORWARD);
    deployment.clock.advance_secs(1);
    assert_eq!(worker.ask_with(&token), denied(Problem::TokenExpired));
}

#[test]
fn a_passport_is_reused_while_fresh_and_never_outlives_its_token() {
    let deployment = Deployment::new();
    let worker = deployment.worker();
    let now = deployment.clock.unix_secs();
    let token = ua_token_but(&deployment, json!({"exp": now + 75}));
    let ask = || {
        assert_eq!(worker.ask_with(&token), FORWARD);
        let expires_in = deployment.passport(&worker.host).1 - deployment.clock.unix_secs();
        (only(&worker.host.request(), headers::PASSPORT), expires_in)
    };
    let (first, life) = ask();
    assert_eq!(life, 60);
    deployment.clock.advance_secs(49);
    assert_eq!(ask(), (first.clone(), 11));
    deployment.clock.advance_secs(1);
    let (second, life) = ask();
    assert_ne!(second, first);
    assert_eq!(life, 25);
    deployment.clock.advance_secs(24);
    assert_eq!(ask(), (second, 1));
}

#[test]
fn a_pushed_table_is_in_force_at_the_next_request_and_each_token_is_verified_anew_once() {
    let deployment = Deployment::new();
    let mut worker = deployment.worker();
    let token = deployment.ua_token();
    assert_eq!(worker.ask_with(&token), FORWARD);

    let mut moved = deployment.rows();
    moved.tenants[0].cluster = "plane/elsewhere".to_owned();
    worker.gate = deployment.configure(&worker.vm, &worker.host, moved).unwrap();
    for _ in 0..3 {
        assert_eq!(worker.ask_with(&token), FORWARD);
    }
    assert_eq!(only(&worker.host.request(), headers::CLUSTER), "plane/elsewhere");
    assert_eq!(deployment.passport(&worker.host).0.revision, worker.gate.revision());
    assert_eq!(worker.host.verifications(), 2);

    let mut rotated = deployment.rows();
    rotated.issuers[0].keys.retain(|key| key.id != "ua-1");
    let mut unbound = deployment.rows();
    unbound.issuers[0].orgs.retain(|org| org != "org_ua");
    let mut suspended = deployment.rows();
    suspended.tenants[0].suspended = true;
    for (rows, problem) in [
        (rotated, Problem::UnknownKey),
        (unbound, Problem::OrgNotBound),
        (suspended, Problem::TenantSuspended),
    ] {
        worker.gate = deployment.configure(&worker.vm, &worker.host, rows).unwrap();
        assert_eq!(worker.ask_with(&token), denied(problem));
    }
}

#[test]
fn a_push_that_cannot_be_used_is_refused_with_its_reason() {
    let deployment = Deployment::new();
    let vm = Rc::default();
    let host = deployment.host();
    let good = deployment.rows().encode().unwrap();
    let seal_key = deployment.seal_key.to_hex();
    let mut altered = good.clone();
    *altered.last_mut().unwrap() ^= 1;
    let other_seal = "00".repeat(32);
    let cases: [(&[u8], Option<&str>, &str); 6] = [
        (b"", Some(&seal_key), "expected a table of"),
        (b"{\"json\": true, \"padding\": \"long enough for a header\"}", Some(&seal_key), "format"),
        (&altered, Some(&seal_key), "altered on its way"),
        (&good, None, "BULKHEAD_SEAL_KEY"),
        (&good, Some("not a key"), "64 hexadecimal digits"),
        (&good, Some(&other_seal), "could not be opened"),
    ];
    for (bytes, seal_key, expected) in cases {
        let error = Gate::configure(&vm, &host, bytes, seal_key).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(Gate::configure(&vm, &host, &good, Some(&seal_key)).is_ok());
}

#[test]
fn without_a_table_nothing_passes() {
    let deployment = Deployment::new();
    let host = deployment.host();
    host.begin(request(&deployment.ua_token()));
    let verdict = crate::refuse_without_policy(&host, FILTER);
    assert_eq!(verdict, denied(Problem::PolicyUnavailable));
    assert_eq!(host.replied().unwrap().status, 503);
}

#[test]
fn two_workers_admit_exactly_the_burst_and_a_push_does_not_refill_it() {
    let deployment = Deployment::new();
    let mut rows = deployment.rows();
    rows.tenants[0].burst = 7;
    rows.tenants[0].interval_ns = 1_000_000_000;
    let mut workers = [deployment.worker(), deployment.worker()];
    let token = deployment.ua_token();
    let mut passed = 0;
    for push in 0..3 {
        rows.tenants[0].cluster = format!("plane/{push}");
        for worker in &mut workers {
            worker.gate = deployment.configure(&worker.vm, &worker.host, rows.clone()).unwrap();
        }
        passed += (0..8).filter(|n| workers[n % 2].ask_with(&token) == FORWARD).count();
    }
    assert_eq!(passed, 7);
    let reply = workers[1].host.replied().unwrap();
    assert!(reply.headers.contains(&("retry-after".to_owned(), "1".to_owned())));
    let neighbour = es256(&deployment.dl, deployment.claims(DL, "org_dl"));
    assert_eq!(workers[0].ask_with(&neighbour), FORWARD);
}

#[test]
fn a_denial_is_a_problem_with_a_challenge() {
    let deployment = Deployment::new();
    let worker = deployment.worker();
    assert_eq!(worker.ask(vec![header(":path", "/")]), denied(Problem::MissingCredentials));
    let value = |name: &str| {
        let reply = worker.host.replied().unwrap();
        reply.headers.into_iter().find(|(found, _)| found == name).map(|(_, value)| value)
    };
    assert_eq!(value("content-type").as_deref(), Some("application/problem+json"));
    assert_eq!(value("www-authenticate").as_deref(), Some("Bearer"));
    assert_eq!(worker.ask_with("garbage"), denied(Problem::MalformedToken));
    assert_eq!(
        value("www-authenticate").as_deref(),
        Some("Bearer error=\"invalid_token\", error_description=\"Malformed token\"")
    );
}

#[test]
fn a_logout_token_of_the_right_issuer_is_no_access_token() {
    let deployment = Deployment::new();
    let worker = deployment.worker();
    let options =
        |typ: &str| HeaderOptions { content_type: None, signature_type: Some(typ.to_owned()) };
    let sign = |typ: &str| {
        let claims = exactly(deployment.claims(UA, "org_ua"));
        deployment.ua.sign_with_options(claims, &options(typ)).unwrap()
    };
    assert_eq!(worker.ask_with(&sign("at+jwt")), FORWARD);
    assert_eq!(worker.ask_with(&sign("logout+jwt")), denied(Problem::MalformedToken));
    assert_eq!(worker.ask_with(&sign("bulkhead-passport+jwt")), denied(Problem::MalformedToken));
}

#[test]
fn our_own_passport_is_no_token_of_a_customer() {
    let deployment = Deployment::new();
    let worker = deployment.worker();
    assert_eq!(worker.ask_with(&deployment.ua_token()), FORWARD);
    let passport = only(&worker.host.request(), headers::PASSPORT);
    assert!(matches!(worker.ask_with(&passport), Verdict::Denied(_)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn arbitrary_header_bytes_never_pass_and_never_panic(
        headers in prop::collection::vec(
            (
                prop_oneof![Just("authorization".to_owned()), "[a-z:-]{0,20}"],
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..60),
                    "Bearer [a-zA-Z0-9_.-]{0,60}".prop_map(String::into_bytes),
                ],
            ),
            0..8,
        )
    ) {
        let worker = SHARED.with(|(_, worker)| Rc::clone(worker));
        let denied = matches!(worker.ask(headers), Verdict::Denied(_));
        prop_assert!(denied);
    }

    #[test]
    fn a_changed_character_of_a_good_token_never_passes(at in 0_usize..2000, to in "[ -~]") {
        SHARED.with(|(token, worker)| {
            let at = at % token.len();
            let mut changed = token.clone();
            changed.replace_range(at..=at, &to);
            // A space at an end of the token is not part of it.
            prop_assume!(changed.trim() != token.as_str());
            prop_assert!(matches!(worker.ask_with(&changed), Verdict::Denied(_)));
            Ok(())
        })?;
    }
}

thread_local! {
    static SHARED: (String, Rc<fixture::Worker>) = {
        let deployment = Deployment::new();
        (deployment.ua_token(), Rc::new(deployment.worker()))
    };
}
