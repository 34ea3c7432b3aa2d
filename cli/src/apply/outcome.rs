//! What became of a change, and how it is told.

use std::time::Duration;

use anyhow::Result;
use policy_model::diagnostic::Diagnostic;
use serde_json::{Value, json};

use super::wait::Standing;
use crate::{
    exit::Exit,
    server::{Applied, ProxyRefusal, ServerError},
};

/// What became of a change.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Nothing was changed: this is what would be.
    Planned(Applied),
    /// It holds, and nobody waited for the proxies.
    Sent(Applied),
    /// Every connected proxy has it in force.
    InForce(Applied, Standing),
    /// The server refused it.
    Refused { detail: String, mistakes: Vec<Diagnostic> },
    /// It holds, but a proxy refused it.
    RefusedByProxy(Applied, Standing),
    /// Somebody else was first.
    Stale { detail: String, seq: Option<u64>, diff: Vec<String> },
    /// It holds, but not everybody answered for so long.
    NoAnswer(Applied, Standing, Duration),
    /// A canary did not take it.
    CanaryFailed { detail: String, refusals: Vec<ProxyRefusal>, silent: Vec<String> },
}

impl Outcome {
    /// What a refusal of the server means; other errors stay errors.
    pub(crate) fn of(error: ServerError) -> Result<Self> {
        Ok(match error {
            ServerError::Refused { detail, mistakes } => Self::Refused { detail, mistakes },
            ServerError::Stale { detail, seq, diff } => Self::Stale { detail, seq, diff },
            ServerError::CanaryFailed { detail, refusals, silent } => {
                Self::CanaryFailed { detail, refusals, silent }
            }
            other => return Err(other.into()),
        })
    }

    /// What it is for the shell.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Planned(_) | Self::Sent(_) | Self::InForce(..) => Exit::Done,
            Self::Refused { .. } => Exit::Refused,
            Self::RefusedByProxy(..) => Exit::RefusedByProxy,
            Self::Stale { .. } => Exit::Stale,
            Self::NoAnswer(..) => Exit::NoAnswer,
            Self::CanaryFailed { .. } => Exit::CanaryFailed,
        }
    }

    /// Prints it: what was done on the standard output, what was not on the standard error output.
    pub(crate) fn tell(&self, as_json: bool) -> Exit {
        if as_json {
            println!("{:#}", self.to_json());
        } else {
            let Told { done, undone } = self.told();
            print!("{done}");
            eprint!("{undone}");
        }
        self.exit()
    }

    fn to_json(&self) -> Value {
        let (outcome, more) = match self {
            Self::Planned(applied) => ("planned", json!(applied)),
            Self::Sent(applied) => ("sent", json!(applied)),
            Self::InForce(applied, standing) => ("in_force", with(applied, standing)),
            Self::Refused { detail, mistakes } => {
                ("refused", json!({"detail": detail, "diagnostics": mistakes}))
            }
            Self::RefusedByProxy(applied, standing) => {
                ("refused_by_proxy", with(applied, standing))
            }
            Self::Stale { detail, seq, diff } => {
                ("stale", json!({"detail": detail, "seq": seq, "diff": diff}))
            }
            Self::NoAnswer(applied, standing, _) => ("no_answer", with(applied, standing)),
            Self::CanaryFailed { detail, refusals, silent } => {
                ("canary_failed", json!({"detail": detail, "refusals": refusals, "silent": silent}))
            }
        };
        merged(json!({"outcome": outcome, "exit": self.exit() as u8}), more)
    }

    fn told(&self) -> Told {
        match self {
            Self::Planned(applied) => Told::done(planned(applied)).with_warnings(applied),
            Self::Sent(applied) => Told::done(changed(applied)).with_warnings(applied),
            Self::InForce(applied, standing) => {
                let n = standing.accepted.len();
                let proxies = if n == 1 { "proxy" } else { "proxies" };
                Told::done(format!("{}in force at {n} connected {proxies}\n", changed(applied)))
                    .with_warnings(applied)
            }
            Self::Refused { detail, mistakes } => {
                let mistakes: String = mistakes.iter().map(|it| format!("{it}\n")).collect();
                let why = if mistakes.is_empty() { format!("{detail}\n") } else { mistakes };
                Told::undone(format!("{why}error: nothing was changed\n"))
            }
            Self::RefusedByProxy(applied, standing) => Told {
                done: changed(applied),
                undone: format!(
                    "{}error: it holds, but not at these proxies, where what was in force before still is; `bulkhead policy rollback` takes it back\n",
                    refusals(&standing.refused)
                ) + &missing(&standing.waiting),
            }
            .with_warnings(applied),
            Self::Stale { detail, seq, diff } => {
                let lines: String = diff.iter().map(|line| format!("  {line}\n")).collect();
                let mend = seq.map_or_else(String::new, |seq| {
                    format!("; to apply on top of it, say `--expect {seq}`")
                });
                Told::undone(format!("{detail}:\n{lines}error: nothing was changed{mend}\n"))
            }
            Self::NoAnswer(applied, standing, patience) => Told {
                done: changed(applied),
                undone: format!(
                    "error: it holds, but not every proxy answered within {} s; `bulkhead policy status` shows how it goes on\n{}",
                    patience.as_secs_f64(),
                    missing(&standing.waiting)
                ),
            }
            .with_warnings(applied),
            Self::CanaryFailed { detail, refusals: refused, .. } => {
                let why = if refused.is_empty() { format!("{detail}\n") } else { refusals(refused) };
                Told::undone(format!(
                    "{why}error: the canary was rolled back, and nobody else was sent the change\n"
                ))
            }
        }
    }
}

