//! Who asks: the verified passport and nothing else.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use http::HeaderMap;
use passport::{Passport, PassportError, Verifier};
use tenancy::{DataPlaneId, headers, problem::Problem};

use crate::answer::Refusal;

/// How many verified passports are remembered. The gate mints one for each token of a tenant and
/// reuses it, so there are far fewer at once.
const MOST_REMEMBERED: usize = 4096;

/// Checks passports against the keys in force and remembers those that passed until they expire.
/// Other keys make another one, so nothing that was remembered outlives its key.
pub(crate) struct PassportCheck {
    verifier: Verifier,
    data_plane: DataPlaneId,
    remembered: Mutex<HashMap<Box<str>, (Passport, u64)>>,
}

impl PassportCheck {
    pub(crate) fn new(verifier: Verifier, data_plane: DataPlaneId) -> Self {
        Self { verifier, data_plane, remembered: Mutex::default() }
    }

    /// The passport of a request at `now` (Unix seconds).
    pub(crate) fn check(&self, headers: &HeaderMap, now: u64) -> Result<Passport, Refusal> {
        let token = the_one_token(headers)?;
        let passport = self.verified(token, now).map_err(|error| {
            let problem = match error {
                PassportError::Expired => Problem::PassportExpired,
                PassportError::Invalid { .. } => Problem::PassportInvalid,
            };
            Refusal::new(problem, error.to_string())
        })?;
        if passport.data_plane != self.data_plane {
            return Err(Refusal::new(
                Problem::WrongDataPlane,
                "expected a passport for this node's data plane, found one for another",
            ));
        }
        Ok(passport)
    }

    fn verified(&self, token: &str, now: u64) -> Result<Passport, PassportError> {
        if let Some((passport, expires)) = self.remembered().get(token) {
            return if now < *expires { Ok(passport.clone()) } else { Err(PassportError::Expired) };
        }
        let (passport, expires) = self.verifier.verify(token, now)?;
        let mut remembered = self.remembered();
        if remembered.len() >= MOST_REMEMBERED {
            remembered.retain(|_, (_, expires)| now < *expires);
        }
        if remembered.len() < MOST_REMEMBERED {
            remembered.insert(token.into(), (passport.clone(), expires));
        }
        Ok(passport)
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashMap<Box<str>, (Passport, u64)>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn the_one_token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut passports = headers.get_all(headers::PASSPORT).iter();
    match (passports.next(), passports.next()) {
        (None, _) => Err(Refusal::new(
            Problem::PassportMissing,
            "expected a passport, found none: requests reach this node through the gate alone",
        )),
        (Some(passport), None) => passport.to_str().map_err(|_| {
            Refusal::new(
                Problem::PassportInvalid,
                "expected a passport of visible ASCII characters",
            )
        }),
        (Some(_), Some(_)) => Err(Refusal::new(
            Problem::PassportInvalid,
            "expected exactly one passport, found several",
        )),
    }
}

#[cfg(test)]
mod tests {
    use passport::SigningKey;
    use tenancy::Tier;

    use super::*;

    const NOW: u64 = 1_780_000_000;

    fn minted(key: &SigningKey, data_plane: &str) -> String {
        let passport = Passport {
            tenant: "ua".parse().unwrap(),
            tier: Tier::Pool,
            data_plane: data_plane.parse().unwrap(),
            revision: "0123456789abcdef".to_owned(),
        };
        key.mint(&passport, NOW, 60).unwrap()
    }

    fn check(key: &SigningKey) -> PassportCheck {
        let verifier = Verifier::new([key.verifying_key()]).unwrap();
        PassportCheck::new(verifier, "shared".parse().unwrap())
    }

    fn with(tokens: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for token in tokens {
            headers.append(headers::PASSPORT, token.parse().unwrap());
        }
        headers
    }

    fn problem(result: Result<Passport, Refusal>) -> Option<Problem> {
        result.err().map(|refusal| refusal.problem)
    }

    #[test]
    fn exactly_one_passport_of_our_keys_for_this_data_plane_is_taken() {
        let (ours, theirs) = (SigningKey::generate(), SigningKey::generate());
        let check = check(&ours);
        let (good, forged) = (minted(&ours, "shared"), minted(&theirs, "shared"));
        let elsewhere = minted(&ours, "silo-dl");
        assert_eq!(check.check(&with(&[&good]), NOW).unwrap().tenant.as_str(), "ua");
        let refused = |tokens: &[&str]| problem(check.check(&with(tokens), NOW));
        assert_eq!(refused(&[]), Some(Problem::PassportMissing));
        assert_eq!(refused(&[&good, &good]), Some(Problem::PassportInvalid));
        assert_eq!(refused(&[&forged]), Some(Problem::PassportInvalid));
        assert_eq!(refused(&["nonsense"]), Some(Problem::PassportInvalid));
        assert_eq!(refused(&[&elsewhere]), Some(Problem::WrongDataPlane));
    }

    #[test]
    fn a_remembered_passport_expires_at_its_second() {
        let key = SigningKey::generate();
        let check = check(&key);
        let headers = with(&[&minted(&key, "shared")]);
        assert!(check.check(&headers, NOW).is_ok());
        assert!(check.check(&headers, NOW + 59).is_ok());
        assert_eq!(problem(check.check(&headers, NOW + 60)), Some(Problem::PassportExpired));
    }
}
