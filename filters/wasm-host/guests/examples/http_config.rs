//! Adds a response header whose value is the plugin's configuration.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|_| Box::new(Plugin { value: String::new() }));
}}

struct Plugin {
    value: String,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _: usize) -> bool {
        let Ok(value) = String::from_utf8(self.get_plugin_configuration().unwrap_or_default())
        else {
            return false;
        };
        self.value = value;
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Exchange { value: self.value.clone() }))
    }
}

struct Exchange {
    value: String,
}

impl Context for Exchange {}

impl HttpContext for Exchange {
    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.add_http_response_header("custom-header", &self.value);
        Action::Continue
    }
}
