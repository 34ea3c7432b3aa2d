//! A small OpenID Connect issuer for development and tests: one server, an issuer per org, each
//! with keys of its own.
//!
//! It gives a token to whoever asks, so it is never for anything but development, and says so in
//! every answer. What it answers has the shape of the real thing: discovery (OpenID Connect
//! Discovery 1.0), a JSON Web Key Set (RFC 7517) with `Cache-Control`, and the token endpoint's
//! client credentials grant (RFC 6749, section 4.4).

mod keys;
mod routes;
mod token;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tenancy::TenantId;
use tokio::{net::TcpListener, task::JoinHandle};

pub use keys::KeyKind;
pub use token::TokenOptions;

use keys::OrgKeys;

/// The `aud` of its tokens where none is asked for.
pub const AUDIENCE: &str = "bulkhead-development";

/// What it says of itself.
const NOTICE: &str = "for development only: this issuer gives a token to whoever asks";

/// An org that it speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Org {
    /// The org.
    pub id: TenantId,
    /// What its keys are.
    pub keys: KeyKind,
}

impl Org {
    /// An org with ES256 keys.
    pub fn new(id: TenantId) -> Self {
        Self { id, keys: KeyKind::Es256 }
    }

    /// An org with RS256 keys of 2048 bits, which is what most identity providers use.
    pub fn rs256(id: TenantId) -> Self {
        Self { id, keys: KeyKind::Rs256 }
    }
}

/// A running development issuer. Dropping it stops it.
#[derive(Debug)]
pub struct DevIssuer {
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    orgs: RwLock<BTreeMap<TenantId, OrgKeys>>,
}

impl DevIssuer {
    /// Starts it on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// Where it cannot listen or make keys.
    pub async fn start(orgs: impl IntoIterator<Item = Org>) -> Result<Self> {
        Self::start_at(crate::ports::free()?, orgs).await
    }

    /// Starts it at an address.
    ///
    /// # Errors
    /// As [`DevIssuer::start`].
    pub async fn start_at(
        address: SocketAddr,
        orgs: impl IntoIterator<Item = Org>,
    ) -> Result<Self> {
        let orgs: Vec<Org> = orgs.into_iter().collect();
        let keys = tokio::task::spawn_blocking(move || keys_of(orgs)).await??;
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("the development issuer could not listen at {address}"))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { address, orgs: RwLock::new(keys) });
        let routes = routes::router(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "the development issuer ended");
            }
        });
        tracing::warn!(%address, "development issuer: {NOTICE}");
        Ok(Self { shared, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The `iss` of an org's tokens, whether it speaks for that org or not.
    pub fn issuer_url(&self, org: &str) -> String {
        self.shared.issuer_url(org)
    }

    /// The orgs that it speaks for, sorted.
    pub fn orgs(&self) -> Vec<TenantId> {
        self.shared.read(|orgs| orgs.keys().cloned().collect())
    }

    /// A token of `org`'s issuer.
    ///
    /// # Errors
    /// Where it does not speak for `org`, or for the org whose key is asked for.
    pub fn token(&self, org: &str, options: &TokenOptions) -> Result<String> {
        self.shared.token(org, options)
    }

    /// Gives `org` a new signing key. The one before stays in its key set, as with any provider
    /// that rotates, and the one before that leaves it.
    ///
    /// # Errors
    /// Where it does not speak for `org` or cannot make a key.
    pub fn rotate(&self, org: &str) -> Result<()> {
        let mut orgs = self.shared.orgs.write().unwrap_or_else(PoisonError::into_inner);
        let keys = orgs.get_mut(org).with_context(|| unknown(org))?;
        keys.rotate()
    }
}

impl Drop for DevIssuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn read<T>(&self, read: impl FnOnce(&BTreeMap<TenantId, OrgKeys>) -> T) -> T {
        read(&self.orgs.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn issuer_url(&self, org: &str) -> String {
        format!("http://{}/{org}", self.address)
    }

    fn speaks_for(&self, org: &str) -> bool {
        self.read(|orgs| orgs.contains_key(org))
    }

    fn key_set(&self, org: &str) -> Option<Value> {
        self.read(|orgs| orgs.get(org).map(|keys| json!({ "keys": keys.public() })))
    }

    fn token(&self, org: &str, options: &TokenOptions) -> Result<String> {
        let signer = options.signed_by.as_deref().unwrap_or(org);
        let issuer = options.issuer.clone().unwrap_or_else(|| self.issuer_url(org));
        self.read(|orgs| {
            let keys = orgs.get(signer).with_context(|| unknown(signer))?;
            token::sign(org, &issuer, keys, options)
        })
    }
}

fn unknown(org: &str) -> String {
    format!("expected an org that the development issuer speaks for, found `{org}`")
}

fn keys_of(orgs: Vec<Org>) -> Result<BTreeMap<TenantId, OrgKeys>> {
    let mut keys = BTreeMap::new();
    for org in orgs {
        keys.insert(org.id.clone(), OrgKeys::generate(&org)?);
    }
    Ok(keys)
}
