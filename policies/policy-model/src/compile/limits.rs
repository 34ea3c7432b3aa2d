//! Rate limits and labels, which several kinds have.

use super::report::{Report, Subject};
use crate::{
    resolved::RateLimit,
    spec::{Metadata, RateLimitSpec},
    variables::{MAX_LABEL_NAME_BYTES, MAX_LABEL_VALUE_BYTES, MAX_LABELS},
};

pub(super) fn rate_limit(
    report: &mut Report,
    subject: &Subject<'_>,
    spec: RateLimitSpec,
) -> RateLimit {
    if spec.requests == 0 || spec.per_seconds == 0 || spec.burst == 0 {
        report.error(
            subject,
            "spec.rateLimit",
            "expected requests, perSeconds and burst of at least 1 in rateLimit; to shut a tenant out, say `suspended: true`".to_owned(),
        );
    }
    let window_ns = u64::from(spec.per_seconds) * 1_000_000_000;
    let interval_ns = window_ns / u64::from(spec.requests.max(1));
    RateLimit { interval_ns: interval_ns.max(1), burst: spec.burst.max(1) }
}

/// Labels are in tables and in the bounds of what an expression costs, so they are bounded.
pub(super) fn check_labels(report: &mut Report, subject: &Subject<'_>, metadata: &Metadata) {
    let labels = &metadata.labels;
    if labels.len() > MAX_LABELS {
        let message = format!("expected at most {MAX_LABELS} labels, found {}", labels.len());
        report.error(subject, "metadata.labels", message);
    }
    for (name, value) in labels {
        let path = format!("metadata.labels.{name}");
        let long = name.is_empty()
            || name.len() > MAX_LABEL_NAME_BYTES
            || value.len() > MAX_LABEL_VALUE_BYTES;
        if long || name.chars().chain(value.chars()).any(char::is_control) {
            let found = name.escape_debug();
            report.error(subject, &path, format!("expected a label with a name of 1 to {MAX_LABEL_NAME_BYTES} bytes, a value of at most {MAX_LABEL_VALUE_BYTES} and no control characters, found `{found}`"));
        }
    }
}
