//! The gate as Envoy runs it: `filter_core::Gate` over proxy-wasm, and nothing else.
//!
//! Nothing is decided here. Start with [`filter_core::Gate::on_request_headers`].

mod host;

use std::{cell::RefCell, rc::Rc};

use filter_core::{Gate, Host as _, Level, Verdict, Vm};
use proxy_wasm::{
    hostcalls,
    traits::{Context, HttpContext, RootContext},
    types::{Action, BufferType, ContextType},
};

use host::Envoy;

/// The seal key's name in the VM's environment.
const SEAL_KEY: &str = "BULKHEAD_SEAL_KEY";

thread_local! {
    /// A VM has one thread. What is here survives every push of a new configuration.
    static VM: Rc<Vm> = Rc::default();
}

#[allow(unsafe_code, reason = "the entry point that Envoy looks up by its name")]
mod entry {
    proxy_wasm::main! {{
        proxy_wasm::set_root_context(|_| Box::new(super::Root::default()));
    }}
}

/// One pushed configuration. A new one is a new root context beside the old one, whose requests
/// finish under the old.
#[derive(Default)]
struct Root {
    gate: RefCell<Option<Rc<Gate>>>,
}

impl Context for Root {}

impl RootContext for Root {
    /// Where this is false, Envoy refuses the push and the last good configuration stays.
    fn on_configure(&mut self, _size: usize) -> bool {
        let bytes = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, usize::MAX);
        let bytes = bytes.ok().flatten().unwrap_or_default();
        let seal_key = std::env::var(SEAL_KEY).ok();
        let configured = VM.with(|vm| Gate::configure(vm, &Envoy, &bytes, seal_key.as_deref()));
        match configured {
            Ok(gate) => {
                self.gate.replace(Some(Rc::new(gate)));
                true
            }
            Err(error) => {
                Envoy.log(Level::Error, &error.to_string());
                false
            }
        }
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { gate: self.gate.borrow().clone() }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// One request.
struct Stream {
    gate: Option<Rc<Gate>>,
}

impl Context for Stream {}

/// An event that is implemented here is named in `xtask/src/wasm.rs` too, or Envoy never tells it.
impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let verdict = match &self.gate {
            Some(gate) => gate.on_request_headers(&Envoy),
            None => filter_core::refuse_without_policy(&Envoy, "gate"),
        };
        match verdict {
            Verdict::Forward => Action::Continue,
            Verdict::Denied(_) => Action::Pause,
        }
    }
}
