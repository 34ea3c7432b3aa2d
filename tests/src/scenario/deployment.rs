//! The deployment that all scenarios share: issuers, tenants and data planes, with their keys.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use jwt_simple::prelude::{ES256KeyPair, RS256KeyPair};
use passport::{SigningKey, Verifier, seal::SealKey};
use policy_model::table::{
    GateRows, IssuerRow, KeyRow, NodeRows, PassportKeyRow, SealedKeyRow, TenantRow,
};
use serde::Deserialize;
use tenancy::Tier;

use super::format::Alg;

/// Where the deployment is written down, beside the scenarios.
pub(super) const FILE: &str = "deployment.yaml";

const NANOS_PER_SECOND: f64 = 1e9;

/// What the control plane puts before a data plane's name to name its cluster at the ingress.
pub(super) const CLUSTER_PREFIX: &str = "data-plane/";

/// A deployment with keys: generated anew each time, except for RSA, where that takes too long.
#[derive(Debug)]
pub struct Deployment {
    audience: String,
    issuers: BTreeMap<String, Issuer>,
    tenants: BTreeMap<String, TenantSpec>,
    passport_key: SigningKey,
    seal_key: SealKey,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeploymentSpec {
    audience: String,
    issuers: BTreeMap<String, IssuerSpec>,
    tenants: BTreeMap<String, TenantSpec>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerSpec {
    issuer: String,
    orgs: Vec<String>,
    keys: Vec<KeySpec>,
    #[serde(default = "default_org_claim")]
    org_claim: String,
}

fn default_org_claim() -> String {
    "org_id".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeySpec {
    id: String,
    alg: Alg,
    /// The file of a test key in `tests/keys/`.
    #[serde(default)]
    pem: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantSpec {
    tier: Tier,
    data_plane: String,
    #[serde(default = "default_burst")]
    burst: u32,
    /// How long the bucket takes to regain one request.
    #[serde(default = "default_seconds")]
    seconds_per_request: f64,
    #[serde(default)]
    suspended: bool,
}

fn default_burst() -> u32 {
    1000
}

fn default_seconds() -> f64 {
    0.001
}

/// An issuer with its keys.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) iss: String,
    pub(super) orgs: Vec<String>,
    pub(super) org_claim: String,
    pub(super) keys: Vec<Key>,
}

/// A key of an issuer.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) pair: KeyPair,
}

#[derive(Debug)]
pub(super) enum KeyPair {
    Es256(ES256KeyPair),
    Rs256(RS256KeyPair),
}

impl KeyPair {
    pub(super) fn alg(&self) -> Alg {
        match self {
            Self::Es256(_) => Alg::ES256,
            Self::Rs256(_) => Alg::RS256,
        }
    }

    fn spki_der(&self) -> Result<Vec<u8>> {
        match self {
            Self::Es256(pair) => pair.public_key().to_der(),
            Self::Rs256(pair) => pair.public_key().to_der(),
        }
    }
}

impl Deployment {
    /// The deployment of `tests/scenarios/deployment.yaml`.
    ///
    /// # Errors
    /// Where the file cannot be read or is no deployment.
    pub fn load() -> Result<Self> {
        let file = super::folder().join(FILE);
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let spec: DeploymentSpec = serde_saphyr::from_str(&text)
            .with_context(|| format!("{} is no deployment", file.display()))?;
        let issuers = spec.issuers.into_iter().map(|(name, spec)| Ok((name, spec.resolve()?)));
        Ok(Self {
            audience: spec.audience,
            issuers: issuers.collect::<Result<_>>()?,
            tenants: spec.tenants,
            passport_key: SigningKey::generate(),
            seal_key: SealKey::from_bytes([7; 32]),
        })
    }

    /// The gate's configuration. Clusters are called as the control plane calls them.
    ///
    /// # Errors
    /// Where a key cannot be encoded.
    pub fn gate_table(&self) -> Result<Vec<u8>> {
        let sealed = self.seal_key.seal(&self.passport_key)?;
        let issuers = self.issuers.values().map(|issuer| issuer.row(&self.audience));
        let rows = GateRows {
            passport_key: SealedKeyRow {
                key_id: sealed.key_id,
                nonce: sealed.nonce,
                ciphertext: sealed.ciphertext,
            },
            issuers: issuers.collect::<Result<_>>()?,
            tenants: self.tenants.iter().map(|(id, tenant)| tenant.row(id)).collect(),
        };
        Ok(rows.encode()?)
    }

    /// The recheck's configuration at the nodes of `data_plane`.
    ///
    /// # Errors
    /// Where it cannot be encoded.
    pub fn node_table(&self, data_plane: &str) -> Result<Vec<u8>> {
        let key = self.passport_key.verifying_key();
        let rows = NodeRows {
            data_plane: data_plane.to_owned(),
            passport_keys: vec![PassportKeyRow { id: key.id, public_key: key.bytes }],
        };
        Ok(rows.encode()?)
    }

    /// What [`passport::seal::ENVIRONMENT_VARIABLE`] must hold for the gate.
    pub fn seal_key(&self) -> String {
        self.seal_key.to_hex()
    }

    /// Every data plane, and so every node and every cluster of the ingress.
    pub fn data_planes(&self) -> Vec<String> {
        let mut names: Vec<_> =
            self.tenants.values().map(|tenant| tenant.data_plane.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// What reads the passports of this deployment.
    ///
    /// # Errors
    /// Where the key is none, which it is not.
    pub fn verifier(&self) -> Result<Verifier> {
        Ok(Verifier::new([self.passport_key.verifying_key()])?)
    }

    pub(super) fn audience(&self) -> &str {
        &self.audience
    }

    pub(super) fn passport_key(&self) -> &SigningKey {
        &self.passport_key
    }

    pub(super) fn issuer(&self, name: &str) -> Result<&Issuer> {
        self.issuers.get(name).with_context(|| format!("no issuer `{name}` in the deployment"))
    }

    /// The tier and data plane of tenant `id`.
    pub(super) fn tenant(&self, id: &str) -> Result<(Tier, &str)> {
        let tenant =
            self.tenants.get(id).with_context(|| format!("no tenant `{id}` in the deployment"))?;
        Ok((tenant.tier, &tenant.data_plane))
    }
}

impl IssuerSpec {
    fn resolve(self) -> Result<Issuer> {
        let keys = self.keys.into_iter().map(KeySpec::resolve).collect::<Result<_>>()?;
        Ok(Issuer { iss: self.issuer, orgs: self.orgs, org_claim: self.org_claim, keys })
    }
}

impl KeySpec {
    fn resolve(self) -> Result<Key> {
        let pem = self.pem.as_deref().map(read_pem).transpose()?;
        let pair = match (self.alg, pem) {
            (Alg::ES256, None) => KeyPair::Es256(ES256KeyPair::generate()),
            (Alg::ES256, Some(pem)) => KeyPair::Es256(ES256KeyPair::from_pem(&pem)?),
            (Alg::RS256, None) => KeyPair::Rs256(RS256KeyPair::generate(2048)?),
            (Alg::RS256, Some(pem)) => KeyPair::Rs256(RS256KeyPair::from_pem(&pem)?),
        };
        Ok(Key { id: self.id, pair })
    }
}

fn read_pem(file: &str) -> Result<String> {
    let path = super::folder().with_file_name("keys").join(file);
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

impl Issuer {
    /// The key for `alg`.
    pub(super) fn key(&self, alg: Alg) -> Result<&Key> {
        self.keys
            .iter()
            .find(|key| key.pair.alg() == alg)
            .with_context(|| format!("{} has no {} key", self.iss, alg.as_str()))
    }

    fn row(&self, audience: &str) -> Result<IssuerRow> {
        let keys = self.keys.iter().map(|key| {
            Ok(KeyRow {
                id: key.id.clone(),
                algorithm: key.pair.alg().as_str().to_owned(),
                spki: key.pair.spki_der()?,
            })
        });
        let mut algorithms: Vec<_> =
            self.keys.iter().map(|key| key.pair.alg().as_str().to_owned()).collect();
        algorithms.sort();
        algorithms.dedup();
        Ok(IssuerRow {
            issuer: self.iss.clone(),
            audiences: vec![audience.to_owned()],
            algorithms,
            orgs: self.orgs.clone(),
            org_claim: self.org_claim.clone(),
            keys: keys.collect::<Result<_>>()?,
        })
    }
}

impl TenantSpec {
    fn row(&self, id: &str) -> TenantRow {
        TenantRow {
            id: id.to_owned(),
            tier: TenantRow::tier_index(self.tier),
            data_plane: self.data_plane.clone(),
            cluster: format!("{CLUSTER_PREFIX}{}", self.data_plane),
            interval_ns: (self.seconds_per_request * NANOS_PER_SECOND) as u64,
            burst: self.burst,
            suspended: self.suspended,
        }
    }
}
