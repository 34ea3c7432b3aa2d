//! From a JSON Web Key Set (RFC 7517) to keys that the gate can use.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jwt_simple::algorithms::{ES256PublicKey, ES384PublicKey, RS256PublicKey};
use policy_model::spec::Algorithm;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The most keys taken from one set.
const MAX_KEYS: usize = 64;
/// RFC 7518, 3.3 demands at least 2048 bits.
const MIN_RSA_BITS: usize = 2_048;
/// Larger ones cost the gate too much for each token.
const MAX_RSA_BITS: usize = 4_096;
/// The longest `kid`, in bytes.
const MAX_KID_BYTES: usize = 256;
/// Members that only private and symmetric keys have (RFC 7518, 6.2.2, 6.3.2 and 6.4).
const SECRET_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A public key of an issuer, for one algorithm.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerKey {
    /// The `kid`; empty where the issuer gives none.
    pub id: String,
    /// The one algorithm that it is used with. An RSA key whose `alg` is not said comes three
    /// times, once for each of RS256, RS384 and RS512.
    pub algorithm: Algorithm,
    /// DER `SubjectPublicKeyInfo` (RFC 5280, 4.1).
    #[serde(with = "base64_text")]
    pub spki_der: Vec<u8>,
}

/// What a key set held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeySet {
    /// The keys, sorted.
    pub(crate) keys: Vec<IssuerKey>,
    /// What was not taken, and why.
    pub(crate) skipped: Vec<Skipped>,
}

/// A key that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skipped {
    /// Whether the issuer published what it must keep to itself.
    pub(crate) secret: bool,
    /// Which key and why.
    pub(crate) reason: String,
}

/// Reads a key set. A key that cannot be used is skipped and said; the others count.
///
/// # Errors
/// Where the bytes are no key set at all.
pub(crate) fn read_set(bytes: &[u8]) -> Result<KeySet, String> {
    #[derive(Deserialize)]
    struct Document {
        keys: Vec<Value>,
    }
    let Document { keys } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let mut set = KeySet::default();
    for (at, key) in keys.iter().enumerate() {
        let id = key.get("kid").and_then(Value::as_str).unwrap_or_default();
        let skip = |secret, why: String| Skipped {
            secret,
            reason: format!("key {at} (kid `{}`): {why}", id.chars().take(64).collect::<String>()),
        };
        if at >= MAX_KEYS {
            let why = format!("expected at most {MAX_KEYS} keys, found {}", keys.len());
            set.skipped.push(skip(false, why));
            break;
        }
        let Some(members) = key.as_object() else {
            set.skipped.push(skip(false, "expected an object".to_owned()));
            continue;
        };
        if is_secret(members) {
            let why = "expected a public key, found a private or symmetric one; whoever read this document can sign with it, so the issuer must replace it";
            set.skipped.push(skip(true, why.to_owned()));
            continue;
        }
        match read_key(members) {
            Ok(keys) => set.keys.extend(keys),
            Err(why) => set.skipped.push(skip(false, why)),
        }
    }
    set.keys.sort();
    set.keys.dedup();
    Ok(set)
}

fn is_secret(key: &Map<String, Value>) -> bool {
    key.get("kty").and_then(Value::as_str) == Some("oct")
        || SECRET_MEMBERS.iter().any(|member| key.contains_key(*member))
}

