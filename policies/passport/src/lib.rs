//! The passport: the internal signed claim that says which tenant a request belongs to.
//!
//! The gate mints one once it has verified the caller's own token; node proxies and sidecars
//! verify it and trust nothing else. It is a JWT (RFC 7519) signed with Ed25519 (RFC 8037) that
//! lives for at most [`MAX_LIFETIME_SECS`]. The crate knows neither where the time comes from
//! (callers pass it) nor how keys travel, except that [`seal`] hides a signing key on its way.
//!
//! Start with [`Passport`], then [`SigningKey::mint`] and [`Verifier::verify`].

pub mod seal;
mod signing;
mod verify;

use serde::{Deserialize, Serialize};
use tenancy::{DataPlaneId, TenantId, Tier};

pub use signing::{KeyError, SigningKey};
pub use verify::{PassportError, Verifier, VerifyingKey};

/// The longest that a passport may live, in seconds.
pub const MAX_LIFETIME_SECS: u64 = 60;

/// The `iss` of every passport.
const ISSUER: &str = "bulkhead";

/// The `typ` of every passport, so that no other JWT can be taken for one (RFC 8725, 3.11).
const TOKEN_TYPE: &str = "bulkhead-passport+jwt";

/// What a passport says about the request that carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passport {
    /// The tenant, from the verified claim of its own identity provider.
    #[serde(rename = "org_id")]
    pub tenant: TenantId,
    /// The tenant's isolation tier when the passport was minted.
    pub tier: Tier,
    /// The only data plane that may serve the request.
    #[serde(rename = "dp")]
    pub data_plane: DataPlaneId,
    /// The revision of the tenant table that the gate decided by.
    #[serde(rename = "rev")]
    pub revision: String,
}
