//! What isolation means, as declared and as compiled.
//!
//! Three stages: resources as written ([`spec`], YAML in the shape that platform teams know),
//! [`compile`] which reports every mistake at once, and the [`resolved`] set in which no
//! impossible state can be written. From the resolved set come the two compiled forms: the
//! [`table`]s that the filters read in place, and the [`assignment`]s that sidecars get.
//!
//! The crate does no I/O: it is given text and gives bytes, natively and in WebAssembly alike.
//! Start with [`spec::parse`], then [`compile::compile`], then [`table::GateTable`].

#[cfg(feature = "spec")]
pub mod assignment;
#[cfg(feature = "spec")]
pub mod compile;
#[cfg(feature = "spec")]
pub mod diagnostic;
#[cfg(feature = "spec")]
pub mod resolved;
#[cfg(feature = "spec")]
pub mod schema;
#[cfg(feature = "spec")]
pub mod spec;
pub mod table;
#[cfg(feature = "spec")]
pub mod variables;