fn read_key(key: &Map<String, Value>) -> Result<Vec<IssuerKey>, String> {
    if let Some(found) = text(key, "use")?.filter(|usage| *usage != "sig") {
        return Err(format!("expected `use` to be `sig` or absent, found `{}`", short(found)));
    }
    let verifies = |operations: &Value| {
        operations.as_array().is_some_and(|list| list.iter().any(|entry| entry == "verify"))
    };
    if key.get("key_ops").is_some_and(|operations| !verifies(operations)) {
        return Err("expected `key_ops` to hold `verify` or to be absent".to_owned());
    }
    let id = text(key, "kid")?.unwrap_or_default();
    if id.len() > MAX_KID_BYTES {
        return Err(format!("expected a kid of at most {MAX_KID_BYTES} bytes, found {}", id.len()));
    }
    let (fits, spki_der): (&[Algorithm], Vec<u8>) = match text(key, "kty")? {
        Some("RSA") => (&[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512], rsa(key)?),
        Some("EC") => match text(key, "crv")? {
            Some("P-256") => (&[Algorithm::ES256], p256(key)?),
            Some("P-384") => (&[Algorithm::ES384], p384(key)?),
            other => {
                return Err(format!(
                    "expected crv P-256 or P-384, found `{}`",
                    short(other.unwrap_or_default())
                ));
            }
        },
        other => {
            return Err(format!(
                "expected kty RSA or EC, found `{}`",
                short(other.unwrap_or_default())
            ));
        }
    };
    let said = text(key, "alg")?;
    let keys: Vec<IssuerKey> = fits
        .iter()
        .filter(|algorithm| said.is_none_or(|said| said == algorithm.as_str()))
        .map(|algorithm| IssuerKey {
            id: id.to_owned(),
            algorithm: *algorithm,
            spki_der: spki_der.clone(),
        })
        .collect();
    if keys.is_empty() {
        return Err(format!(
            "expected an alg that fits the key and is supported, found `{}`",
            short(said.unwrap_or_default())
        ));
    }
    Ok(keys)
}

fn rsa(key: &Map<String, Value>) -> Result<Vec<u8>, String> {
    let (n, e) = (number(key, "n")?, number(key, "e")?);
    let n = match n.iter().position(|byte| *byte != 0) {
        Some(first) => n.get(first..).unwrap_or_default(),
        None => &[],
    };
    let top = n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = n.len() * 8 - top;
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
        return Err(format!(
            "expected a modulus of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, found {bits}"
        ));
    }
    RS256PublicKey::from_components(n, &e)
        .and_then(|key| key.to_der())
        .map_err(|error| format!("expected an RSA public key, found: {error}"))
}

fn p256(key: &Map<String, Value>) -> Result<Vec<u8>, String> {
    ES256PublicKey::from_bytes(&point(key, 32)?)
        .and_then(|key| key.to_der())
        .map_err(|error| format!("expected a point on P-256, found: {error}"))
}

fn p384(key: &Map<String, Value>) -> Result<Vec<u8>, String> {
    ES384PublicKey::from_bytes(&point(key, 48)?)
        .and_then(|key| key.to_der())
        .map_err(|error| format!("expected a point on P-384, found: {error}"))
}

/// The uncompressed point (SEC 1, 2.3.3).
fn point(key: &Map<String, Value>, coordinate_bytes: usize) -> Result<Vec<u8>, String> {
    let mut point = vec![4];
    for member in ["x", "y"] {
        let coordinate = number(key, member)?;
        if coordinate.len() != coordinate_bytes {
            return Err(format!(
                "expected {member} of {coordinate_bytes} bytes, found {}",
                coordinate.len()
            ));
        }
        point.extend(coordinate);
    }
    Ok(point)
}

fn number(key: &Map<String, Value>, member: &str) -> Result<Vec<u8>, String> {
    const MAX_TEXT_BYTES: usize = 4_096;
    let text = text(key, member)?.ok_or_else(|| format!("expected a member `{member}`"))?;
    if text.len() > MAX_TEXT_BYTES {
        return Err(format!("expected {member} of at most {MAX_TEXT_BYTES} characters"));
    }
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|error| format!("expected {member} in base64url without padding, found: {error}"))
}

fn text<'a>(key: &'a Map<String, Value>, member: &str) -> Result<Option<&'a str>, String> {
    match key.get(member) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("expected `{member}` to be text")),
    }
}

fn short(text: &str) -> String {
    text.chars().take(32).collect()
}

mod base64_text {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(d)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
