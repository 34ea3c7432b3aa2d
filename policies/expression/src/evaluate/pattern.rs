//! `matches()`: patterns that were checked when the expression was compiled.
//!
//! A pattern is compiled again where it is first matched, and kept by the thread: a filter is one
//! thread of a virtual machine that outlives its tables.

use std::cell::RefCell;
use std::collections::BTreeMap;

use regex_lite::{Regex, RegexBuilder};
use rkyv::rend::u32_le;

use super::{Evaluated, Evaluator, malformed, wrong_type};
use crate::Value;

/// The longest pattern, in bytes.
pub(crate) const MAX_PATTERN_BYTES: usize = 256;

/// How large a compiled pattern may be, in bytes. What a pattern costs goes by the least of these
/// that has room for it.
const LIMITS: [u32; 5] = [1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14];

/// How many patterns a thread keeps.
const MAX_KEPT: usize = 256;

thread_local! {
    static KEPT: RefCell<BTreeMap<String, Regex>> = const { RefCell::new(BTreeMap::new()) };
}

impl<'a> Evaluator<'a, '_> {
    pub(super) fn matches(
        &mut self,
        text: u32_le,
        pattern: u32_le,
        limit: u32,
        at: u32,
    ) -> Evaluated<Value<'a>> {
        let pattern = self.constant_text(pattern)?;
        if pattern.len() > MAX_PATTERN_BYTES || !LIMITS.contains(&limit) {
            return Err(malformed("a pattern is too large"));
        }
        let text = match self.visit(text.to_native(), at)? {
            Value::String(text) => text,
            other => return Err(wrong_type("matches()", "a string", &other)),
        };
        self.budget.charge(building_units(limit))?;
        self.budget.charge(matching_units(limit).saturating_mul(text.len() as u64))?;
        is_match(pattern, limit, &text).map(Value::Bool)
    }
}

fn is_match(pattern: &str, limit: u32, text: &str) -> Evaluated<bool> {
    KEPT.with(|kept| {
        let Ok(mut kept) = kept.try_borrow_mut() else {
            return Err(malformed("patterns are in use"));
        };
        if let Some(regex) = kept.get(pattern) {
            return Ok(regex.is_match(text));
        }
        let regex = build(pattern, limit).map_err(|_| malformed("a pattern is not valid"))?;
        let matched = regex.is_match(text);
        if kept.len() == MAX_KEPT {
            kept.clear();
        }
        kept.insert(pattern.to_owned(), regex);
        Ok(matched)
    })
}

/// What a pattern that compiles within `limit` bytes costs, beside what its text does.
pub(crate) fn building_units(limit: u32) -> u64 {
    u64::from(limit / 8)
}

/// What such a pattern costs for each byte of text: a pass over all of its states.
pub(crate) fn matching_units(limit: u32) -> u64 {
    u64::from(limit / 128)
}

fn build(pattern: &str, limit: u32) -> Result<Regex, regex_lite::Error> {
    const MAX_NESTING: u32 = 24;
    RegexBuilder::new(pattern).size_limit(limit as usize).nest_limit(MAX_NESTING).build()
}

/// The least limit that `pattern` compiles within.
///
/// # Errors
/// What is wrong with it.
#[cfg(feature = "compile")]
pub(crate) fn pattern_limit(pattern: &str) -> Result<u32, String> {
    if let Some(limit) = LIMITS.into_iter().find(|limit| build(pattern, *limit).is_ok()) {
        return Ok(limit);
    }
    const ROOM_FOR_ANY: u32 = 1 << 20;
    let fault = build(pattern, ROOM_FOR_ANY).err().map(|error| error.to_string());
    let fault = fault.filter(|fault| !fault.contains("size limit"));
    Err(fault.unwrap_or_else(|| "this one is too large when compiled; repeat less".to_owned()))
}
