//! Asks an HTTP service for one random byte for each request: even passes, odd is refused.

use std::time::Duration;

use log::info;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_http_context(|_, _| Box::new(CoinToss));
}}

struct CoinToss;

impl HttpContext for CoinToss {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let headers =
            vec![(":method", "GET"), (":path", "/bytes/1"), (":authority", "httpbin.org")];
        match self.dispatch_http_call("httpbin", headers, None, vec![], Duration::from_secs(1)) {
            Ok(_) => {}
            Err(status) => {
                info!("cannot ask: {status:?}");
                self.send_http_response(503, vec![], None);
            }
        }
        Action::Pause
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.set_http_response_header("Powered-By", Some("proxy-wasm"));
        Action::Continue
    }
}

impl Context for CoinToss {
    fn on_http_call_response(&mut self, _: u32, _: usize, body_size: usize, _: usize) {
        let byte =
            self.get_http_call_response_body(0, body_size).and_then(|it| it.first().copied());
        if byte.is_some_and(|byte| byte & 1 == 0) {
            info!("Access granted.");
            self.resume_http_request();
        } else {
            info!("Access forbidden.");
            let headers = vec![("Powered-By", "proxy-wasm")];
            self.send_http_response(403, headers, Some(b"Access forbidden.\n"));
        }
    }
}
