//! Holds a response's body until it is whole, and takes it away where it tells a secret.

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_http_context(|_, _| Box::new(Redactor));
}}

struct Redactor;

impl Context for Redactor {}

impl HttpContext for Redactor {
    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        // The length may change, and headers cannot once they have gone.
        self.set_http_response_header("content-length", None);
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if !end_of_stream {
            return Action::Pause;
        }
        let body = self.get_http_response_body(0, size).unwrap_or_default();
        if body.windows(6).any(|six| six == b"secret") {
            let notice = format!("Original message body ({size} bytes) redacted.\n");
            self.set_http_response_body(0, size, notice.as_bytes());
        }
        Action::Continue
    }
}