/// What is said, and where.
#[derive(Debug, Default)]
struct Told {
    done: String,
    undone: String,
}

impl Told {
    fn done(done: String) -> Self {
        Self { done, undone: String::new() }
    }

    fn undone(undone: String) -> Self {
        Self { done: String::new(), undone }
    }

    fn with_warnings(mut self, applied: &Applied) -> Self {
        let warnings: String = applied.warnings.iter().map(|it| format!("{it}\n")).collect();
        self.undone.insert_str(0, &warnings);
        self
    }
}

fn changed(applied: &Applied) -> String {
    let mut text = lines(&applied.changes);
    if !applied.canaries.is_empty() {
        text.push_str(&format!("tried first by {}\n", applied.canaries.join(", ")));
    }
    text.push_str(&format!("revision {} (journal entry {})\n", applied.revision, applied.seq));
    text
}

/// What would change: the resources, and what that is for the tenants.
pub(crate) fn planned(applied: &Applied) -> String {
    let mut text = lines(&applied.changes);
    for tenant in &applied.tenants {
        text.push_str(&format!("\n{}\n", tenant.tenant));
        text.extend(tenant.changes.iter().map(|change| format!("  {change}\n")));
    }
    if !applied.changes.is_empty() {
        let n = applied.tenants.len();
        let tenants =
            if n == 1 { "1 tenant changes".to_owned() } else { format!("{n} tenants change") };
        text.push_str(&format!("\n{tenants}\n"));
    }
    text
}

fn lines(changes: &[String]) -> String {
    if changes.is_empty() {
        return "nothing changes\n".to_owned();
    }
    changes.iter().map(|change| format!("{change}\n")).collect()
}

fn refusals(refused: &[ProxyRefusal]) -> String {
    let line = |it: &ProxyRefusal| {
        let of = if it.resource.is_empty() { String::new() } else { format!(" {}", it.resource) };
        format!("{} refused{of}: {}\n", it.proxy, it.message)
    };
    refused.iter().map(line).collect()
}

fn missing(waiting: &[String]) -> String {
    if waiting.is_empty() {
        return String::new();
    }
    format!("without an answer: {}\n", waiting.join(", "))
}

fn with(applied: &Applied, standing: &Standing) -> Value {
    merged(json!(applied), json!({"proxies": standing}))
}

