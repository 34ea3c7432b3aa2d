//! Logs every header both ways, and answers `/hello` itself.

use log::info;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|_| Box::new(Plugin));
}}

struct Plugin;

impl Context for Plugin {}

impl RootContext for Plugin {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Exchange { id }))
    }
}

struct Exchange {
    id: u32,
}

impl Exchange {
    fn tell(&self, arrow: &str, headers: Vec<(String, String)>) {
        for (name, value) in headers {
            info!("#{} {arrow} {name}: {value}", self.id);
        }
    }
}

impl Context for Exchange {}

impl HttpContext for Exchange {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.tell("->", self.get_http_request_headers());
        if self.get_http_request_header(":path").as_deref() != Some("/hello") {
            return Action::Continue;
        }
        let headers = vec![("Hello", "World"), ("Powered-By", "proxy-wasm")];
        self.send_http_response(200, headers, Some(b"Hello, World!\n"));
        Action::Pause
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.tell("<-", self.get_http_response_headers());
        Action::Continue
    }

    fn on_log(&mut self) {
        info!("#{} completed.", self.id);
    }
}
