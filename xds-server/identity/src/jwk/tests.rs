#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::LazyLock;

use jwt_simple::prelude::*;
use proptest::prelude::*;
use serde_json::json;

use super::*;

static RSA: LazyLock<RS256KeyPair> = LazyLock::new(|| RS256KeyPair::generate(2_048).unwrap());

fn rsa_jwk(extra: Value) -> Value {
    let parts = RSA.public_key().to_components();
    let mut jwk = json!({
        "kty": "RSA",
        "kid": "r1",
        "n": URL_SAFE_NO_PAD.encode(parts.n),
        "e": URL_SAFE_NO_PAD.encode(parts.e),
    });
    merge(&mut jwk, extra);
    jwk
}

fn ec_jwk(curve: &str, point: &[u8], extra: Value) -> Value {
    let (x, y) = point[1..].split_at((point.len() - 1) / 2);
    let mut jwk = json!({
        "kty": "EC",
        "crv": curve,
        "kid": "e1",
        "x": URL_SAFE_NO_PAD.encode(x),
        "y": URL_SAFE_NO_PAD.encode(y),
    });
    merge(&mut jwk, extra);
    jwk
}

fn merge(jwk: &mut Value, extra: Value) {
    let Value::Object(extra) = extra else { return };
    jwk.as_object_mut().unwrap().extend(extra);
}

