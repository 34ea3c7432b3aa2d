//! The recheck as Envoy runs it: `filter_core::Recheck` over proxy-wasm, and nothing else.
//!
//! Nothing is decided here. Start with [`filter_core::Recheck::on_request_headers`].

// Both filters speak to Envoy in one way; a crate between them would hold this file alone.
#[path = "../../gate/src/host.rs"]
mod host;

use std::{cell::RefCell, rc::Rc};

use filter_core::{Host as _, Level, Recheck, Verdict};
use proxy_wasm::{
    hostcalls,
    traits::{Context, HttpContext, RootContext},
    types::{Action, BufferType, ContextType},
};

use host::Envoy;

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
    recheck: RefCell<Option<Rc<Recheck>>>,
}

impl Context for Root {}

impl RootContext for Root {
    /// Where this is false, Envoy refuses the push and the last good configuration stays.
    fn on_configure(&mut self, _size: usize) -> bool {
        let bytes = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, usize::MAX);
        match Recheck::configure(&bytes.ok().flatten().unwrap_or_default()) {
            Ok(recheck) => {
                self.recheck.replace(Some(Rc::new(recheck)));
                true
            }
            Err(error) => {
                Envoy.log(Level::Error, &error.to_string());
                false
            }
        }
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { recheck: self.recheck.borrow().clone() }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// One request.
struct Stream {
    recheck: Option<Rc<Recheck>>,
}

impl Context for Stream {}

/// An event that is implemented here is named in `xtask/src/wasm.rs` too, or Envoy never tells it.
impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let verdict = match &self.recheck {
            Some(recheck) => recheck.on_request_headers(&Envoy),
            None => filter_core::refuse_without_policy(&Envoy, "recheck"),
        };
        match verdict {
            Verdict::Forward => Action::Continue,
            Verdict::Denied(_) => Action::Pause,
        }
    }
}
