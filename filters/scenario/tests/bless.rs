//! What is refreshed, and what is left as it is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use scenario::{
    Deployment, Native, Observed, Scenario, Verification,
    bless::{Blessed, Refusal, bless},
    play,
};

/// `text` as it is refreshed from the native run, which stands for both.
fn refreshed(text: &str) -> Result<Option<Blessed>, Refusal> {
    let (deployment, scenario, played) = played(text);
    bless(&deployment, &scenario, &played, Some(&played)).unwrap()
}

fn played(text: &str) -> (Deployment, Scenario, scenario::Played) {
    let deployment = Deployment::shipped().unwrap();
    let scenario = Scenario::parse(Path::new("s/a.yaml"), text).unwrap();
    let played = play(&deployment, &scenario, &mut Native::new(Verification::ByHost)).unwrap();
    (deployment, scenario, played)
}

#[test]
fn only_what_is_expected_of_a_broken_request_is_written_anew() {
    let before = "\
# Why this is here.
promise:   A token of Delta's goes   to Delta.   # Odd spaces stay.
why: >-
  Because
  of this.

requests:
  # The first is right, however it is laid out.
  - token: {issuer: ua}
    expect:
        forwarded: {data_plane: shared,   tenant: org_ua}
  # The second is not.
  - token: { issuer: dl }   # Delta
    repeat: 2
    expect: { denied: { status: 401, code: token_expired, with: [www-authenticate] } }

  # Nor is the third, which is spread out.
  - token: { issuer: ua }
    headers: [[x-customer, kept]]
    expect:
      forwarded:
        tenant: org_dl   # wrong
        tier: silo
        data_plane: silo-dl
        headers:
          x-customer: other
    path: /elsewhere
# The end.
";
    let after = "\
# Why this is here.
promise:   A token of Delta's goes   to Delta.   # Odd spaces stay.
why: >-
  Because
  of this.

requests:
  # The first is right, however it is laid out.
  - token: {issuer: ua}
    expect:
        forwarded: {data_plane: shared,   tenant: org_ua}
  # The second is not.
  - token: { issuer: dl }   # Delta
    repeat: 2
    expect: { forwarded: { tenant: org_dl, data_plane: silo-dl } }

  # Nor is the third, which is spread out.
  - token: { issuer: ua }
    headers: [[x-customer, kept]]
    expect:
      forwarded: { tenant: org_ua, tier: bridge, data_plane: shared, headers: { x-customer: kept } }
    path: /elsewhere
# The end.
";
    let blessed = refreshed(before).unwrap().unwrap();
    assert_eq!(blessed.after, after);
    let diff = blessed.diff();
    assert!(diff.starts_with("--- a/s/a.yaml\n+++ b/s/a.yaml\n@@ "), "{diff}");
    assert!(!diff.contains('\u{1b}'), "{diff}");
    // What was refreshed is kept, so there is nothing more to do.
    assert!(refreshed(&blessed.after).unwrap().is_none());
}

#[test]
fn a_kept_scenario_is_left_as_it_is() {
    let kept = "promise: A.\nrequests:\n  - expect: {denied: {status: 401, code: \
                missing_credentials}}\n";
    assert!(refreshed(kept).unwrap().is_none());
}

#[test]
fn a_limit_is_counted_again() {
    let before = "\
promise: A.
requests:
  - token: { issuer: group, org: org_burst }
    repeat: 9
    expect: { limited: { forwarded: 3, others: { status: 403, code: rate_limited } }, metered: 3 }
";
    let blessed = refreshed(before).unwrap().unwrap();
    let expected = "    expect: { limited: { forwarded: 5, others: { status: 429, code: \
                    rate_limited } }, metered: 5 }\n";
    assert!(blessed.after.ends_with(expected), "{}", blessed.after);
}

#[test]
fn an_expect_that_shares_its_line_is_left_to_its_author() {
    let before = "promise: A.\nrequests:\n  - { token: { issuer: ua }, expect: { denied: { status: \
                  401, code: x } } }\n";
    assert!(matches!(refreshed(before), Err(Refusal::Inline { line: 3 })));
}

#[test]
fn nothing_is_refreshed_where_the_two_ways_differ() {
    let text = "promise: A.\nrequests:\n  - expect: { denied: { status: 403, code: x } }\n";
    let (deployment, scenario, native) = played(text);
    let mut wasm = native.clone();
    if let Some(Observed::Denied { status, .. }) = wasm.steps[0].observed.get_mut(0) {
        *status = 403;
    }
    let refused = bless(&deployment, &scenario, &native, Some(&wasm)).unwrap();
    assert!(matches!(refused, Err(Refusal::Differ { request: 1, .. })), "{refused:?}");
}
