//! A version that answers on while the one that replaces it gets warm.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::Assigned;

/// What was assigned before, until it is over. Copies are over together.
#[derive(Debug, Clone)]
pub(crate) struct StandIn {
    pub(super) assigned: Arc<Assigned>,
    over: Arc<AtomicBool>,
}

impl StandIn {
    pub(super) fn new(assigned: &Arc<Assigned>) -> Self {
        Self { assigned: Arc::clone(assigned), over: Arc::default() }
    }

    /// Whether the version that is assigned answers by now.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Lets the version that is assigned answer from now on.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }
}
