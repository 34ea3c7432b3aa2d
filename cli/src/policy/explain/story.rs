//! An explanation, for people and for programs.

use std::fmt::Write as _;

use filter_core::{Cause, CheckOutcome, CheckResult, Explanation, Verdict};
use policy_model::spec::Kind;
use scenario::{Deployment, Explained};
use serde_json::{Value, json};

/// What is told of a request.
pub(super) struct Story<'a> {
    pub(super) deployment: &'a Deployment,
    pub(super) explained: &'a Explained,
}

impl Story<'_> {
    /// As lines: who, by which table, what each check said, and what becomes of the request.
    pub(super) fn text(&self) -> String {
        let Explanation { tenant, tier, checks, .. } = &self.explained.gate;
        let mut text = String::new();
        let mut line = |what: &str, told: String| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{what:<10} {told}");
        };
        line(
            "tenant",
            match (tenant, tier) {
                (Some(tenant), Some(tier)) => {
                    format!("{tenant}, tier {tier}{}", self.written(tenant.as_str()))
                }
                (Some(tenant), None) => format!("{tenant}, which is none of this deployment"),
                (None, _) => "not settled".to_owned(),
            },
        );
        let mut denied = false;
        for (at, check) in checks.iter().enumerate() {
            line(if at == 0 { "gate" } else { "" }, told(check, &mut denied));
        }
        if let Some(node) = &self.explained.node {
            for (at, check) in node.checks.iter().enumerate() {
                line(if at == 0 { "node" } else { "" }, told(check, &mut denied));
            }
        }
        line("verdict", self.verdict());
        text
    }

    /// The same as one object.
    pub(super) fn json(&self) -> Value {
        let Explanation { tenant, tier, data_plane, cluster, checks, verdict, .. } =
            &self.explained.gate;
        let denial = self.explained.denied_by().and_then(|outcome| outcome.denial.as_ref());
        let denial = match (verdict, denial) {
            (_, Some(denial)) => json!({
                "status": denial.status, "code": denial.code, "check": denial.check,
                "message": denial.message,
            }),
            (Verdict::Denied(cause), None) => problem(cause),
            (Verdict::Forward, None) => Value::Null,
        };
        json!({
            "verdict": if denial.is_null() { "forwarded" } else { "denied" },
            "denial": denial,
            "tenant": tenant.as_ref().map(ToString::to_string),
            "tier": tier.map(|tier| tier.as_str()),
            "data_plane": data_plane,
            "cluster": cluster,
            "checks": checks.iter().map(check).collect::<Vec<_>>(),
            "node": self.explained.node.as_ref().map(|node| json!({
                "data_plane": node.data_plane,
                "region": node.region,
                "checks": node.checks.iter().map(check).collect::<Vec<_>>(),
            })),
        })
    }

    /// Where the tenant's resource was written, where that is known.
    fn written(&self, tenant: &str) -> String {
        let mut tenants = self.deployment.resources().iter().filter(|it| it.kind() == Kind::Tenant);
        match tenants.find(|it| it.name() == tenant).map(|it| it.origin()) {
            Some(origin) if !origin.file.is_empty() => format!(" ({origin})"),
            _ => String::new(),
        }
    }

    fn verdict(&self) -> String {
        let denial = self.explained.denied_by().and_then(|outcome| outcome.denial.as_ref());
        match (&self.explained.gate.verdict, denial, &self.explained.node) {
            (_, Some(denial), node) => format!(
                "denied {} by check {}: {} {}: {}",
                if node.is_some() { "at the node" } else { "at the gate" },
                denial.check,
                denial.status,
                denial.code,
                denial.message,
            ),
            (Verdict::Denied(cause), None, _) => {
                format!(
                    "denied at the gate: {} {}: {}",
                    cause.status(),
                    cause.code(),
                    cause.detail()
                )
            }
            (Verdict::Forward, None, Some(node)) => format!(
                "forwarded to data plane {} in {} by cluster {}, because that is where the tenant \
                 is placed; its rate is not counted here",
                node.data_plane,
                node.region,
                self.explained.gate.cluster.as_deref().unwrap_or_default(),
            ),
            (Verdict::Forward, None, None) => "forwarded".to_owned(),
        }
    }
}

/// A check in a line. `denied` is whether one before it has denied, and becomes whether one has.
fn told(outcome: &CheckOutcome, denied: &mut bool) -> String {
    let result = match &outcome.result {
        CheckResult::Passed => "passes".to_owned(),
        CheckResult::Failed => "fails".to_owned(),
        CheckResult::Error(why) => format!("has no value ({why}), which counts as a failure"),
    };
    let effect = match (&outcome.denial, outcome.shadow, *denied) {
        (None, _, _) => String::new(),
        (Some(_), _, true) => "; not reached".to_owned(),
        (Some(denial), true, false) => {
            format!("; in shadow: it would deny with {} {}", denial.status, denial.code)
        }
        (Some(denial), false, false) => format!("; denies with {} {}", denial.status, denial.code),
    };
    *denied |= outcome.denies();
    format!("{:<24} {result}{effect}", outcome.check)
}

fn check(outcome: &CheckOutcome) -> Value {
    let (result, error) = match &outcome.result {
        CheckResult::Passed => ("passed", None),
        CheckResult::Failed => ("failed", None),
        CheckResult::Error(why) => ("error", Some(why)),
    };
    json!({
        "check": outcome.check,
        "mode": if outcome.shadow { "shadow" } else { "enforce" },
        "result": result,
        "error": error,
        "denial": outcome.denial.as_ref().map(|denial| json!({
            "status": denial.status, "code": denial.code, "message": denial.message,
        })),
    })
}

fn problem(cause: &Cause) -> Value {
    json!({ "status": cause.status(), "code": cause.code(), "message": cause.detail() })
}
