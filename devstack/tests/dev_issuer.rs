//! The development issuer is an OpenID Connect issuer like any other, seen from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use devstack::{
    dev_issuer::{AUDIENCE, DevIssuer, Org, TokenOptions},
    http,
};
use jwt_simple::prelude::*;
use serde_json::{Map, Value};

async fn issuer() -> DevIssuer {
    let orgs = [Org::new("org_a".parse().unwrap()), Org::rs256("org_b".parse().unwrap())];
    DevIssuer::start(orgs).await.unwrap()
}

async fn json(url: &str) -> Value {
    let answer = http::get(url).await.unwrap();
    assert!(answer.status.is_success(), "{url}: {}", answer.status);
    answer.json().unwrap()
}

/// The key set of an issuer, found as a relying party finds it.
async fn key_set(issuer_url: &str) -> Vec<Value> {
    let discovery = json(&format!("{issuer_url}/.well-known/openid-configuration")).await;
    assert_eq!(discovery["issuer"], issuer_url);
    let keys = json(discovery["jwks_uri"].as_str().unwrap()).await;
    keys["keys"].as_array().unwrap().clone()
}

fn options(issuer_url: &str) -> VerificationOptions {
    VerificationOptions {
        allowed_issuers: Some([issuer_url.to_owned()].into()),
        allowed_audiences: Some([AUDIENCE.to_owned()].into()),
        time_tolerance: None,
        ..VerificationOptions::default()
    }
}

fn verify(token: &str, jwk: &Value, issuer_url: &str) -> Option<Map<String, Value>> {
    let (jwk_text, options) = (jwk.to_string(), Some(options(issuer_url)));
    let claims = match jwk["alg"].as_str()? {
        "ES256" => ES256PublicKey::from_jwk(&jwk_text).unwrap().verify_token(token, options),
        "RS256" => RS256PublicKey::from_jwk(&jwk_text).unwrap().verify_token(token, options),
        other => panic!("an algorithm that nobody asked for: {other}"),
    };
    claims.ok().map(|claims: JWTClaims<Map<String, Value>>| claims.custom)
}

/// What the key of the token's `kid` says to it.
async fn accepted(token: &str, issuer_url: &str) -> Option<Map<String, Value>> {
    let id = Token::decode_metadata(token).unwrap().key_id().unwrap().to_owned();
    let keys = key_set(issuer_url).await;
    verify(token, keys.iter().find(|key| key["kid"] == *id)?, issuer_url)
}

#[tokio::test]
async fn a_token_verifies_against_the_key_set_that_discovery_names() {
    let issuer = issuer().await;
    for org in ["org_a", "org_b"] {
        let token = issuer.token(org, &TokenOptions::default()).unwrap();
        let claims = accepted(&token, &issuer.issuer_url(org)).await.unwrap();
        assert_eq!(claims["org_id"], org);
    }
}

#[tokio::test]
async fn the_token_endpoint_gives_what_a_client_credentials_client_expects() {
    let issuer = issuer().await;
    let url = issuer.issuer_url("org_a");
    let form = format!("grant_type=client_credentials&audience={AUDIENCE}&expires_in=60");
    let answer = post_form(&format!("{url}/token"), &form).await;
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&"Bearer".into(), &60.into()));
    let claims = accepted(answer["access_token"].as_str().unwrap(), &url).await.unwrap();
    assert_eq!(claims["org_id"], "org_a");

    let refused = post_form(&format!("{url}/token"), "grant_type=password").await;
    assert_eq!(refused["error"], "unsupported_grant_type");
}

async fn post_form(url: &str, form: &str) -> Value {
    use http_body_util::{BodyExt, Full};
    use hyper_util::{client::legacy::Client, rt::TokioExecutor};

    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = hyper::Request::post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::new(bytes::Bytes::copy_from_slice(form.as_bytes())))
        .unwrap();
    let answer = client.request(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn a_token_that_was_asked_to_be_wrong_is_wrong_in_that_one_way() {
    let issuer = issuer().await;
    let url = issuer.issuer_url("org_a");
    let wrong = [
        TokenOptions { expires_in: -1, ..TokenOptions::default() },
        TokenOptions { not_before_in: 600, expires_in: 1200, ..TokenOptions::default() },
        TokenOptions { audience: "somebody else".to_owned(), ..TokenOptions::default() },
        TokenOptions { issuer: Some(issuer.issuer_url("org_b")), ..TokenOptions::default() },
    ];
    for options in wrong {
        let token = issuer.token("org_a", &options).unwrap();
        assert!(accepted(&token, &url).await.is_none(), "{options:?}");
    }

    let claims_another = TokenOptions { claimed_org: Some("org_b".into()), ..Default::default() };
    let claims = accepted(&issuer.token("org_a", &claims_another).unwrap(), &url).await.unwrap();
    assert_eq!(claims["org_id"], "org_b");

    let names_none = TokenOptions { without_org: true, ..TokenOptions::default() };
    let claims = accepted(&issuer.token("org_a", &names_none).unwrap(), &url).await.unwrap();
    assert!(!claims.contains_key("org_id"));

    let another_key = TokenOptions { signed_by: Some("org_b".into()), ..TokenOptions::default() };
    let token = issuer.token("org_a", &another_key).unwrap();
    assert!(accepted(&token, &url).await.is_none());

    let unsigned = TokenOptions { unsigned: true, ..TokenOptions::default() };
    let token = issuer.token("org_a", &unsigned).unwrap();
    assert_eq!(Token::decode_metadata(&token).unwrap().algorithm(), "none");
    assert!(token.ends_with('.'));
    assert!(accepted(&token, &url).await.is_none());
}

#[tokio::test]
async fn a_rotation_keeps_the_key_before_and_drops_the_one_before_that() {
    let issuer = issuer().await;
    let url = issuer.issuer_url("org_a");
    let first = issuer.token("org_a", &TokenOptions::default()).unwrap();
    issuer.rotate("org_a").unwrap();
    let second = issuer.token("org_a", &TokenOptions::default()).unwrap();
    assert!(accepted(&first, &url).await.is_some());
    assert!(accepted(&second, &url).await.is_some());
    issuer.rotate("org_a").unwrap();
    assert!(accepted(&first, &url).await.is_none());
    assert!(accepted(&second, &url).await.is_some());
}

#[tokio::test]
async fn it_speaks_for_no_org_that_it_was_not_told_of() {
    let issuer = issuer().await;
    let url = issuer.issuer_url("org_c");
    let discovery = http::get(&format!("{url}/.well-known/openid-configuration")).await.unwrap();
    assert_eq!(discovery.status, 404);
    assert!(issuer.token("org_c", &TokenOptions::default()).is_err());
}

#[tokio::test]
async fn it_says_that_it_is_for_development() {
    let issuer = issuer().await;
    let index = json(&format!("http://{}/", issuer.address())).await;
    assert!(index["notice"].as_str().unwrap().contains("development only"));
}
