//! The interface beyond this machine: TLS, and a certificate that is replaced while it runs.

use std::path::Path;

use control_plane::TlsFiles;
use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::{
    plane::{EVERYBODY, Plane, operators, token},
    setting::options,
};

/// A new certificate for 127.0.0.1, in two files; returns its PEM.
fn certify(folder: &Path) -> String {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    cert.pem()
}

fn trusting(pem: &str) -> reqwest::Client {
    // Whoever installed a provider before did well enough.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificate = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
    reqwest::Client::builder().no_proxy().tls_certs_only([certificate]).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_are_served_over_tls_and_a_new_certificate_needs_no_restart() {
    let state = tempfile::tempdir().unwrap();
    let pem = certify(state.path());
    let mut options = options(state.path());
    // Every address of this machine, so that the rule for what is reached from beyond it holds.
    options.http = ([0, 0, 0, 0], 0).into();
    options.access.operators = Some(state.path().join("operators.yaml"));
    options.access.tls = Some(TlsFiles {
        certificate: state.path().join("cert.pem"),
        key: state.path().join("key.pem"),
    });
    std::fs::write(state.path().join("operators.yaml"), operators(&EVERYBODY)).unwrap();
    let plane = Plane::start(state, options).await;
    let port = plane.running.http.port();
    let url = format!("https://127.0.0.1:{port}/v1/whoami");

    let client = trusting(&pem);
    let answer = client.get(&url).bearer_auth(token("ada")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(client.get(&url).send().await.unwrap().status(), 401);
    let clear = plane.http.get(url.replace("https", "http")).bearer_auth(token("ada"));
    assert!(clear.send().await.is_err(), "nothing is answered in clear");

    let new = certify(plane.state.path());
    plane.running.reload();
    let answer = trusting(&new).get(&url).bearer_auth(token("ada")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(trusting(&pem).get(&url).send().await.is_err(), "the old one is not shown any more");

    std::fs::write(plane.state.path().join("cert.pem"), "nonsense").unwrap();
    plane.running.reload();
    let answer = trusting(&new).get(&url).bearer_auth(token("ada")).send().await.unwrap();
    assert_eq!(answer.status(), 200, "a certificate that cannot be used changes nothing");
}

#[tokio::test]
async fn a_key_of_another_certificate_is_refused_at_the_start() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certify(one.path());
    certify(two.path());
    let mut options = options(one.path());
    options.access.tls = Some(TlsFiles {
        certificate: one.path().join("cert.pem"),
        key: two.path().join("key.pem"),
    });
    let refusal = control_plane::start(options).await.err().expect("it started");
    assert!(format!("{refusal:#}").contains("do not belong together"), "{refusal:#}");
}
