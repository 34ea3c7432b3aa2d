//! Checks at work, at the gate and at the recheck.

use std::rc::Rc;

use expression::{Type, compile, compile_template};
use passport::{Passport, SigningKey};
use policy_model::{
    spec::Point,
    table::{
        CheckRow, DataPlaneRow, GateRows, NodeRows, NodeTenantRow, ObserveRow, PassportKeyRow,
        RateRow, TierRow,
    },
    variables::environment,
};
use serde_json::{Value, json};
use tenancy::{Tier, headers, problem::Problem};

use crate::{
    Caller, Cause, CheckResult, Note, Recheck, Verdict,
    fixture::{AUDIENCE, Deployment, UA, Worker, es256, header, request},
    memory_host::{MemoryHost, SharedData},
};

const MESSAGE: &str = "no ${tenant.id} at ${tier.name}";

fn check(point: Point, name: &str, expression: &str) -> CheckRow {
    let environment = environment(point);
    CheckRow {
        name: name.to_owned(),
        shadow: false,
        program: compile(expression, &environment, Type::Bool).unwrap().program,
        status: 403,
        code: "not_here".to_owned(),
        message: compile_template(MESSAGE, &environment).unwrap(),
    }
}

fn gate_check(name: &str, expression: &str) -> CheckRow {
    check(Point::Gate, name, expression)
}

fn shadow(check: CheckRow) -> CheckRow {
    CheckRow { shadow: true, ..check }
}

/// Rows under which `checks` hold for UA.
fn rows(deployment: &Deployment, checks: Vec<CheckRow>) -> GateRows {
    let mut rows = deployment.rows();
    let places = (0..).take(checks.len()).collect();
    rows.tenants.iter_mut().find(|row| row.id == "org_ua").unwrap().checks = places;
    rows.tenants.iter_mut().find(|row| row.id == "org_ua").unwrap().labels =
        vec![("regulated".to_owned(), "yes".to_owned())];
    rows.tiers = vec![TierRow {
        tier: 1,
        labels: vec![("kind".to_owned(), "paid".to_owned())],
        rate: Some(RateRow { interval_ns: 10_000_000, burst: 7 }),
    }];
    rows.data_planes = vec![DataPlaneRow {
        id: "shared".to_owned(),
        region: "eu-1".to_owned(),
        ..DataPlaneRow::default()
    }];
    rows.checks = checks;
    rows
}

fn under(deployment: &Deployment, rows: GateRows) -> Worker {
    let (vm, host) = (Rc::default(), deployment.host());
    let gate = deployment.configure(&vm, &host, rows).unwrap();
    Worker { host, vm, gate }
}

fn worker(deployment: &Deployment, checks: Vec<CheckRow>) -> Worker {
    under(deployment, rows(deployment, checks))
}

fn denying_check(verdict: &Verdict) -> Option<&str> {
    match verdict {
        Verdict::Denied(cause) => cause.check(),
        Verdict::Forward => None,
    }
}

#[test]
fn every_variable_of_the_gate_holds_what_it_says() {
    let deployment = Deployment::new();
    let now = deployment.clock.unix_secs();
    for expression in [
        format!("now == timestamp({now})"),
        "request.method == 'POST' && request.path == '/v2/models/eta/infer'".to_owned(),
        "request.query == 'a=b' && request.host == 'api.example'".to_owned(),
        "request.headers['content-type'] == 'application/json'".to_owned(),
        "request.content_length == 12".to_owned(),
        "!('authorization' in request.headers) && !('x-bulkhead-passport' in request.headers)"
            .to_owned(),
        format!("claims.iss == '{UA}' && claims.sub == 'shipping-bot'"),
        format!("token.issuer == '{UA}' && token.algorithm == 'ES256' && token.key_id == 'ua-1'"),
        format!("token.issued_at == timestamp({now})"),
        format!("token.expires_at == timestamp({})", now + 3600),
        "tenant.id == 'org_ua' && tenant.tier == 'bridge'".to_owned(),
        "tenant.labels.regulated == 'yes'".to_owned(),
        "tier.name == 'bridge' && tier.burst == 7 && tier.requests_per_second == 100.0".to_owned(),
        "tier.labels.kind == 'paid'".to_owned(),
        "data_plane.id == 'shared' && data_plane.region == 'eu-1'".to_owned(),
        "data_plane.exclusive_to == '' && size(data_plane.labels) == 0".to_owned(),
    ] {
        let worker = worker(&deployment, vec![gate_check("it-holds", &expression)]);
        let mut headers = request(&deployment.ua_token());
        headers[1] = header(":path", "/v2/models/eta/infer?a=b");
        headers.push(header(":authority", "api.example"));
        headers.push(header("content-length", "12"));
        headers.push(header("x-bulkhead-passport", "forged"));
        assert_eq!(worker.ask(headers), Verdict::Forward, "{expression}");
    }
}

