//! Asks two services at once before a request passes, and puts their answers into its headers; one that
//! fails is answered for the whole request.

use std::collections::BTreeMap;
use std::time::Duration;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_http_context(|_, _| Box::new(Gatherer { waiting: BTreeMap::new() }));
}}

/// The services, and the headers that their answers go into.
const SERVICES: [(&str, &str); 2] = [("profile", "x-profile"), ("quota", "x-quota")];

struct Gatherer {
    /// Calls without an answer yet, and the header that each is for.
    waiting: BTreeMap<u32, &'static str>,
}

impl HttpContext for Gatherer {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        for (service, header) in SERVICES {
            let headers = vec![(":method", "GET"), (":path", "/"), (":authority", service)];
            let timeout = Duration::from_millis(250);
            match self.dispatch_http_call(service, headers, None, vec![], timeout) {
                Ok(call) => {
                    self.waiting.insert(call, header);
                }
                Err(_) => {
                    self.send_http_response(500, vec![], Some(b"cannot ask"));
                    return Action::Pause;
                }
            }
        }
        Action::Pause
    }
}

impl Context for Gatherer {
    fn on_http_call_response(&mut self, call: u32, headers: usize, size: usize, _: usize) {
        let Some(header) = self.waiting.remove(&call) else {
            return;
        };
        let status = (headers > 0).then(|| self.get_http_call_response_header(":status")).flatten();
        if status.as_deref() != Some("200") {
            let status = status.unwrap_or_else(|| "none".to_owned());
            self.send_http_response(502, vec![("x-failed", header), ("x-status", &status)], None);
            return;
        }
        let answer = self.get_http_call_response_body(0, size).unwrap_or_default();
        self.set_http_request_header_bytes(header, Some(&answer));
        if self.waiting.is_empty() {
            self.resume_http_request();
        }
    }
}
