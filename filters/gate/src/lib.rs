//! The gate as Envoy runs it: `filter_core::Gate` in the shell, and nothing else.
//!
//! Nothing is decided here. Start with [`filter_core::Gate::on_request_headers`].

use std::rc::Rc;

use filter_core::{ConfigureError, Gate, Verdict, Vm};
use shell::{Envoy, Filter, Policy};

/// The seal key's name in the VM's environment.
const SEAL_KEY: &str = "BULKHEAD_SEAL_KEY";

#[allow(unsafe_code, reason = "the entry point that Envoy looks up by its name")]
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    shell::start(Edge::default());
}

/// What outlives every pushed configuration.
#[derive(Default)]
struct Edge {
    vm: Rc<Vm>,
}

/// One pushed configuration.
struct Pushed(Gate);

impl Filter for Edge {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn configure(&self, bytes: &[u8]) -> Result<Rc<dyn Policy>, ConfigureError> {
        let seal_key = std::env::var(SEAL_KEY).ok();
        let gate = Gate::configure(&self.vm, &Envoy, bytes, seal_key.as_deref())?;
        Ok(Rc::new(Pushed(gate)))
    }
}

impl Policy for Pushed {
    fn on_request_headers(&self, host: &Envoy) -> Verdict {
        self.0.on_request_headers(host)
    }
}
