//! The recheck as Envoy runs it: `filter_core::Recheck` in the shell, and nothing else.
//!
//! Nothing is decided here. Start with [`filter_core::Recheck::on_request_headers`].

use std::rc::Rc;

use filter_core::{ConfigureError, Recheck, Verdict};
use shell::{Envoy, Filter, Policy};

#[allow(unsafe_code, reason = "the entry point that Envoy looks up by its name")]
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    shell::start(Node);
}

struct Node;

/// One pushed configuration.
struct Pushed(Recheck);

impl Filter for Node {
    fn name(&self) -> &'static str {
        "recheck"
    }

    fn configure(&self, bytes: &[u8]) -> Result<Rc<dyn Policy>, ConfigureError> {
        Ok(Rc::new(Pushed(Recheck::configure(bytes)?)))
    }
}

impl Policy for Pushed {
    fn on_request_headers(&self, host: &Envoy) -> Verdict {
        self.0.on_request_headers(host)
    }
}
