//! Resources as operators write them.

use policy_model::{compile::compile, spec::parse};

/// Reads resources, and compiles them where they can be read.
///
/// # Panics
/// Where a mistake is told without a word.
pub fn yaml(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match parse("fuzzed.yaml", text) {
        Ok(resources) => match compile(&resources) {
            Ok(_) => true,
            Err(diagnostics) => {
                assert!(!diagnostics.0.is_empty(), "refused without a diagnostic");
                assert!(!diagnostics.to_string().is_empty(), "a diagnostic without a word");
                false
            }
        },
        Err(diagnostics) => {
            assert!(!diagnostics.is_empty(), "refused without a diagnostic");
            false
        }
    }
}
