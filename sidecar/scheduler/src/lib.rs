//! What runs where and stays how long: loaded models under a budget of bytes, and requests on a
//! fixed number of threads.
//!
//! The [`ModelCache`] keeps models loaded, the least recently used out first. The [`WorkerPool`]
//! runs inference on as many threads as the node has cores and refuses what it cannot queue; its
//! queue is first come, first served, and knows nothing of tenants.
//!
//! This crate does not know how a model is loaded or what a request is: both come to it as
//! closures. It decides nothing about who may use which model; a [`ModelKey`] is made by whoever
//! has decided. Start with [`ModelCache::get_or_load`].

mod cache;
mod index;
mod key;
mod pool;

pub use cache::{CacheError, CacheStats, Loaded, ModelCache};
pub use key::{ModelKey, Owner};
pub use pool::{PoolError, WorkerPool};
