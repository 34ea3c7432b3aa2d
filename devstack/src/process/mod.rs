//! Processes: started with a log of their own, stopped by id, restarted where they are services.

mod child;
mod service;

pub use child::{Child, Launch};
pub use service::Service;
