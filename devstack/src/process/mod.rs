//! Processes: started with a log of their own, stopped by id, restarted where they are services, and
//! ended by the kernel where nobody is left who would stop them.

mod child;
mod keeper;
mod service;

pub use child::{Child, Launch};
pub use service::Service;
