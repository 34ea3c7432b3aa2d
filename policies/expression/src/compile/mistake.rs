//! What is wrong with a source, and where.

use std::fmt;

use super::typed::Span;

/// Something about a source that refuses it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where in the source it starts, in bytes.
    pub offset: usize,
    /// How many bytes of the source it is about.
    pub length: usize,
    /// What was expected, what was found, and what to do.
    pub message: String,
}

impl Mistake {
    pub(super) fn new(span: Span, message: impl Into<String>) -> Self {
        let length = span.end.saturating_sub(span.start);
        Self { offset: span.start, length, message: message.into() }
    }
}

/// `; did you mean ...?` where one of `known` is close to `found`, else those that there are.
pub(super) fn did_you_mean<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    const CLOSE_ENOUGH: f64 = 0.8;
    const FEW: usize = 12;
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    let closest = known
        .iter()
        .map(|name| (strsim::jaro_winkler(found, name), *name))
        .filter(|(likeness, _)| *likeness >= CLOSE_ENOUGH)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match closest {
        Some((_, name)) => format!("; did you mean `{name}`?"),
        None if known.is_empty() || known.len() > FEW => String::new(),
        None => format!("; there is: {}", known.join(", ")),
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.message)
    }
}

impl std::error::Error for Mistake {}
