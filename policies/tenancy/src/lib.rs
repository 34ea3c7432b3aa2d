//! The words of multi-tenancy: who a tenant is, which tier isolates it, where it is served,
//! which header carries what, and what a denial says.
//!
//! Every other crate speaks in these types. This one does no I/O, holds no clock and knows
//! neither Envoy nor YAML. Start with [`TenantId`], then [`problem::Problem`].

mod digest;
pub mod headers;
mod name;
pub mod problem;
mod tier;

pub use digest::{Digest, DigestError};
pub use name::{DataPlaneId, ModelName, NameError, TenantId, Version};
pub use tier::{Tier, UnknownTier};
