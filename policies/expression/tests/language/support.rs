//! Variables to write expressions over, and what they hold.

use std::fmt::Write;

use expression::{
    Budget, Environment, EvaluationError, Mistake, Type, Value, Variable, Variables, compile,
};
use serde_json::{Value as Json, json};

/// 2026-11-21T08:30:15.250Z, a Saturday.
pub const NOW: i128 = 1_795_249_815_250_000_000;

/// Variables as a gateway would have them.
pub fn environment() -> Environment {
    Environment::new()
        .with(Variable::new("now", Type::Timestamp, "The time."))
        .with(Variable::new("request.method", Type::String, "The method.").max_bytes(16))
        .with(Variable::new("request.path", Type::String, "The path.").max_bytes(2048))
        .with(Variable::new("request.id", Type::String, "The id.").max_bytes(64).optional())
        .with(Variable::new("request.content_length", Type::Int, "Bytes of the body, or -1."))
        .with(
            Variable::new("request.headers", Type::map(Type::String), "By lower-case name.")
                .max_bytes(8192)
                .max_entries(64),
        )
        .with(Variable::new("claims", Type::map(Type::Dyn), "The token's.").max_bytes(8192))
        .with(Variable::new("tenant.id", Type::String, "The id.").max_bytes(64))
        .with(Variable::new("tenant.labels", Type::map(Type::String), "Labels.").max_bytes(1024))
        .with(Variable::new("tenant.rank", Type::Uint, "A number."))
        .with(Variable::new("tier.share", Type::Double, "A part of all."))
        .with(
            Variable::new("tier.regions", Type::list(Type::String), "Regions.")
                .max_bytes(256)
                .max_entries(8),
        )
        .with(Variable::new("tier.ports", Type::list(Type::Int), "Ports.").max_bytes(64))
        .with(Variable::new("body", Type::String, "Of any size."))
        .with(Variable::new("parts", Type::list(Type::String), "Of any number."))
}

/// Values by path.
pub struct Host(pub Vec<(&'static str, Json)>);

impl Host {
    pub fn with(mut self, path: &'static str, value: Json) -> Self {
        self.0.retain(|(other, _)| *other != path);
        self.0.push((path, value));
        self
    }
}

impl Default for Host {
    fn default() -> Self {
        Self(vec![
            ("request.method", json!("POST")),
            ("request.path", json!("/v2/models/air-time/infer")),
            ("request.content_length", json!(512)),
            ("request.headers", json!({"user-agent": "curl/8", "x-team": "Ops"})),
            (
                "claims",
                json!({
                    "iat": 1_795_249_000, "sub": "ann", "roles": ["admin", "billing"],
                    "score": 1.5, "big": 18_446_744_073_709_551_615_u64, "nothing": null,
                    "org": {"id": "org_dl", "plan": "gold"}, "verified": true, "day": "2026-11-20T00:00:00Z"
                }),
            ),
            ("tenant.id", json!("org_dl")),
            ("tenant.labels", json!({"regulated": "true", "region": "eu"})),
            ("tenant.rank", json!(7)),
            ("tier.share", json!(0.25)),
            ("tier.regions", json!(["eu", "us"])),
            ("tier.ports", json!([80, 443])),
            ("body", json!("body")),
            ("parts", json!(["a", "b"])),
        ])
    }
}

impl Variables for Host {
    fn get(&self, path: &str) -> Option<Value<'_>> {
        if path == "now" {
            return Some(Value::Timestamp(NOW));
        }
        let value = Value::from(&self.0.iter().find(|(name, _)| *name == path)?.1);
        match (path, value) {
            ("tenant.rank", Value::Int(rank)) => Some(Value::Uint(rank as u64)),
            (_, value) => Some(value),
        }
    }
}

/// What `source` gives over `host`, written out with its type, or why it gives nothing.
pub fn outcome_over(source: &str, host: &Host) -> String {
    let compiled = match compile(source, &environment(), Type::Dyn) {
        Ok(compiled) => compiled,
        Err(mistakes) => panic!("{source}\n{}", written(source, &mistakes)),
    };
    let prepared = compiled.program.prepare().expect("an archive");
    let program = prepared.program().expect("the archive is its own");
    let mut budget = Budget::default();
    let outcome = match program.evaluate(host, &mut budget) {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("error: {error}"),
    };
    assert!(budget.spent() <= compiled.cost, "{source}: {} > {}", budget.spent(), compiled.cost);
    outcome
}

pub fn outcome(source: &str) -> String {
    outcome_over(source, &Host::default())
}

/// Asserts that every one of `sources` is true.
pub fn hold(sources: &[&str]) {
    for source in sources {
        assert_eq!(outcome(source), "Bool(true)", "{source}");
    }
}

/// Asserts what each of `cases` gives.
pub fn give(cases: &[(&str, &str)]) {
    for (source, expected) in cases {
        assert_eq!(outcome(source), *expected, "{source}");
    }
}

/// Whether `source` is true over the host, by the way that owned programs go.
pub fn truth(source: &str) -> Result<bool, EvaluationError> {
    let compiled = compile(source, &environment(), Type::Bool).expect("it compiles");
    compiled.program.evaluate_bool(&Host::default(), &mut Budget::default())
}

/// The mistakes in `source`, each below the part that it is about.
pub fn mistakes(source: &str) -> String {
    match compile(source, &environment(), Type::Bool) {
        Ok(compiled) => format!("none; at most {} units\n", compiled.cost),
        Err(mistakes) => written(source, &mistakes),
    }
}

pub fn written(source: &str, mistakes: &[Mistake]) -> String {
    let mut out = format!("{source}\n");
    for mistake in mistakes {
        let before = source[..mistake.offset].chars().count();
        let marked = source[mistake.offset..mistake.offset + mistake.length].chars().count();
        let _ = writeln!(out, "{}{} {}", " ".repeat(before), "^".repeat(marked), mistake.message);
    }
    out
}
