//! A small deployment whose keys never change, so that a token in a corpus stays a good one.

use std::sync::LazyLock;

use expression::{Type, compile, compile_template};
use filter_core::{Header, Headers};
use inference::changes::PairKind;
use jwt_simple::prelude::{Claims, Duration, ECDSAP256KeyPairLike, ES256KeyPair};
use passport::{SigningKey, seal::SealKey};
use policy_model::{
    spec::Point,
    table::{
        CheckRow, DataPlaneRow, GateRows, IssuerRow, KeyRow, NodeRows, NodeTenantRow, ObserveRow,
        PassportKeyRow, RateRow, SealedKeyRow, TenantRow, TierRow,
    },
    variables::environment,
};
use serde_json::{Map, Value, json};

pub(crate) const TENANT: &str = "org_fuzz";
pub(crate) const SEAL_KEY: &str =
    "0909090909090909090909090909090909090909090909090909090909090909";
const ISSUER: &str = "https://login.example";
const AUDIENCE: &str = "https://api.example";
const PLANE: &str = "shared";
/// What the clock in memory shows.
const NOW: u64 = 1_780_000_000;

/// Checks that read all there is of a request; each passes for the request of the corpus.
const AT_THE_GATE: [&str; 8] = [
    "request.method in ['GET', 'POST'] && request.path.startsWith('/v2/')",
    "request.query == '' || request.query.split('&')[0].contains('=')",
    "size(request.host) < 64 && request.content_length < 1048576",
    "request.headers.all(name, size(name) < 128)",
    "!has(claims.roles) || claims.roles.exists(role, role == 'reader')",
    "now - token.issued_at <= duration('1h') && token.algorithm == 'ES256'",
    "tenant.labels['regulated'] == 'yes' && data_plane.region.matches('^eu-[0-9]+$')",
    "request.headers.exists(name, name == 'x-purpose') || tier.burst > 0",
];
const AT_THE_NODE: [&str; 2] =
    ["request.path.startsWith('/v2/')", "request.headers.all(name, size(name) < 4096)"];

pub(crate) static DEPLOYMENT: LazyLock<Deployment> = LazyLock::new(Deployment::new);

pub(crate) struct Deployment {
    /// The gate's table.
    pub(crate) gate: Vec<u8>,
    /// A node's table.
    pub(crate) node: Vec<u8>,
}

impl Deployment {
    fn new() -> Self {
        let passport_key = SigningKey::generate();
        let gate = gate(&passport_key).encode().expect("rows of the gate");
        let node = node(&passport_key).encode().expect("rows of a node");
        Self { gate, node }
    }
}

fn issuer_key() -> ES256KeyPair {
    ES256KeyPair::from_bytes(&[7; 32])
        .expect("a number below the curve's order")
        .with_key_id("key-1")
}

fn gate(passport_key: &SigningKey) -> GateRows {
    let seal_key = SealKey::from_hex(SEAL_KEY).expect("32 bytes");
    let sealed = seal_key.seal(passport_key).expect("a sealed key");
    let checks = AT_THE_GATE.map(|source| check(Point::Gate, source));
    let spki = issuer_key().public_key().to_der().expect("a public key");
    GateRows {
        passport_key: SealedKeyRow {
            key_id: sealed.key_id,
            nonce: sealed.nonce,
            ciphertext: sealed.ciphertext,
        },
        issuers: vec![IssuerRow {
            issuer: ISSUER.to_owned(),
            audiences: vec![AUDIENCE.to_owned()],
            algorithms: vec!["ES256".to_owned()],
            orgs: vec![TENANT.to_owned()],
            org_claim: "org_id".to_owned(),
            keys: vec![KeyRow { id: "key-1".to_owned(), algorithm: "ES256".to_owned(), spki }],
        }],
        tenants: vec![TenantRow {
            id: TENANT.to_owned(),
            tier: 1,
            data_plane: PLANE.to_owned(),
            cluster: format!("plane/{PLANE}"),
            interval_ns: 1_000_000,
            burst: 1000,
            labels: labels(),
            checks: (0..).take(checks.len()).collect(),
            ..TenantRow::default()
        }],
        tiers: tiers(),
        data_planes: vec![plane()],
        checks: checks.into(),
        observe: ObserveRow { response_headers: true, access_log: true },
    }
}

