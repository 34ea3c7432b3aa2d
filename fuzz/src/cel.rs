//! Expressions: as text, and as the archived programs that tables carry.

use expression::{
    ArchivedProgram, Budget, MAX_COST, Type, Value, Variables, compile, compile_template,
};
use policy_model::{spec::Point, variables::environment};
use rkyv::util::AlignedVec;
use serde_json::{Map, json};

const POINTS: [Point; 4] = [Point::Gate, Point::Recheck, Point::Sidecar, Point::Promotion];

/// Compiles a text as a check of each point and as a denial's message, and evaluates what
/// compiles.
///
/// # Panics
/// Where a program costs more than its compiler said, or a mistake lies outside of the text.
pub fn cel(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let known = Known::new();
    let mut accepted = false;
    for point in POINTS {
        let environment = environment(point);
        match compile(text, &environment, Type::Bool) {
            Ok(compiled) => {
                accepted = true;
                assert!(compiled.cost <= MAX_COST, "compiled above the highest cost");
                let mut budget = Budget::new(MAX_COST);
                let _ = compiled.program.evaluate_bool(&known, &mut budget);
                assert!(budget.spent() <= MAX_COST, "spent more than there was");
            }
            Err(mistakes) => assert!(!mistakes.is_empty(), "refused without a mistake"),
        }
        if let Ok(template) = compile_template(text, &environment) {
            let _ = template.render(&known, &mut Budget::default());
        }
    }
    accepted
}

/// Evaluates an archived program of any bytes, where it is one.
///
/// # Panics
/// Where it spends more than its budget.
pub fn program(bytes: &[u8]) -> bool {
    let mut archive: AlignedVec = AlignedVec::with_capacity(bytes.len());
    archive.extend_from_slice(bytes);
    let Ok(program) = rkyv::access::<ArchivedProgram, rkyv::rancor::Error>(&archive) else {
        return false;
    };
    let mut budget = Budget::new(MAX_COST / 16);
    let known = Known::new();
    let evaluated = program.evaluate(&known, &mut budget).is_ok();
    assert!(budget.spent() <= MAX_COST / 16, "spent more than there was");
    evaluated
}

/// A value for every name, of its type where it has one that is not text.
pub(crate) struct Known {
    claims: Map<String, serde_json::Value>,
    labels: Vec<(String, String)>,
    trained_on: Vec<String>,
}

impl Known {
    pub(crate) fn new() -> Self {
        let claims = json!({
            "iss": "https://login.example", "org_id": "org_fuzz", "iat": 1_780_000_000,
            "roles": ["reader", "writer"], "nested": { "deep": [1, 2.5, null, true] },
        });
        Self {
            claims: claims.as_object().cloned().unwrap_or_default(),
            labels: vec![("regulated".to_owned(), "yes".to_owned())],
            trained_on: vec!["org_fuzz".to_owned()],
        }
    }
}

impl Variables for Known {
    fn get(&self, path: &str) -> Option<Value<'_>> {
        Some(match path {
            "now" | "token.issued_at" | "token.expires_at" => Value::unix_seconds(1_780_000_000),
            "claims" => Value::map(&self.claims),
            "request.headers" => Value::map(&self.labels),
            "request.content_length" => Value::Int(12),
            "tier.requests_per_second" => Value::Double(100.0),
            "tier.burst" => Value::Int(7),
            "model.trained_on" => Value::list(&self.trained_on),
            path if path.ends_with(".labels") => Value::map(&self.labels),
            _ => Value::from("text-of-some-kind"),
        })
    }
}
