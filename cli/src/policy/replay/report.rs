//! What a replay found: counts by tenant and check, and a few examples of each. What it holds
//! grows with the policies and never with the recording.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    decision::{Decided, Difference},
    record::Record,
};
use crate::{exit::Compared, policy::sources::plural, table::Table};

/// How many bad lines are told one by one.
const BAD_LINES_TOLD: u64 = 10;

/// What a replay found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// How many records were decided on by both revisions.
    pub(super) replayed: u64,
    /// How many of them are decided differently.
    pub(super) changed: u64,
    /// How many records name no tenant: the gate denied them before it knew one.
    pub(super) without_tenant: u64,
    /// How many lines are of other listeners than the ingress's.
    pub(super) elsewhere: u64,
    /// How many lines are no record.
    pub(super) bad_lines: u64,
    #[serde(serialize_with = "as_list")]
    differences: BTreeMap<Difference, Group>,
    /// By check and tenant: what the candidate would deny in shadow mode and what runs would not.
    #[serde(serialize_with = "as_pairs")]
    shadows: BTreeMap<(String, String), u64>,
    /// By check: how many records do not hold what it reads.
    undecided: BTreeMap<String, u64>,
    #[serde(skip)]
    examples: usize,
}

/// The requests of a difference.
#[derive(Debug, Default, Serialize)]
struct Group {
    requests: u64,
    examples: Vec<Example>,
}

/// A request, so that it can be found again.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Example {
    line: u64,
    time: String,
    method: String,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

impl Report {
    /// One that keeps so many examples of each difference.
    pub(super) fn keeping(examples: usize) -> Self {
        Self { examples, ..Self::default() }
    }

    /// Counts a record on which both revisions decided.
    pub(super) fn add(
        &mut self,
        line: u64,
        tenant: &str,
        record: &Record,
        now: &Decided,
        then: &Decided,
    ) {
        self.replayed += 1;
        for check in then.shadows.difference(&now.shadows) {
            *self.shadows.entry((check.clone(), tenant.to_owned())).or_default() += 1;
        }
        let news: BTreeSet<&str> =
            then.unknown.symmetric_difference(&now.unknown).map(|it| it.check.as_str()).collect();
        for check in news {
            *self.undecided.entry(check.to_owned()).or_default() += 1;
        }
        let Some(difference) = Difference::between(tenant, &now.decision, &then.decision) else {
            return;
        };
        self.changed += 1;
        let group = self.differences.entry(difference).or_default();
        group.requests += 1;
        if group.examples.len() < self.examples {
            group.examples.push(Example::of(line, record));
        }
    }

    /// Counts a line that is no record, and tells the first few.
    pub(super) fn bad_line(&mut self, line: u64, why: &str) {
        self.bad_lines += 1;
        if self.bad_lines <= BAD_LINES_TOLD {
            eprintln!("line {line}: {why}");
        }
        if self.bad_lines == BAD_LINES_TOLD {
            eprintln!("further bad lines are counted only");
        }
    }

    /// What it is for the shell.
    pub(super) const fn verdict(&self) -> Compared {
        if self.changed == 0 { Compared::Same } else { Compared::Differs }
    }

    /// It in words.
    pub(super) fn render(&self) -> String {
        let mut text = self.counts();
        if self.changed > 0 {
            text.push_str(&format!("\n{}", self.table().render()));
            text.push_str(&self.shown_examples());
        }
        for ((check, tenant), count) in &self.shadows {
            text.push_str(&format!(
                "\nin shadow mode, check `{check}` would deny {} of {tenant} that it does not now",
                plural(*count as usize, "request")
            ));
        }
        for (check, count) in &self.undecided {
            text.push_str(&format!(
                "\nnot decided by check `{check}`, for want of what it reads: {}",
                plural(*count as usize, "record")
            ));
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text
    }

    fn counts(&self) -> String {
        let mut text = format!("{} of {} decisions would change\n", self.changed, self.replayed);
        if self.without_tenant > 0 {
            text.push_str(&format!(
                "{} without a tenant: denied before one was known\n",
                plural(self.without_tenant as usize, "record")
            ));
        }
        if self.elsewhere > 0 {
            text.push_str(&format!(
                "{} of other listeners than the ingress's\n",
                plural(self.elsewhere as usize, "record")
            ));
        }
        if self.bad_lines > 0 {
            text.push_str(&format!(
                "{} without a record\n",
                plural(self.bad_lines as usize, "line")
            ));
        }
        text
    }

    /// The most frequent difference first.
    fn ordered(&self) -> Vec<(&Difference, &Group)> {
        let mut all: Vec<_> = self.differences.iter().collect();
        all.sort_by_key(|(_, group)| std::cmp::Reverse(group.requests));
        all
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&["tenant", "check", "now", "then", "requests"]);
        for (difference, group) in self.ordered() {
            table.row([
                difference.tenant.clone(),
                difference.check.clone().unwrap_or_else(|| "-".to_owned()),
                difference.now.to_string(),
                difference.then.to_string(),
                group.requests.to_string(),
            ]);
        }
        table
    }

