//! A revision that decides on records, by the filters' own code: no proxy and no server.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use anyhow::Result;
use filter_core::{
    Cause, CheckOutcome, Gate, Header, Recheck, Verdict,
    memory_host::{Clock, MemoryHost, SharedData},
};
use passport::{SigningKey, seal::SealKey};
use policy_model::{
    compile::compile,
    diagnostic::Diagnostics,
    resolved::{Check, Resolved},
    spec::{Point, Resource},
    table::{GateRows, NodeRows, PassportKeyRow, SealedKeyRow},
};
use tenancy::{TenantId, problem::Problem};

use super::{
    decision::{Decided, Decision, Unknown},
    record::Record,
};

/// A revision that decides on records.
pub(super) struct Revision {
    resolved: Resolved,
    clock: Clock,
    host: MemoryHost,
    gate: Gate,
    nodes: BTreeMap<String, Recheck>,
}

impl Revision {
    /// The revision of these resources, or their mistakes.
    pub(super) fn of(resources: &[Resource]) -> Result<Result<Self, Diagnostics>> {
        let resolved = match compile(resources) {
            Ok(compiled) => compiled.resolved,
            Err(mistakes) => return Ok(Err(mistakes)),
        };
        // Passports are part of the tables, but none is minted: these keys are nobody's.
        let (signing_key, seal_key) = (SigningKey::generate(), SealKey::from_bytes([0; 32]));
        let sealed = seal_key.seal(&signing_key)?;
        let table = GateRows {
            passport_key: SealedKeyRow {
                key_id: sealed.key_id,
                nonce: sealed.nonce,
                ciphertext: sealed.ciphertext,
            },
            ..GateRows::of(&resolved, ToString::to_string)
        };
        let clock = Clock::default();
        let host = MemoryHost::new(&clock, &SharedData::default());
        let seal = seal_key.to_hex();
        let gate = Gate::configure(&Rc::default(), &host, &table.encode()?, Some(&seal))?;
        let public = signing_key.verifying_key();
        let mut nodes = BTreeMap::new();
        for plane in resolved.data_planes.keys() {
            let key = PassportKeyRow { id: public.id.clone(), public_key: public.bytes.clone() };
            let rows = NodeRows { passport_keys: vec![key], ..NodeRows::of(&resolved, plane) };
            nodes.insert(plane.to_string(), Recheck::configure(&rows.encode()?)?);
        }
        Ok(Ok(Self { resolved, clock, host, gate, nodes }))
    }

    /// What becomes of a request of `tenant`, at the time of its record.
    pub(super) fn decide(&self, tenant: &TenantId, record: &Record) -> Decided {
        let (seconds, nanos) = record.unix_time();
        self.clock.set_unix_secs(seconds);
        self.clock.advance_nanos(nanos);
        self.host.begin(record.request());
        let told = self.gate.explain_as(&self.host, record.caller(tenant));
        let mut way = Way { revision: self, record, found: Found::default() };
        if let Verdict::Denied(Cause::Problem(problem)) = told.verdict {
            return way.ends(denied(problem));
        }
        if let Some(denial) = way.pass(Point::Gate, &told.checks) {
            return way.ends(denial);
        }
        let data_plane = told.data_plane.unwrap_or_default();
        let node = self.nodes.get(&data_plane);
        let Some(checks) = node.and_then(|node| node.explain_as(&self.host, tenant)) else {
            return way.ends(denied(Problem::WrongDataPlane));
        };
        match way.pass(Point::Recheck, &checks) {
            Some(denial) => way.ends(denial),
            None => way.ends(Decision::Forwarded { data_plane }),
        }
    }
}

/// What is found on a request's way through the checks.
#[derive(Default)]
struct Found {
    shadows: BTreeSet<String>,
    unknown: BTreeSet<Unknown>,
}

struct Way<'a> {
    revision: &'a Revision,
    record: &'a Record,
    found: Found,
}

impl Way<'_> {
    /// Goes by checks in their order; returns the denial of the first that denies.
    fn pass(&mut self, point: Point, outcomes: &[CheckOutcome]) -> Option<Decision> {
        for outcome in outcomes {
            if let Some(unknown) = self.unknown(point, outcome) {
                self.found.unknown.insert(unknown);
                continue;
            }
            let Some(denial) = &outcome.denial else { continue };
            if outcome.denies() {
                return Some(Decision::Denied {
                    status: denial.status,
                    code: denial.code.clone(),
                    check: Some(outcome.check.clone()),
                });
            }
            self.found.shadows.insert(outcome.check.clone());
        }
        None
    }

    /// The check, where it reads what the record does not hold.
    fn unknown(&self, point: Point, outcome: &CheckOutcome) -> Option<Unknown> {
        let check: &Check = self.revision.resolved.checks.get(outcome.check.as_str())?;
        let mut paths = check.rules.get(&point)?.program.paths();
        paths.any(|path| !self.record.holds(path)).then(|| Unknown {
            check: outcome.check.clone(),
            is_shadow: check.is_shadow(),
            expression: check.expression.clone(),
        })
    }

    fn ends(self, decision: Decision) -> Decided {
        let Found { shadows, unknown } = self.found;
        Decided { decision, shadows, unknown }
    }
}

fn denied(problem: Problem) -> Decision {
    Decision::Denied { status: problem.status(), code: problem.code().to_owned(), check: None }
}