fn node(passport_key: &SigningKey) -> NodeRows {
    let key = passport_key.verifying_key();
    let checks = AT_THE_NODE.map(|source| check(Point::Recheck, source));
    NodeRows {
        data_plane: PLANE.to_owned(),
        passport_keys: vec![PassportKeyRow { id: key.id, public_key: key.bytes }],
        plane: Some(plane()),
        tiers: tiers(),
        tenants: vec![NodeTenantRow {
            id: TENANT.to_owned(),
            tier: 1,
            labels: labels(),
            checks: (0..).take(checks.len()).collect(),
        }],
        checks: checks.into(),
        observe: ObserveRow::default(),
    }
}

fn labels() -> Vec<(String, String)> {
    vec![("regulated".to_owned(), "yes".to_owned())]
}

fn tiers() -> Vec<TierRow> {
    let rate = Some(RateRow { interval_ns: 10_000_000, burst: 7 });
    vec![TierRow { tier: 1, labels: labels(), rate }]
}

fn plane() -> DataPlaneRow {
    DataPlaneRow { id: PLANE.to_owned(), region: "eu-1".to_owned(), ..DataPlaneRow::default() }
}

fn check(point: Point, source: &str) -> CheckRow {
    let environment = environment(point);
    let message = compile_template("no ${tenant.id} at ${request.path}", &environment);
    CheckRow {
        name: format!("check-{}", tenancy::Digest::of(source.as_bytes()).short()),
        shadow: false,
        program: compile(source, &environment, Type::Bool).expect(source).program,
        status: 403,
        code: "not_here".to_owned(),
        message: message.expect("a message"),
    }
}

/// A request with `token`, where there is one.
pub(crate) fn request(token: Option<&str>) -> Vec<Header> {
    let mut headers = vec![
        (":method", "POST".to_owned()),
        (":path", "/v2/models/eta/infer?a=b".to_owned()),
        (":authority", "api.example".to_owned()),
        ("content-type", "application/json".to_owned()),
        ("content-length", "12".to_owned()),
        ("x-bulkhead-passport", "forged".to_owned()),
    ];
    headers.extend(token.map(|token| ("authorization", format!("Bearer {token}"))));
    headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect()
}

fn token(claims: Value) -> String {
    let claims: Map<String, Value> = claims.as_object().cloned().unwrap_or_default();
    let mut all = Claims::with_custom_claims(claims, Duration::from_secs(0));
    (all.issued_at, all.expires_at, all.invalid_before) = (None, None, None);
    issuer_key().sign(all).expect("a signature")
}

/// Good inputs, each under its target and a name: what the corpora were begun with.
pub fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut seeds = vec![
        ("table", "gate".to_owned(), DEPLOYMENT.gate.clone()),
        ("table", "node".to_owned(), DEPLOYMENT.node.clone()),
        ("changes", "each-kind".to_owned(), crate::changes::seed(PairKind::F32)),
        ("changes", "each-kind-narrow".to_owned(), crate::changes::seed(PairKind::F16)),
        ("changes", "each-kind-bytes".to_owned(), crate::changes::seed(PairKind::I8)),
    ];
    for (point, sources) in [(Point::Gate, &AT_THE_GATE[..]), (Point::Recheck, &AT_THE_NODE[..])] {
        for source in sources {
            let program = check(point, source).program;
            let archive = rkyv::to_bytes::<rkyv::rancor::Error>(&program).expect("an archive");
            let name = tenancy::Digest::of(source.as_bytes()).short();
            seeds.push(("cel", name.clone(), source.as_bytes().to_vec()));
            seeds.push(("program", name, archive.to_vec()));
        }
    }
    let good = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "bot", "org_id": TENANT,
        "iat": NOW, "exp": NOW + 3600, "roles": ["reader"],
    });
    let mut late = good.clone();
    late["exp"] = json!(NOW - 3600);
    let requests = [
        ("good", Some(token(good))),
        ("expired", Some(token(late))),
        ("without-a-token", None),
        ("not-a-token", Some("a.b.c".to_owned())),
    ];
    for (name, token) in requests {
        let headers = request(token.as_deref());
        seeds.push(("headers", name.to_owned(), map(&headers)));
    }
    seeds
}

/// As a proxy hands a map over (proxy-wasm ABI 0.2.1, "Serialized map").
fn map(headers: &[Header]) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut map = number(headers.len()).to_vec();
    for (name, value) in headers {
        map.extend([number(name.len()), number(value.len())].concat());
    }
    for text in headers.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_slice()]) {
        map.extend_from_slice(text);
        map.push(0);
    }
    assert!(Headers::from_map(map.clone()).is_some(), "a map");
    map
}
