//! `filter_core::Host` over Envoy.
//!
//! Where Envoy fails a call that cannot fail, the filter aborts; Envoy then fails the VM and, as
//! the filters are configured to fail closed, refuses the request.

use std::{cell::RefCell, collections::HashMap, process::abort};

use filter_core::{CasMismatch, Headers, Host, Level, Note, foreign};

use crate::calls::{self, Status};

thread_local! {
    /// Numbers of the counters that were defined, so that each is defined once.
    static COUNTERS: RefCell<HashMap<String, u32>> = RefCell::default();
}

/// The request at hand, in Envoy.
#[derive(Debug, Clone, Copy)]
pub struct Envoy;

impl Host for Envoy {
    fn request_headers(&self) -> Headers {
        let map = calls::request_headers().ok().map(Option::unwrap_or_default);
        // Without them nothing could be kept from travelling on.
        map.and_then(Headers::from_map).unwrap_or_else(|| abort())
    }

    fn change_request_headers(&self, remove: &[&str], set: &[(&str, &[u8])]) {
        let removed = remove.iter().all(|name| calls::remove_request_header(name).is_ok());
        let mut set = set.iter();
        let changed =
            removed && set.all(|(name, value)| calls::set_request_header(name, value).is_ok());
        if !changed {
            // To return would send the client's own headers on.
            abort();
        }
    }

    fn reply(&self, status: u16, headers: Vec<(&str, &str)>, body: &str) {
        let headers = headers.into_iter().map(|(n, v)| (n.to_owned(), v.as_bytes().to_vec()));
        let headers: Headers = headers.collect();
        // Where it fails the request is not resumed either, so it is not passed on.
        let _ = calls::reply(status, headers.as_map(), body);
    }

    fn now(&self) -> u64 {
        // Without the time nothing could be said to have expired.
        calls::now().unwrap_or_else(|_| abort())
    }

    fn shared_data(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        calls::shared_data(key).ok()
    }

    fn set_shared_data(&self, key: &str, value: &[u8], version: u32) -> Result<(), CasMismatch> {
        calls::set_shared_data(key, value, version).map_err(|_| CasMismatch)
    }

    fn verify_signature(
        &self,
        hash: &str,
        spki_der: &[u8],
        signature: &[u8],
        message: &[u8],
    ) -> Option<bool> {
        let arguments = foreign::arguments(hash, spki_der, signature, message);
        match calls::call_foreign_function(foreign::NAME, &arguments) {
            Ok(answer) => Some(foreign::result(&answer)),
            Err(Status::NOT_FOUND) => None,
            Err(_) => Some(false),
        }
    }

    fn random_seed(&self) -> Option<[u8; 32]> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).is_ok().then_some(seed)
    }

    fn log(&self, level: Level, message: &str) {
        // `proxy_log_level_t`.
        let level = match level {
            Level::Info => 2,
            Level::Warn => 3,
            Level::Error => 4,
        };
        calls::log(level, message);
    }

    fn note(&self, note: Note, value: &str) {
        calls::set_property(note.name(), value);
    }

    fn increment(&self, metric: &str) {
        let known = COUNTERS.with_borrow(|counters| counters.get(metric).copied());
        let counter = known.or_else(|| {
            let counter = calls::counter(metric).ok()?;
            COUNTERS.with_borrow_mut(|counters| counters.insert(metric.to_owned(), counter));
            Some(counter)
        });
        let _ = counter.map(calls::increment);
    }
}