impl Record {
    /// The request as the filters are handed it.
    fn request(&self) -> Vec<Header> {
        let mut headers = BTreeMap::new();
        for (name, value) in self.headers.iter().flatten() {
            headers.insert(name.to_ascii_lowercase(), value.clone());
        }
        let own = [
            (":method", Some(self.method.clone())),
            (":path", Some(self.path.clone())),
            (":authority", self.host.clone()),
            ("content-length", self.content_length.map(|length| length.to_string())),
        ];
        for (name, value) in own {
            headers.extend(value.map(|value| (name.to_owned(), value)));
        }
        headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect()
    }
}

#[cfg(test)]
mod tests {
    use policy_model::spec::parse;
    use serde_json::{Value, json};

    use super::*;

    const RESOURCES: &str = r#"
apiVersion: bulkhead.dev/v1
kind: Tier
metadata: {name: pool}
spec: {rateLimit: {requests: 10, burst: 20}}
---
apiVersion: bulkhead.dev/v1
kind: DataPlane
metadata: {name: shared}
spec: {region: eu, tiers: [pool], endpoints: [{address: 127.0.0.1, port: 1}]}
---
apiVersion: bulkhead.dev/v1
kind: Issuer
metadata: {name: idp}
spec: {issuer: "https://idp.example", audiences: [api], orgs: [org_a, org_b]}
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: {name: org_a}
spec: {tier: pool, dataPlane: shared}
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: {name: org_b}
spec: {tier: pool, dataPlane: shared, suspended: true}
"#;

    fn check(name: &str, point: &str, mode: &str, expression: &str) -> String {
        format!(
            r#"
---
apiVersion: bulkhead.dev/v1
kind: Check
metadata: {{name: {name}}}
spec:
  description: For this test.
  points: [{point}]
  mode: {mode}
  expression: {expression:?}
  denial: {{status: 403, code: not_allowed, message: "no"}}
"#
        )
    }

    fn revision(checks: &[String]) -> Revision {
        let text = format!("{RESOURCES}{}", checks.concat());
        Revision::of(&parse("test.yaml", &text).unwrap()).unwrap().unwrap()
    }

    fn record(more: Value) -> Record {
        let mut record =
            json!({"time": "2026-11-21T07:00:00.5Z", "method": "POST", "path": "/v2/m"});
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Record::read(record.to_string().as_bytes()).unwrap()
    }

    fn decide(revision: &Revision, tenant: &str, more: Value) -> Decided {
        revision.decide(&tenant.parse().unwrap(), &record(more))
    }

    fn shown(decided: &Decided) -> String {
        decided.decision.to_string()
    }

    #[test]
    fn without_checks_it_is_the_tenants_row_that_decides() {
        let revision = revision(&[]);
        assert_eq!(shown(&decide(&revision, "org_a", json!({}))), "forwarded to shared");
        assert_eq!(shown(&decide(&revision, "org_b", json!({}))), "denied, 403 tenant_suspended");
        assert_eq!(shown(&decide(&revision, "org_c", json!({}))), "denied, 403 unknown_tenant");
    }

    #[test]
    fn a_check_is_held_at_the_time_of_the_record_with_its_claims() {
        let age = check("age", "gate", "enforce", "now - token.issued_at <= duration('1h')");
        let revision = revision(&[age]);
        let at = |iat: &str| {
            let iat: jiff::Timestamp = iat.parse().unwrap();
            json!({"claims": {"iss": "https://idp.example", "iat": iat.as_second()}})
        };
        let young = decide(&revision, "org_a", at("2026-11-21T06:30:00Z"));
        assert_eq!(shown(&young), "forwarded to shared");
        let old = decide(&revision, "org_a", at("2026-11-21T05:30:00Z"));
        assert_eq!(shown(&old), "denied, 403 not_allowed");
    }

    #[test]
    fn what_reads_more_than_the_record_holds_is_unknown_and_passes() {
        let claims = check("claims", "gate", "enforce", "claims.department == 'sales'");
        let headers = check("headers", "gate", "enforce", "'x-purpose' in request.headers");
        let revision = revision(&[claims, headers]);
        let names = |decided: &Decided| -> Vec<String> {
            decided.unknown.iter().map(|it| it.check.clone()).collect()
        };
        let bare = decide(&revision, "org_a", json!({}));
        assert_eq!((shown(&bare).as_str(), names(&bare).len()), ("forwarded to shared", 2));
        let whole = json!({"claims": {"department": "sales"}, "headers": {}});
        let denied = decide(&revision, "org_a", whole);
        assert_eq!(
            denied.decision,
            Decision::Denied {
                status: 403,
                code: "not_allowed".to_owned(),
                check: Some("headers".to_owned()),
            }
        );
        assert_eq!(names(&denied), Vec::<String>::new());
    }

    #[test]
    fn shadow_checks_and_checks_at_the_node_are_held_too() {
        let shadow = check("aside", "gate", "shadow", "request.method == 'GET'");
        let node =
            check("node", "recheck", "enforce", "node.region != 'eu' || request.path == '/v2/m'");
        let revision = revision(&[shadow, node]);
        let good = decide(&revision, "org_a", json!({}));
        assert_eq!(shown(&good), "forwarded to shared");
        assert_eq!(good.shadows, BTreeSet::from(["aside".to_owned()]));
        let other = decide(&revision, "org_a", json!({"path": "/v2/other"}));
        assert_eq!(shown(&other), "denied, 403 not_allowed");
    }

    #[test]
    fn a_candidate_with_mistakes_is_told_and_not_run() {
        let text =
            format!("{RESOURCES}{}", check("age", "gate", "enforce", "tokn.issued_at == now"));
        let refused = Revision::of(&parse("test.yaml", &text).unwrap()).unwrap();
        assert!(refused.is_err());
    }
}
