//! What Envoy calls.
//!
//! Envoy calls every function of the ABI that is exported, so only those are here that a filter has
//! a use for. The end of a stream is not one of them: nothing is kept for a stream.

use std::{
    cell::{OnceCell, RefCell},
    rc::Rc,
};

use filter_core::{ConfigureError, Host as _, Level, Verdict, refuse_without_policy};

use crate::{calls, contexts::Contexts, envoy::Envoy};

/// What Envoy is answered: go on, or wait for the answer that was given (`proxy_action_t`).
const CONTINUE: u32 = 0;
const PAUSE: u32 = 1;

/// A filter, of which there is one in a VM.
pub trait Filter {
    /// Its name in denials.
    fn name(&self) -> &'static str;

    /// What decides by the pushed configuration in `bytes`.
    ///
    /// # Errors
    /// [`ConfigureError`] where it is none. Envoy then refuses the push, and what was in force
    /// stays.
    fn configure(&self, bytes: &[u8]) -> Result<Rc<dyn Policy>, ConfigureError>;
}

/// A configuration at work.
pub trait Policy {
    /// Decides on the request at hand, and answers it where it is denied.
    fn on_request_headers(&self, host: &Envoy) -> Verdict;
}

thread_local! {
    /// A VM has one thread. What is here survives every push of a new configuration.
    static FILTER: OnceCell<Box<dyn Filter>> = const { OnceCell::new() };
    static CONTEXTS: RefCell<Contexts<dyn Policy>> = RefCell::default();
}

/// Makes `filter` the one of this VM. To be called once, from `_initialize`, which Envoy calls
/// before all else.
pub fn start(filter: impl Filter + 'static) {
    calls::construct();
    FILTER.with(|place| {
        let _ = place.set(Box::new(filter));
    });
}

#[allow(unsafe_code, reason = "the names by which Envoy looks them up")]
mod named {
    #[unsafe(no_mangle)]
    extern "C" fn proxy_abi_version_0_2_1() {}

    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
        super::calls::allocate(size)
    }

    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
        super::CONTEXTS.with_borrow_mut(|contexts| contexts.open(context, parent));
    }

    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_configure(root: u32, _size: usize) -> u32 {
        super::configure(root).into()
    }

    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_request_headers(stream: u32, _count: usize, _end: u32) -> u32 {
        match super::decide(stream) {
            super::Verdict::Forward => super::CONTINUE,
            super::Verdict::Denied(_) => super::PAUSE,
        }
    }
}

/// Whether the configuration that Envoy has for `root` is in force now.
fn configure(root: u32) -> bool {
    // Before the new one is read: a VM's memory never shrinks.
    CONTEXTS.with_borrow_mut(|contexts| contexts.keep(|other| calls::is_alive(other, root)));
    let bytes = calls::configuration().unwrap_or_default();
    let configured = FILTER.with(|filter| Some(filter.get()?.configure(&bytes)));
    match configured {
        Some(Ok(policy)) => {
            CONTEXTS.with_borrow_mut(|contexts| contexts.put(root, policy));
            true
        }
        Some(Err(error)) => {
            Envoy.log(Level::Error, &error.to_string());
            false
        }
        None => false,
    }
}

fn decide(stream: u32) -> Verdict {
    match CONTEXTS.with_borrow(|contexts| contexts.policy_of(stream)) {
        Some(policy) => policy.on_request_headers(&Envoy),
        None => {
            let name = FILTER.with(|filter| filter.get().map_or("filter", |filter| filter.name()));
            refuse_without_policy(&Envoy, name)
        }
    }
}