#[test]
fn a_check_that_fails_is_its_denial() {
    let deployment = Deployment::new();
    let checks = vec![gate_check("open", "true"), gate_check("shut", "tenant.id == 'org_dl'")];
    let worker = worker(&deployment, checks);
    let verdict = worker.ask_with(&deployment.ua_token());
    assert_eq!(denying_check(&verdict), Some("shut"));

    let reply = worker.host.replied().unwrap();
    assert_eq!(reply.status, 403);
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(body["code"], "not_here");
    assert_eq!(body["check"], "shut");
    assert_eq!(body["detail"], "no org_ua at bridge");
    assert_eq!(body["revision"], worker.gate.revision());
    assert_eq!(worker.host.counter("bulkhead_gate_denied.not_here"), 1);
}

#[test]
fn an_error_is_the_checks_denial_and_never_a_skip() {
    let deployment = Deployment::new();
    for expression in [
        "claims.department == 'sales'",
        "claims.sub > 3",
        "1 / (request.content_length + 1) == 0",
        "claims.sub == 'shipping-bot' ? claims.nothing : true",
    ] {
        let worker = worker(&deployment, vec![gate_check("careless", expression)]);
        let verdict = worker.ask_with(&deployment.ua_token());
        assert_eq!(denying_check(&verdict), Some("careless"), "{expression}");
        assert_eq!(worker.host.counter("bulkhead_gate_check_errors.careless"), 1, "{expression}");
    }
}

#[test]
fn a_check_in_shadow_denies_nothing_and_is_counted() {
    let deployment = Deployment::new();
    let checks = vec![
        shadow(gate_check("a-shadow", "false")),
        shadow(gate_check("b-errs", "claims.nothing == 1")),
        shadow(gate_check("c-passes", "true")),
    ];
    let worker = worker(&deployment, checks);
    for _ in 0..3 {
        assert_eq!(worker.ask_with(&deployment.ua_token()), Verdict::Forward);
    }
    let counted = |check| worker.host.counter(&format!("bulkhead.shadow.{check}.org_ua"));
    assert_eq!([counted("a-shadow"), counted("b-errs"), counted("c-passes")], [3, 3, 0]);
}

#[test]
fn checks_hold_by_name_and_the_first_denial_ends_them() {
    let deployment = Deployment::new();
    let checks = vec![
        gate_check("c-shut", "false"),
        shadow(gate_check("d-later", "false")),
        shadow(gate_check("a-before", "false")),
        gate_check("b-shut", "false"),
    ];
    let worker = worker(&deployment, checks);
    let verdict = worker.ask_with(&deployment.ua_token());
    assert_eq!(denying_check(&verdict), Some("b-shut"));
    assert_eq!(worker.host.counter("bulkhead.shadow.a-before.org_ua"), 1);
    assert_eq!(worker.host.counter("bulkhead.shadow.d-later.org_ua"), 0);
}

#[test]
fn a_check_holds_for_its_tenants_only() {
    let deployment = Deployment::new();
    let mut rows = rows(&deployment, vec![gate_check("shut", "false")]);
    rows.tenants[0].checks.clear();
    assert_eq!(under(&deployment, rows).ask_with(&deployment.ua_token()), Verdict::Forward);
}

#[test]
fn a_request_that_a_check_denies_takes_nothing_of_the_rate() {
    let deployment = Deployment::new();
    let mut rows = rows(&deployment, vec![gate_check("get-only", "request.method == 'GET'")]);
    rows.tenants[0].burst = 1;
    let worker = under(&deployment, rows);
    let token = deployment.ua_token();
    for _ in 0..3 {
        assert_eq!(denying_check(&worker.ask_with(&token)), Some("get-only"));
    }
    let mut get = request(&token);
    get[0] = header(":method", "GET");
    assert_eq!(worker.ask(get.clone()), Verdict::Forward);
    assert_eq!(worker.ask(get), Verdict::Denied(Problem::RateLimited.into()));
}

