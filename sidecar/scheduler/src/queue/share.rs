//! What a tenant is given of a node's processors.

use std::time::Duration;

/// How soon a tenant's requests are taken, beside how much it gets.
///
/// A priority lets a tenant go ahead of others by a bounded amount of work and gives it nothing in
/// the long run, so that no priority starves another: what is taken early is missing later. This is
/// the *warp* of Duda and Cheriton, *Borrowed-virtual-time scheduling* (SOSP 1999).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// After the others, where all have had their share.
    Low,
    /// As most.
    #[default]
    Normal,
    /// Ahead of the others, where all have had their share.
    High,
}

impl Priority {
    /// Every priority, the lowest first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Normal, Self::High];

    /// By how much execution time, at weight 1, a tenant may go ahead of one of low priority.
    pub const fn warp(self) -> Duration {
        match self {
            Self::Low => Duration::ZERO,
            Self::Normal => Duration::from_millis(20),
            Self::High => Duration::from_millis(60),
        }
    }
}

/// What a tenant is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Its part of the execution time beside the weights of the others. 0 counts as 1.
    pub weight: u32,
    /// How soon its requests are taken.
    pub priority: Priority,
    /// How many of its executions run at once; a batch is one, whoever else is in it. 0 counts
    /// as 1.
    pub concurrency: u32,
    /// How many of its requests wait; more are refused.
    pub waiting: u32,
}

impl Default for Share {
    fn default() -> Self {
        Self { weight: 1, priority: Priority::Normal, concurrency: 8, waiting: 64 }
    }
}

impl Share {
    pub(super) fn weight(self) -> u128 {
        u128::from(self.weight.max(1))
    }
}
