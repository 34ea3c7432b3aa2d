//! Panics that stay where they happen.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

const LONGEST_DETAIL_CHARS: usize = 500;

/// Runs `work` and turns a panic into its message.
///
/// tract indexes, unwraps and leaves `unimplemented!()` in places that a graph can reach, and the
/// process serves many tenants: a panic has to cost the one request that caused it. What the
/// closure touched must not be used after a panic; callers hand in what they own, or plans that
/// keep no state between runs.
pub(super) fn confined<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    shortened(text)
}

/// The start of a message: tract prints whole tensors into some of its errors.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_DETAIL_CHARS).collect()
}
