//! What models take.

use std::ops::{Add, AddAssign, SubAssign};

/// Bytes of each kind of memory that a model takes, or that there is for all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Mapped files: address space, and pages that the operating system may take back.
    pub mapped_bytes: u64,
    /// Memory of the process beside them.
    pub private_bytes: u64,
    /// Memory of a device.
    pub device_bytes: u64,
}

impl Footprint {
    /// All of it.
    pub const fn bytes(&self) -> u64 {
        self.mapped_bytes.saturating_add(self.private_bytes).saturating_add(self.device_bytes)
    }

    /// Whether it is at most `budget`, of each kind.
    pub const fn fits(&self, budget: &Self) -> bool {
        self.mapped_bytes <= budget.mapped_bytes
            && self.private_bytes <= budget.private_bytes
            && self.device_bytes <= budget.device_bytes
    }

    /// Whether without `part` it passes `budget` by less.
    pub(super) const fn passes_less_without(&self, part: &Self, budget: &Self) -> bool {
        (self.mapped_bytes > budget.mapped_bytes && part.mapped_bytes > 0)
            || (self.private_bytes > budget.private_bytes && part.private_bytes > 0)
            || (self.device_bytes > budget.device_bytes && part.device_bytes > 0)
    }
}

impl Add for Footprint {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            mapped_bytes: self.mapped_bytes.saturating_add(other.mapped_bytes),
            private_bytes: self.private_bytes.saturating_add(other.private_bytes),
            device_bytes: self.device_bytes.saturating_add(other.device_bytes),
        }
    }
}

impl AddAssign for Footprint {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Footprint {
    fn sub_assign(&mut self, other: Self) {
        self.mapped_bytes = self.mapped_bytes.saturating_sub(other.mapped_bytes);
        self.private_bytes = self.private_bytes.saturating_sub(other.private_bytes);
        self.device_bytes = self.device_bytes.saturating_sub(other.device_bytes);
    }
}
