//! A small deployment for the tests of the decisions: two identity providers, four tenants.

use std::{rc::Rc, sync::LazyLock};

use jwt_simple::prelude::{
    Claims, Duration, ECDSAP256KeyPairLike, ES256KeyPair, RS256KeyPair, RSAKeyPairLike,
};
use passport::{Passport, SigningKey, Verifier, seal::SealKey};
use policy_model::table::{GateRows, IssuerRow, KeyRow, SealedKeyRow, TenantRow};
use serde_json::{Map, Value, json};
use tenancy::headers;

use crate::{
    ConfigureError, Gate, Header, Verdict, Vm,
    memory_host::{Clock, MemoryHost, SharedData},
};

pub(crate) const UA: &str = "https://login.ua.example";
pub(crate) const DL: &str = "https://login.dl.example";
pub(crate) const AUDIENCE: &str = "https://api.example";

/// Generating one takes seconds, so the tests share it.
pub(crate) static RSA: LazyLock<RS256KeyPair> = LazyLock::new(|| {
    RS256KeyPair::from_pem(include_str!("../tests/keys/rsa.pem")).unwrap().with_key_id("ua-rsa")
});

pub(crate) struct Deployment {
    pub(crate) clock: Clock,
    pub(crate) shared: SharedData,
    pub(crate) passport_key: SigningKey,
    pub(crate) seal_key: SealKey,
    pub(crate) ua: ES256KeyPair,
    pub(crate) dl: ES256KeyPair,
}

/// One worker with its gate.
pub(crate) struct Worker {
    pub(crate) host: MemoryHost,
    pub(crate) vm: Rc<Vm>,
    pub(crate) gate: Gate,
}

impl Deployment {
    pub(crate) fn new() -> Self {
        Self {
            clock: Clock::default(),
            shared: SharedData::default(),
            passport_key: SigningKey::generate(),
            seal_key: SealKey::from_bytes([9; 32]),
            ua: ES256KeyPair::generate().with_key_id("ua-1"),
            dl: ES256KeyPair::generate().with_key_id("dl-1"),
        }
    }

    pub(crate) fn rows(&self) -> GateRows {
        let sealed = self.seal_key.seal(&self.passport_key).unwrap();
        GateRows {
            passport_key: SealedKeyRow {
                key_id: sealed.key_id,
                nonce: sealed.nonce,
                ciphertext: sealed.ciphertext,
            },
            issuers: vec![
                issuer(
                    UA,
                    &["org_ua", "org_gone", "org_shut"],
                    vec![
                        key("ua-1", "ES256", self.ua.public_key().to_der().unwrap()),
                        key("ua-rsa", "RS256", RSA.public_key().to_der().unwrap()),
                    ],
                ),
                issuer(
                    DL,
                    &["org_dl"],
                    vec![key("dl-1", "ES256", self.dl.public_key().to_der().unwrap())],
                ),
            ],
            tenants: vec![
                tenant("org_ua", 1, "shared", false),
                tenant("org_dl", 2, "dl-plane", false),
                tenant("org_shut", 0, "shared", true),
            ],
            ..GateRows::default()
        }
    }

    pub(crate) fn host(&self) -> MemoryHost {
        MemoryHost::new(&self.clock, &self.shared)
    }

    pub(crate) fn configure(
        &self,
        vm: &Rc<Vm>,
        host: &MemoryHost,
        rows: GateRows,
    ) -> Result<Gate, ConfigureError> {
        Gate::configure(vm, host, &rows.encode().unwrap(), Some(&self.seal_key.to_hex()))
    }

    pub(crate) fn worker_on(&self, host: MemoryHost) -> Worker {
        let vm = Rc::default();
        let gate = self.configure(&vm, &host, self.rows()).unwrap();
        Worker { host, vm, gate }
    }

    pub(crate) fn worker(&self) -> Worker {
        self.worker_on(self.host())
    }

    /// The claims of a good token of `org`.
    pub(crate) fn claims(&self, iss: &str, org: &str) -> Map<String, Value> {
        let now = self.clock.unix_secs();
        let claims = json!({
            "iss": iss, "aud": AUDIENCE, "sub": "shipping-bot",
            "iat": now, "exp": now + 3600, "org_id": org,
        });
        claims.as_object().unwrap().clone()
    }

    pub(crate) fn ua_token(&self) -> String {
        es256(&self.ua, self.claims(UA, "org_ua"))
    }

    /// What the passport on the request at hand says.
    pub(crate) fn passport(&self, host: &MemoryHost) -> (Passport, u64) {
        let verifier = Verifier::new([self.passport_key.verifying_key()]).unwrap();
        let token = only(&host.request(), headers::PASSPORT);
        verifier.verify(&token, self.clock.unix_secs()).unwrap()
    }
}

impl Worker {
    pub(crate) fn ask(&self, headers: Vec<Header>) -> Verdict {
        self.host.begin(headers);
        self.gate.on_request_headers(&self.host)
    }

    pub(crate) fn ask_with(&self, token: &str) -> Verdict {
        self.ask(request(token))
    }
}

pub(crate) fn request(token: &str) -> Vec<Header> {
    vec![
        header(":method", "POST"),
        header(":path", "/v2/models/eta/infer"),
        header("authorization", &format!("Bearer {token}")),
        header("content-type", "application/json"),
    ]
}

pub(crate) fn header(name: &str, value: &str) -> Header {
    (name.to_owned(), value.as_bytes().to_vec())
}

/// The value of `name`, which must be there exactly once.
pub(crate) fn only(headers: &[Header], name: &str) -> String {
    let values: Vec<_> = headers.iter().filter(|(found, _)| found == name).collect();
    assert_eq!(values.len(), 1, "expected `{name}` once in {headers:?}");
    String::from_utf8(values[0].1.clone()).unwrap()
}

/// A token with exactly these claims.
pub(crate) fn es256(pair: &ES256KeyPair, claims: Map<String, Value>) -> String {
    pair.sign(exactly(claims)).unwrap()
}

pub(crate) fn rs256(claims: Map<String, Value>) -> String {
    RSA.sign(exactly(claims)).unwrap()
}

pub(crate) fn exactly(
    claims: Map<String, Value>,
) -> jwt_simple::claims::JWTClaims<Map<String, Value>> {
    let mut all = Claims::with_custom_claims(claims, Duration::from_secs(0));
    all.issued_at = None;
    all.expires_at = None;
    all.invalid_before = None;
    all
}

pub(crate) fn key(id: &str, algorithm: &str, spki: Vec<u8>) -> KeyRow {
    KeyRow { id: id.to_owned(), algorithm: algorithm.to_owned(), spki }
}

fn issuer(iss: &str, orgs: &[&str], keys: Vec<KeyRow>) -> IssuerRow {
    IssuerRow {
        issuer: iss.to_owned(),
        audiences: vec![AUDIENCE.to_owned()],
        algorithms: vec!["ES256".to_owned(), "RS256".to_owned()],
        orgs: orgs.iter().map(|org| (*org).to_owned()).collect(),
        org_claim: "org_id".to_owned(),
        keys,
    }
}

fn tenant(id: &str, tier: u8, data_plane: &str, suspended: bool) -> TenantRow {
    TenantRow {
        id: id.to_owned(),
        tier,
        data_plane: data_plane.to_owned(),
        cluster: format!("plane/{data_plane}"),
        interval_ns: 1_000_000,
        burst: 1000,
        suspended,
        ..TenantRow::default()
    }
}