    fn shown_examples(&self) -> String {
        let mut text = String::new();
        for (difference, group) in self.ordered() {
            if group.examples.is_empty() {
                continue;
            }
            let Difference { tenant, now, then, .. } = difference;
            text.push_str(&format!("\n{tenant}: {now} -> {then}, for instance\n"));
            text.extend(group.examples.iter().map(Example::shown));
        }
        text
    }
}

impl Example {
    fn of(line: u64, record: &Record) -> Self {
        Self {
            line,
            time: record.time.to_string(),
            method: record.method.clone(),
            path: record.path.clone(),
            request_id: record.request_id.clone(),
        }
    }

    fn shown(&self) -> String {
        let Self { line, time, method, path, .. } = self;
        let id = self.request_id.as_ref().map_or_else(String::new, |id| format!(" ({id})"));
        format!("  line {line}: {time} {method} {path}{id}\n")
    }
}

fn as_list<S: serde::Serializer>(
    differences: &BTreeMap<Difference, Group>,
    to: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Listed<'a> {
        #[serde(flatten)]
        difference: &'a Difference,
        #[serde(flatten)]
        group: &'a Group,
    }
    to.collect_seq(differences.iter().map(|(difference, group)| Listed { difference, group }))
}

fn as_pairs<S: serde::Serializer>(
    shadows: &BTreeMap<(String, String), u64>,
    to: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Listed<'a> {
        check: &'a str,
        tenant: &'a str,
        requests: u64,
    }
    to.collect_seq(shadows.iter().map(|((check, tenant), requests)| Listed {
        check,
        tenant,
        requests: *requests,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::replay::decision::{Decision, Unknown};

    fn record(path: &str) -> Record {
        let line = serde_json::json!({
            "time": "2026-11-21T07:00:00Z", "method": "POST", "path": path, "request_id": "id-1"});
        Record::read(line.to_string().as_bytes()).unwrap()
    }

    fn forwarded() -> Decided {
        Decided {
            decision: Decision::Forwarded { data_plane: "shared".to_owned() },
            shadows: BTreeSet::new(),
            unknown: BTreeSet::new(),
        }
    }

    fn denied() -> Decided {
        let decision = Decision::Denied {
            status: 403,
            code: "token_too_old".to_owned(),
            check: Some("token-age".to_owned()),
        };
        Decided { decision, ..forwarded() }
    }

    fn set(check: &str) -> BTreeSet<String> {
        BTreeSet::from([check.to_owned()])
    }

    fn unknown() -> BTreeSet<Unknown> {
        let [check, expression] = ["token-age", "claims.iat > 0"].map(str::to_owned);
        BTreeSet::from([Unknown { check, is_shadow: false, expression }])
    }

    #[test]
    fn nothing_that_differs_is_a_success() {
        let mut report = Report::keeping(3);
        report.add(1, "org_a", &record("/"), &forwarded(), &forwarded());
        assert_eq!(report.render(), "0 of 1 decisions would change\n");
        assert_eq!(report.verdict(), Compared::Same);
    }

    #[test]
    fn differences_are_counted_by_tenant_and_check_with_the_first_few_to_look_at() {
        let mut report = Report::keeping(1);
        for (line, tenant) in [(1, "org_b"), (2, "org_a"), (3, "org_b")] {
            report.add(line, tenant, &record("/v2/models/m/infer"), &forwarded(), &denied());
        }
        report.without_tenant = 4;
        report.bad_line(9, "expected a JSON object");
        expect_test::expect![[r"
            3 of 3 decisions would change
            4 records without a tenant: denied before one was known
            1 line without a record

            tenant  check      now                  then                       requests
            org_b   token-age  forwarded to shared  denied, 403 token_too_old         2
            org_a   token-age  forwarded to shared  denied, 403 token_too_old         1

            org_b: forwarded to shared -> denied, 403 token_too_old, for instance
              line 1: 2026-11-21T07:00:00Z POST /v2/models/m/infer (id-1)

            org_a: forwarded to shared -> denied, 403 token_too_old, for instance
              line 2: 2026-11-21T07:00:00Z POST /v2/models/m/infer (id-1)
        "]]
        .assert_eq(&report.render());
        assert_eq!(report.verdict(), Compared::Differs);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["changed"], 3);
        assert_eq!(json["differences"][1]["then"]["check"], "token-age");
        assert_eq!(json["differences"][1]["requests"], 2);
    }

    #[test]
    fn shadow_checks_and_missing_claims_are_told_and_change_no_decision() {
        let mut report = Report::keeping(1);
        let then = Decided { shadows: set("freeze"), unknown: unknown(), ..forwarded() };
        report.add(1, "org_a", &record("/"), &forwarded(), &then);
        let told = report.render();
        assert!(told.contains("check `freeze` would deny 1 request of org_a"), "{told}");
        assert!(told.contains("check `token-age`, for want of what it reads: 1 record"), "{told}");
        assert_eq!(report.verdict(), Compared::Same);
    }

    #[test]
    fn what_both_revisions_cannot_decide_is_no_news() {
        let mut report = Report::keeping(1);
        let both = Decided { unknown: unknown(), shadows: set("freeze"), ..forwarded() };
        report.add(1, "org_a", &record("/"), &both, &both);
        assert_eq!(report.render(), "0 of 1 decisions would change\n");
    }
}