fn read(keys: &[Value]) -> KeySet {
    read_set(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn algorithms(set: &KeySet) -> Vec<&'static str> {
    set.keys.iter().map(|key| key.algorithm.as_str()).collect()
}

/// The OID in the AlgorithmIdentifier of a `SubjectPublicKeyInfo`, which PKCS#1 does not have.
const RSA_ENCRYPTION: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
const EC_PUBLIC_KEY: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

#[test]
fn an_rsa_key_is_given_as_subject_public_key_info_and_verifies() {
    let set = read(&[rsa_jwk(json!({ "alg": "RS256", "use": "sig" }))]);
    assert_eq!(algorithms(&set), ["RS256"]);
    let key = &set.keys[0];
    assert_eq!(key.id, "r1");
    // SEQUENCE, its length in two bytes, then the AlgorithmIdentifier.
    assert_eq!(&key.spki_der[4..4 + RSA_ENCRYPTION.len()], RSA_ENCRYPTION);
    let token = RSA.sign(Claims::create(Duration::from_hours(1))).unwrap();
    let verifier = RS256PublicKey::from_der(&key.spki_der).unwrap();
    assert!(verifier.verify_token::<NoCustomClaims>(&token, None).is_ok());
}

#[test]
fn an_rsa_key_without_alg_serves_each_rsa_algorithm_and_with_alg_only_that() {
    assert_eq!(algorithms(&read(&[rsa_jwk(json!({}))])), ["RS256", "RS384", "RS512"]);
    assert_eq!(algorithms(&read(&[rsa_jwk(json!({ "alg": "RS384" }))])), ["RS384"]);
    for wrong in ["PS256", "ES256", "none", "HS256", "rs256", ""] {
        let set = read(&[rsa_jwk(json!({ "alg": wrong }))]);
        assert!(set.keys.is_empty(), "{wrong} gave a key");
        assert_eq!(set.skipped.len(), 1);
    }
}

#[test]
fn elliptic_curve_keys_serve_their_curves_algorithm_and_verify() {
    let (p256, p384) = (ES256KeyPair::generate(), ES384KeyPair::generate());
    let p256_point = p256.public_key().public_key().to_bytes_uncompressed();
    let p384_point = p384.public_key().public_key().to_bytes_uncompressed();
    let set = read(&[
        ec_jwk("P-256", &p256_point, json!({ "kid": "a" })),
        ec_jwk("P-384", &p384_point, json!({ "kid": "b", "alg": "ES384" })),
        ec_jwk("P-256", &p256_point, json!({ "kid": "c", "alg": "ES384" })),
        ec_jwk("P-384", &p256_point, json!({ "kid": "d" })),
        ec_jwk("secp256k1", &p256_point, json!({ "kid": "e" })),
    ]);
    assert_eq!(algorithms(&set), ["ES256", "ES384"]);
    assert_eq!(set.skipped.len(), 3, "{:?}", set.skipped);
    for key in &set.keys {
        assert!(key.spki_der.windows(EC_PUBLIC_KEY.len()).any(|bytes| bytes == EC_PUBLIC_KEY));
    }
    let claims = || Claims::create(Duration::from_hours(1));
    let token = p256.sign(claims()).unwrap();
    let verifier = ES256PublicKey::from_der(&set.keys[0].spki_der).unwrap();
    assert!(verifier.verify_token::<NoCustomClaims>(&token, None).is_ok());
    let token = p384.sign(claims()).unwrap();
    let verifier = ES384PublicKey::from_der(&set.keys[1].spki_der).unwrap();
    assert!(verifier.verify_token::<NoCustomClaims>(&token, None).is_ok());
}

#[test]
fn a_point_off_its_curve_is_skipped() {
    let mut point = ES256KeyPair::generate().public_key().public_key().to_bytes_uncompressed();
    point[40] ^= 1;
    let set = read(&[ec_jwk("P-256", &point, json!({}))]);
    assert!(set.keys.is_empty());
    assert_eq!(set.skipped.len(), 1);
}

#[test]
fn private_and_symmetric_keys_are_refused_loudly_and_the_others_stay() {
    let set = read(&[
        rsa_jwk(json!({ "d": "AQAB" })),
        json!({ "kty": "oct", "kid": "s", "k": "c2VjcmV0" }),
        json!({ "kty": "oct" }),
        rsa_jwk(json!({ "alg": "RS256" })),
    ]);
    assert_eq!(algorithms(&set), ["RS256"]);
    assert_eq!(set.skipped.iter().filter(|skipped| skipped.secret).count(), 3);
}

#[test]
fn keys_for_other_uses_kinds_and_sizes_are_skipped_and_said() {
    let small = vec![0xff; 128];
    let set = read(&[
        rsa_jwk(json!({ "use": "enc" })),
        rsa_jwk(json!({ "key_ops": ["encrypt"] })),
        rsa_jwk(json!({ "n": URL_SAFE_NO_PAD.encode(&small) })),
        rsa_jwk(json!({ "n": URL_SAFE_NO_PAD.encode(vec![0xff; 1_024]) })),
        // Zeros in front make no key longer.
        rsa_jwk(json!({ "n": URL_SAFE_NO_PAD.encode([vec![0; 200], small].concat()) })),
        json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA" }),
        json!({ "kid": "no kty" }),
        json!(7),
    ]);
    assert!(set.keys.is_empty());
    assert_eq!(set.skipped.len(), 8);
    assert!(set.skipped.iter().all(|skipped| !skipped.secret));
    assert!(set.skipped[2].reason.contains("found 1024"), "{}", set.skipped[2].reason);
}

#[test]
fn a_set_of_too_many_keys_is_cut_off() {
    let set = read(&vec![json!({}); 10_000]);
    assert_eq!(set.skipped.len(), MAX_KEYS + 1);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[A-Za-z0-9_=-]{0,90}".prop_map(Value::from),
        prop::sample::select(vec!["RSA", "EC", "sig", "RS256", "P-256", "P-384", "AQAB", "oct"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Value::from))
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_set(&bytes);
    }

    #[test]
    fn no_jwk_panics_and_none_gets_by_without_its_members(
        members in prop::collection::btree_map(
            prop::sample::select(vec!["kty", "kid", "use", "alg", "crv", "n", "e", "x", "y", "d", "k", "key_ops"]),
            any_json(),
            0..10,
        )
    ) {
        let jwk: Value = members.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        let set = read(&[jwk]);
        prop_assert!(set.keys.is_empty() || !members.contains_key("d"));
        prop_assert!(set.keys.len() + set.skipped.len() >= 1);
    }

    #[test]
    fn a_changed_byte_of_a_good_set_never_panics(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = json!({ "keys": [rsa_jwk(json!({}))] }).to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = to;
        let _ = read_set(&bytes);
    }
}
