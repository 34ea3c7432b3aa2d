//! What a filter is to Envoy: the functions that Envoy calls, and those of Envoy that a filter
//! calls (proxy-wasm ABI 0.2.1), with a [`Filter`] between them.
//!
//! It decides nothing, and knows neither gate nor recheck. It stands in for the SDK's dispatcher,
//! because what a filter exports Envoy calls, at each request, and every such call costs more than
//! what is decided in it: here a request is two calls, and one for memory. Start with `exports.rs`.

mod contexts;
// What touches Envoy links nowhere else; the tests are of what does not.
#[cfg(not(test))]
mod calls;
#[cfg(not(test))]
mod envoy;
#[cfg(not(test))]
mod exports;

#[cfg(not(test))]
pub use {
    envoy::Envoy,
    exports::{Filter, Policy, start},
};
