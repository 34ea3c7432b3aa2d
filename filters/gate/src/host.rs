//! `filter_core::Host` over proxy-wasm. The recheck includes this file too.
//!
//! Only those host calls of the SDK are used that take bytes: the others panic on a header that
//! is not UTF-8. One host call is made without the SDK, which would take the headers apart. Where the host fails a call that cannot fail, the SDK panics; Envoy then fails
//! the VM and, as the filters are configured to fail closed, refuses the request.

use std::{
    cell::RefCell,
    collections::HashMap,
    time::{Duration, UNIX_EPOCH},
};

use filter_core::{CasMismatch, Headers, Host, Level, Note, foreign};
use proxy_wasm::{
    hostcalls,
    types::{LogLevel, MapType, MetricType, Status},
};

thread_local! {
    /// Ids of the counters that were defined, so that each is defined once.
    static COUNTERS: RefCell<HashMap<String, u32>> = RefCell::default();
}

/// The request at hand, in Envoy.
pub(crate) struct Envoy;

impl Host for Envoy {
    fn request_headers(&self) -> Headers {
        let headers = map::get(MapType::HttpRequestHeaders).and_then(Headers::from_map);
        // Without them nothing could be kept from travelling on.
        headers.unwrap_or_else(|| std::process::abort())
    }

    fn change_request_headers(&self, remove: &[&str], set: &[(&str, &[u8])]) {
        let map = MapType::HttpRequestHeaders;
        let removed = remove.iter().all(|name| hostcalls::remove_map_value(map, name).is_ok());
        let mut values = set.iter();
        let changed = removed
            && values.all(|(name, value)| {
                hostcalls::set_map_value_bytes(map, name, Some(value)).is_ok()
            });
        if !changed {
            // To return would send the client's own headers on.
            std::process::abort();
        }
    }

    fn reply(&self, status: u16, headers: Vec<(&str, &str)>, body: &str) {
        // Where it fails the request is not resumed either, so it is not passed on.
        let _ = hostcalls::send_http_response(status.into(), headers, Some(body.as_bytes()));
    }

    fn now(&self) -> u64 {
        // Without the time nothing could be said to have expired.
        let now = hostcalls::get_current_time().unwrap_or_else(|_| std::process::abort());
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
    }

    fn shared_data(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        match hostcalls::get_shared_data(key) {
            Ok((Some(value), version)) => Some((value, version.unwrap_or(0))),
            _ => None,
        }
    }

    fn set_shared_data(&self, key: &str, value: &[u8], version: u32) -> Result<(), CasMismatch> {
        hostcalls::set_shared_data(key, Some(value), Some(version)).map_err(|_| CasMismatch)
    }

    fn verify_signature(
        &self,
        hash: &str,
        spki_der: &[u8],
        signature: &[u8],
        message: &[u8],
    ) -> Option<bool> {
        let arguments = foreign::arguments(hash, spki_der, signature, message);
        match hostcalls::call_foreign_function(foreign::NAME, Some(&arguments)) {
            Ok(answer) => Some(foreign::result(&answer.unwrap_or_default())),
            Err(Status::NotFound) => None,
            Err(_) => Some(false),
        }
    }

    fn random_seed(&self) -> Option<[u8; 32]> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).is_ok().then_some(seed)
    }

    fn log(&self, level: Level, message: &str) {
        let level = match level {
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        let _ = hostcalls::log(level, message);
    }

    fn note(&self, note: Note, value: &str) {
        let _ = hostcalls::set_property(vec![note.name()], Some(value.as_bytes()));
    }

    fn increment(&self, metric: &str) {
        let known = COUNTERS.with_borrow(|counters| counters.get(metric).copied());
        let counter = known.or_else(|| {
            let counter = hostcalls::define_metric(MetricType::Counter, metric).ok()?;
            COUNTERS.with_borrow_mut(|counters| counters.insert(metric.to_owned(), counter));
            Some(counter)
        });
        let _ = counter.map(|counter| hostcalls::increment_metric(counter, 1));
    }
}

#[allow(unsafe_code, reason = "a call of the host, which hands over memory")]
mod map {
    use proxy_wasm::types::MapType;

    /// The status of a call that went well; the others need not be told apart.
    const OK: u32 = 0;

    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        fn proxy_get_header_map_pairs(
            map_type: MapType,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
    }

    /// All pairs of a map, serialized (proxy-wasm ABI 0.2.1, `proxy_get_header_map_pairs`).
    pub(super) fn get(map_type: MapType) -> Option<Vec<u8>> {
        let (mut data, mut size) = (std::ptr::null_mut(), 0);
        // SAFETY: both are places that the host writes one value to. The SDK declares the call alike,
        // but for the status, of which it believes that the host knows no others.
        let status = unsafe { proxy_get_header_map_pairs(map_type, &raw mut data, &raw mut size) };
        if status != OK {
            return None;
        }
        if data.is_null() {
            return Some(Vec::new());
        }
        // SAFETY: the host upholds that `data` is what it was given by this module's
        // `proxy_on_memory_allocate(size)`, whose memory is a boxed slice of `size` bytes of the
        // global allocator; all of them were written, and nobody else frees them.
        Some(unsafe { Vec::from_raw_parts(data, size, size) })
    }
}
