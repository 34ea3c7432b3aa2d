//! Makes the passports that a scenario describes, the bad ones too.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jwt_simple::prelude::{Ed25519KeyPair, EdDSAKeyPairLike as _, HeaderOptions};
use passport::{MAX_LIFETIME_SECS, Passport};
use serde_json::{Map, Value};

use crate::{
    Deployment, Error,
    format::{PassportSpec, Signer},
    token::exactly,
};

/// The passport that `spec` describes, minted at `now` (Unix seconds).
pub(crate) fn make(
    deployment: &Deployment,
    spec: &PassportSpec,
    now: u64,
) -> Result<String, Error> {
    let tenant = deployment.tenant(&spec.tenant)?;
    let own = tenant.data_plane.as_str();
    let passport = Passport {
        tenant: tenant.id.clone(),
        tier: tenant.tier,
        data_plane: spec.data_plane.as_deref().unwrap_or(own).parse().map_err(Error::request)?,
        revision: "0123456789abcdef".to_owned(),
    };
    let life = i64::try_from(MAX_LIFETIME_SECS).map_err(Error::request)?;
    let minted_at = now.saturating_add_signed(spec.expires_in.unwrap_or(life) - life);
    let token = deployment.passport_key().mint(&passport, minted_at, MAX_LIFETIME_SECS)?;
    match spec.signed_by {
        Signer::Deployment => Ok(token),
        Signer::Stranger => forged(&token, deployment.passport_key().id()),
    }
}

/// The same claims under the same header, by a key of nobody's.
fn forged(passport: &str, key_id: &str) -> Result<String, Error> {
    let mut parts = passport.split('.').map(|part| {
        let json = URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
        serde_json::from_slice::<Map<String, Value>>(&json).unwrap_or_default()
    });
    let (header, claims) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let typ = header.get("typ").and_then(Value::as_str).map(str::to_owned);
    let options = HeaderOptions { content_type: None, signature_type: typ };
    let stranger = Ed25519KeyPair::generate().with_key_id(key_id);
    stranger.sign_with_options(exactly(claims), &options).map_err(Error::key)
}
