//! How many bytes of a device are taken.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use inference::DeviceError;

/// Bytes that may be taken, and that are.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    used: AtomicU64,
}

/// Bytes that are taken for as long as this is there.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    pub(crate) const fn new(limit: u64) -> Self {
        Self { limit, used: AtomicU64::new(0) }
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes`, all or none.
    pub(crate) fn take(budget: &Arc<Self>, bytes: u64) -> Result<Charge, DeviceError> {
        let more = |used: u64| used.checked_add(bytes).filter(|used| *used <= budget.limit);
        match budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Charge { budget: Arc::clone(budget), bytes }),
            Err(used) => {
                let detail = format!("{used} of a budget of {} are taken", budget.limit);
                Err(DeviceError::OutOfMemory { bytes, detail })
            }
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_more() {
        let budget = Arc::new(Budget::new(100));
        let most = Budget::take(&budget, 80).unwrap();
        assert!(matches!(
            Budget::take(&budget, 21),
            Err(DeviceError::OutOfMemory { bytes: 21, .. })
        ));
        assert!(Budget::take(&budget, u64::MAX).is_err());
        drop(most);
        assert_eq!(budget.used(), 0);
        Budget::take(&budget, 100).unwrap();
    }
}
