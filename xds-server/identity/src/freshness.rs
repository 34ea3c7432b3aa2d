//! When to ask an issuer again.

use std::time::Duration;

use rand::Rng;
use reqwest::header::{AGE, CACHE_CONTROL, HeaderMap};

/// Bounds on how often an issuer is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// The shortest time between two fetches of an issuer that answers, whatever its
    /// Cache-Control says. 30 s unless set: an issuer that says `no-store` is not flooded.
    pub floor: Duration,
    /// The longest. 15 minutes unless set: so long may a withdrawn key stay in force.
    pub ceiling: Duration,
    /// Where the answer says nothing. 5 minutes unless set.
    pub unsaid: Duration,
    /// The first wait after an error; it doubles with each further one. 1 s unless set.
    pub retry_first: Duration,
    /// The longest wait after an error. 2 minutes unless set.
    pub retry_ceiling: Duration,
    /// The shortest time between two fetches of an issuer that [`crate::KeySets::refresh_now`]
    /// may cause. 10 s unless set: tokens with made-up key ids flood no issuer.
    pub on_demand: Duration,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            floor: Duration::from_secs(30),
            ceiling: Duration::from_secs(15 * 60),
            unsaid: Duration::from_secs(5 * 60),
            retry_first: Duration::from_secs(1),
            retry_ceiling: Duration::from_secs(120),
            on_demand: Duration::from_secs(10),
        }
    }
}

impl Freshness {
    /// How long an answer with these headers stays fresh (RFC 9111, sections 4.2 and 5.2.2).
    pub(crate) fn of(&self, headers: &HeaderMap) -> Duration {
        let mut lifetime = None;
        let directives = headers
            .get_all(CACHE_CONTROL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        for directive in directives {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let name = name.trim();
            if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
                return self.floor;
            }
            if name.eq_ignore_ascii_case("max-age") {
                // Too many digits are as good as for ever; the ceiling holds.
                let value = value.trim().trim_matches('"');
                if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
                    lifetime = Some(value.parse().unwrap_or(u64::MAX));
                }
            }
        }
        let Some(lifetime) = lifetime else { return self.unsaid };
        let age = headers
            .get(AGE)
            .and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok())
            .unwrap_or(0);
        let left = Duration::from_secs(u64::saturating_sub(lifetime, age));
        left.min(self.ceiling).max(self.floor)
    }

    /// How long to wait after `failures` errors in a row, at least 1: between half of the
    /// doubled wait and the whole of it, so that issuers that fail together are not asked
    /// together.
    pub(crate) fn retry_after(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let whole = self.retry_first.saturating_mul(1 << doublings).min(self.retry_ceiling);
        whole.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cache_control: &'static str) -> Duration {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, reqwest::header::HeaderValue::from_static(cache_control));
        Freshness::default().of(&headers)
    }

    #[test]
    fn max_age_is_honoured_within_the_floor_and_the_ceiling() {
        let fresh = Freshness::default();
        assert_eq!(of("public, max-age=120"), Duration::from_secs(120));
        assert_eq!(of("max-age=1"), fresh.floor);
        assert_eq!(of("MAX-AGE=99999999999999999999999"), fresh.ceiling);
        assert_eq!(of("max-age=600, no-store"), fresh.floor);
        assert_eq!(of("max-age=soon"), fresh.unsaid);
        assert_eq!(of("private"), fresh.unsaid);
    }

    #[test]
    fn retries_back_off_up_to_a_ceiling() {
        let fresh = Freshness::default();
        for failures in 1..100 {
            let whole = fresh
                .retry_first
                .saturating_mul(1 << (failures - 1).min(16))
                .min(fresh.retry_ceiling);
            let wait = fresh.retry_after(failures);
            assert!(wait >= whole / 2 && wait <= whole, "{failures}: {wait:?}");
        }
    }
}