#[test]
fn a_token_is_held_to_the_checks_of_a_new_table_at_once() {
    let deployment = Deployment::new();
    let mut worker = worker(&deployment, Vec::new());
    let token = deployment.ua_token();
    assert_eq!(worker.ask_with(&token), Verdict::Forward);
    let pushed = rows(&deployment, vec![gate_check("no-bots", "claims.sub != 'shipping-bot'")]);
    worker.gate = deployment.configure(&worker.vm, &worker.host, pushed).unwrap();
    assert_eq!(denying_check(&worker.ask_with(&token)), Some("no-bots"));
}

#[test]
fn a_check_that_says_401_tells_the_caller_to_authenticate() {
    let deployment = Deployment::new();
    let check = CheckRow { status: 401, ..gate_check("old", "false") };
    let worker = worker(&deployment, vec![check]);
    let _ = worker.ask_with(&deployment.ua_token());
    let reply = worker.host.replied().unwrap();
    assert!(reply.headers.iter().any(|(name, _)| name == "www-authenticate"), "{reply:?}");
}

#[test]
fn what_decided_is_shown_where_the_operator_asks_for_it_and_nowhere_else() {
    let deployment = Deployment::new();
    for (response_headers, access_log) in [(false, false), (true, false), (false, true)] {
        let mut rows = rows(&deployment, vec![gate_check("shut", "request.method == 'GET'")]);
        rows.observe = ObserveRow { response_headers, access_log };
        let worker = under(&deployment, rows);
        let revision = worker.gate.revision().to_owned();
        let noted = |note| worker.host.noted(note);

        let _ = worker.ask_with(&deployment.ua_token());
        let reply = worker.host.replied().unwrap();
        let shown = |name| reply.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let expected = response_headers.then_some(revision.as_str());
        assert_eq!(shown(headers::REVISION), expected);
        assert_eq!(shown(headers::CHECK), response_headers.then_some("shut"));
        assert_eq!(noted(Note::Check).as_deref(), access_log.then_some("shut"));
        assert_eq!(noted(Note::Code).as_deref(), access_log.then_some("not_here"));

        let mut get = request(&deployment.ua_token());
        get[0] = header(":method", "GET");
        assert_eq!(worker.ask(get), Verdict::Forward);
        assert_eq!(noted(Note::Tenant).as_deref(), access_log.then_some("org_ua"));
        let revision = (response_headers || access_log).then_some(revision);
        assert_eq!(noted(Note::Revision), revision);
        assert_eq!(noted(Note::Code), None);
    }
}

#[test]
fn an_explanation_is_the_decision_with_all_that_led_to_it() {
    let deployment = Deployment::new();
    let checks = vec![
        gate_check("a-open", "true"),
        gate_check("b-shut", "request.method == 'GET'"),
        shadow(gate_check("c-errs", "claims.nothing == 1")),
    ];
    let worker = worker(&deployment, checks);
    let headers = request(&deployment.ua_token());
    worker.host.begin(headers.clone());
    let told = worker.gate.explain(&worker.host);
    assert_eq!(told.verdict, worker.ask(headers.clone()));
    assert_eq!(told.tenant.unwrap().as_str(), "org_ua");
    assert_eq!(told.tier, Some(Tier::Bridge));
    assert_eq!(told.cluster, None);
    let results: Vec<_> = told.checks.iter().map(|outcome| &outcome.result).collect();
    assert!(
        matches!(results[..], [CheckResult::Passed, CheckResult::Failed, CheckResult::Error(_)]),
        "{results:?}"
    );
    assert_eq!(told.checks[1].denial.as_ref().unwrap().message, "no org_ua at bridge");

    let mut get = headers;
    get[0] = header(":method", "GET");
    worker.host.begin(get);
    let told = worker.gate.explain(&worker.host);
    assert_eq!(told.verdict, Verdict::Forward);
    assert_eq!(told.cluster.as_deref(), Some("plane/shared"));
    assert_eq!(worker.host.counter("bulkhead.shadow.c-errs.org_ua"), 0, "telling counts nothing");
}

#[test]
fn a_caller_is_explained_without_a_token_as_with_one() {
    let deployment = Deployment::new();
    let worker = worker(&deployment, vec![gate_check("bots", "claims.sub == 'shipping-bot'")]);
    worker.host.begin(vec![header(":method", "GET"), header(":path", "/")]);
    let now = deployment.clock.unix_secs();
    let caller = |tenant: &str, sub: &str| Caller {
        tenant: tenant.parse().unwrap(),
        issuer: UA.to_owned(),
        algorithm: "ES256".to_owned(),
        key_id: "ua-1".to_owned(),
        issued_at: Some(now),
        expires_at: now + 60,
        claims: json!({"sub": sub, "aud": AUDIENCE}).as_object().unwrap().clone(),
    };
    let verdict = |tenant, sub| worker.gate.explain_as(&worker.host, caller(tenant, sub)).verdict;
    assert_eq!(verdict("org_ua", "shipping-bot"), Verdict::Forward);
    assert_eq!(denying_check(&verdict("org_ua", "somebody")), Some("bots"));
    assert_eq!(verdict("org_nobody", "x"), Verdict::Denied(Problem::UnknownTenant.into()));
    assert_eq!(verdict("org_shut", "x"), Verdict::Denied(Problem::TenantSuspended.into()));
}