fn merged(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::TenantChanges;

    fn applied() -> Applied {
        Applied {
            revision: "ab12".to_owned(),
            seq: 7,
            changes: vec!["Check/token-age created".to_owned()],
            ..Applied::default()
        }
    }

    fn refusal() -> ProxyRefusal {
        let [proxy, resource, message] = ["ingress-2", "gate", "no table"].map(str::to_owned);
        ProxyRefusal { proxy, resource, message }
    }

    fn every() -> Vec<(Outcome, u8, &'static str)> {
        let standing = |refused: &[ProxyRefusal], waiting: &[&str]| Standing {
            accepted: vec!["ingress-1".to_owned()],
            refused: refused.to_vec(),
            waiting: waiting.iter().map(|it| (*it).to_owned()).collect(),
        };
        vec![
            (Outcome::Planned(applied()), 0, "Check/token-age created"),
            (Outcome::Sent(applied()), 0, "revision ab12 (journal entry 7)"),
            (Outcome::InForce(applied(), standing(&[], &[])), 0, "in force at 1 connected proxy"),
            (
                Outcome::Refused { detail: "too large".to_owned(), mistakes: Vec::new() },
                3,
                "too large\nerror: nothing was changed",
            ),
            (
                Outcome::RefusedByProxy(applied(), standing(&[refusal()], &[])),
                4,
                "ingress-2 refused gate: no table",
            ),
            (
                Outcome::Stale {
                    detail: "stale since 5".to_owned(),
                    seq: Some(7),
                    diff: vec!["Tenant/org_a changed".to_owned()],
                },
                5,
                "stale since 5:\n  Tenant/org_a changed\nerror: nothing was changed; to apply on top of it, say `--expect 7`",
            ),
            (
                Outcome::NoAnswer(applied(), standing(&[], &["node-1"]), Duration::from_secs(2)),
                6,
                "within 2 s",
            ),
            (
                Outcome::CanaryFailed {
                    detail: "refused".to_owned(),
                    refusals: vec![refusal()],
                    silent: Vec::new(),
                },
                7,
                "ingress-2 refused gate: no table\nerror: the canary was rolled back",
            ),
        ]
    }

    #[test]
    fn each_end_has_an_exit_status_of_its_own_and_says_what_happened() {
        for (outcome, exit, said) in every() {
            assert_eq!(outcome.exit() as u8, exit, "{outcome:?}");
            let Told { done, undone } = outcome.told();
            let text = format!("{done}{undone}");
            assert!(text.contains(said), "expected {said:?} in {text:?}");
            assert!(text.ends_with('\n'), "{text:?}");
            assert_eq!(outcome.to_json()["exit"], exit);
        }
    }

    #[test]
    fn what_is_undone_is_an_error_and_what_is_done_is_not() {
        for (outcome, exit, _) in every() {
            assert_eq!(outcome.told().undone.contains("error:"), exit != 0, "{outcome:?}");
        }
    }

    #[test]
    fn every_exit_status_is_in_the_help() {
        for (_, exit, _) in every() {
            assert!(crate::exit::HELP.contains(&format!("\n  {exit}  ")), "{exit}");
        }
    }

    #[test]
    fn a_plan_says_which_tenants_change_and_how() {
        let change = |tenant: &str, change: &str| TenantChanges {
            tenant: tenant.to_owned(),
            changes: vec![change.to_owned()],
        };
        let tenants = vec![
            change("org_a", "check `token-age` is new at the gate"),
            change("org_b", "moves from data plane `shared` to `eu`"),
        ];
        expect_test::expect![[r"
            Check/token-age created

            org_a
              check `token-age` is new at the gate

            org_b
              moves from data plane `shared` to `eu`

            2 tenants change
        "]]
        .assert_eq(&planned(&Applied { tenants, ..applied() }));
    }

    #[test]
    fn json_tells_who_has_it_and_who_not() {
        let standing = Standing { refused: vec![refusal()], ..Standing::default() };
        let told = Outcome::RefusedByProxy(applied(), standing).to_json();
        assert_eq!(told["outcome"], "refused_by_proxy");
        assert_eq!(told["proxies"]["refused"][0]["message"], "no table");
        assert_eq!(told["seq"], 7);
    }
}
