//! Two parts of one filter: with the configuration `listen`, it counts what it finds in a shared queue;
//! otherwise it puts the path of each request there.

use log::info;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|_| Box::new(Plugin { counter: 0 }));
}}

struct Plugin {
    counter: u32,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _: usize) -> bool {
        if self.get_plugin_configuration().as_deref() == Some(b"listen") {
            self.register_shared_queue("audit");
        }
        self.counter = hostcalls::define_metric(MetricType::Counter, "audited").unwrap_or_default();
        true
    }

    fn on_queue_ready(&mut self, queue: u32) {
        while let Ok(Some(path)) = self.dequeue_shared_queue(queue) {
            info!("audited {}", String::from_utf8_lossy(&path));
            let _ = hostcalls::increment_metric(self.counter, 1);
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Exchange))
    }
}

struct Exchange;

impl Context for Exchange {}

impl HttpContext for Exchange {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let path = self.get_http_request_header(":path").unwrap_or_default();
        match self.resolve_shared_queue("auditor", "audit") {
            Some(queue) if self.enqueue_shared_queue(queue, Some(path.as_bytes())).is_ok() => {
                Action::Continue
            }
            _ => {
                self.send_http_response(503, vec![], Some(b"nobody audits"));
                Action::Pause
            }
        }
    }
}