struct Node {
    host: MemoryHost,
    recheck: Recheck,
    passport: String,
}

fn node(tenants: &[&str], checks: Vec<CheckRow>) -> Node {
    let deployment = Deployment::new();
    let key = SigningKey::generate();
    let places: Vec<u16> = (0..).take(checks.len()).collect();
    let rows = NodeRows {
        data_plane: "shared".to_owned(),
        passport_keys: vec![PassportKeyRow {
            id: key.id().to_owned(),
            public_key: key.verifying_key().bytes,
        }],
        plane: Some(DataPlaneRow {
            id: "shared".to_owned(),
            region: "eu-1".to_owned(),
            ..DataPlaneRow::default()
        }),
        tenants: tenants
            .iter()
            .map(|id| NodeTenantRow {
                id: (*id).to_owned(),
                tier: 1,
                checks: places.clone(),
                ..NodeTenantRow::default()
            })
            .collect(),
        tiers: vec![TierRow { tier: 1, labels: Vec::new(), rate: None }],
        checks,
        ..NodeRows::default()
    };
    let passport = Passport {
        tenant: "org_ua".parse().unwrap(),
        tier: Tier::Bridge,
        data_plane: "shared".parse().unwrap(),
        revision: "0123456789abcdef".to_owned(),
    };
    let passport = key.mint(&passport, deployment.clock.unix_secs(), 60).unwrap();
    Node {
        host: MemoryHost::new(&deployment.clock, &SharedData::default()),
        recheck: Recheck::configure(&rows.encode().unwrap()).unwrap(),
        passport,
    }
}

impl Node {
    fn ask(&self) -> Verdict {
        self.host.begin(vec![
            header(":method", "POST"),
            header(":path", "/"),
            header(headers::PASSPORT, &self.passport),
        ]);
        self.recheck.on_request_headers(&self.host)
    }
}

#[test]
fn checks_hold_at_a_node_too() {
    let at_node = |expression| check(Point::Recheck, "at-node", expression);
    for expression in [
        "node.data_plane == 'shared' && node.region == 'eu-1'",
        "tenant.id == 'org_ua' && tenant.tier == 'bridge' && tier.name == 'bridge'",
        "data_plane.region == node.region && data_plane.exclusive_to == ''",
        "request.method == 'POST' && !('x-bulkhead-passport' in request.headers)",
        "!has(tier.burst)",
    ] {
        let node = node(&["org_ua"], vec![at_node(expression)]);
        assert_eq!(node.ask(), Verdict::Forward, "{expression}");
        assert_eq!(node.ask(), Verdict::Forward, "{expression}, of a known passport");
    }
    let shut = node(&["org_ua"], vec![at_node("node.region == 'us-1'")]);
    assert_eq!(denying_check(&shut.ask()), Some("at-node"));
    let reply: Value = serde_json::from_str(&shut.host.replied().unwrap().body).unwrap();
    assert_eq!(reply["revision"], shut.recheck.revision());
    let told = shut.recheck.explain_as(&shut.host, &"org_ua".parse().unwrap()).unwrap();
    assert_eq!(told[0].result, CheckResult::Failed);
}

#[test]
fn a_tenant_that_the_nodes_table_does_not_know_is_not_served_without_its_checks() {
    let node = node(&["org_dl"], Vec::new());
    assert_eq!(node.ask(), Verdict::Denied(Problem::WrongDataPlane.into()));
}

#[test]
fn a_problem_that_is_no_checks_names_no_check() {
    assert_eq!(Cause::from(Problem::RateLimited).check(), None);
    let deployment = Deployment::new();
    let worker = worker(&deployment, Vec::new());
    let expired = es256(&deployment.ua, serde_json::Map::new());
    let _ = worker.ask_with(&expired);
    let body: Value = serde_json::from_str(&worker.host.replied().unwrap().body).unwrap();
    assert_eq!(body.get("check"), None);
    assert_eq!(body["revision"], worker.gate.revision());
}
