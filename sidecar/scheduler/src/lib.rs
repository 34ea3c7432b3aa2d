//! What runs where and stays how long: loaded models under budgets of bytes, and requests on a
//! fixed number of threads, fairly among tenants.
//!
//! Two values decide, and know no clock, thread or file: [`residency::Residency`] says which models
//! stay, and [`queue::Queue`] which request runs next and with which others. Around them are two
//! shells: the [`ModelCache`] loads models, each once for all who wait for it, and the [`Executor`]
//! runs requests on threads.
//!
//! This crate does not know how a model is loaded or what a request says: both come to it as closures
//! and tensors. It decides nothing about who may use which model; a [`ModelKey`] is made by whoever
//! has decided. Start with [`Executor::run`] and [`ModelCache::get_or_load`].

mod alike;
mod cache;
mod cold;
mod device;
mod execution;
mod executor;
mod joins;
mod key;
mod loaded;
mod processor;
pub mod queue;
mod reclaim;
pub mod residency;

pub use cache::{CacheError, CacheStats, ModelCache, OwnerStats, Presence};
pub use cold::COLD_MODELS;
pub use device::{DeviceCache, DeviceStats};
pub use execution::{Execution, Kind, execute};
pub use executor::{ExecuteError, Executed, Executor, Threads};
pub use joins::Joins;
pub use key::{ModelKey, Owner};
pub use loaded::Loaded;
pub use processor::{join_batch_plane, keep_on};
