//! Costs: known before, and never more than was said.

use expression::{Budget, EvaluationError, Type, Value, compile};
use serde_json::json;

use crate::support::{Host, environment, outcome_over};

#[test]
fn a_spent_budget_is_an_error_and_no_operator_absorbs_it() {
    for source in [
        "true || claims.roles.exists(r, r == 'x')",
        "claims.roles.exists(r, r == 'x') || true",
        "claims.roles.exists(r, r == 'admin')",
        "false && claims.missing",
        "claims.roles.all(r, r == 'x') && false",
        "true",
    ] {
        let compiled = compile(source, &environment(), Type::Bool).unwrap();
        let (host, mut enough) = (Host::default(), Budget::new(compiled.cost));
        let expected = compiled.program.evaluate_bool(&host, &mut enough);
        for units in 0..enough.spent() {
            let mut budget = Budget::new(units);
            let found = compiled.program.evaluate_bool(&host, &mut budget);
            assert_eq!(found, Err(EvaluationError::BudgetSpent { units }), "{source}");
            assert_eq!(budget.left(), 0);
        }
        let mut exact = Budget::new(enough.spent());
        assert_eq!(compiled.program.evaluate_bool(&host, &mut exact), expected, "{source}");
    }
}

#[test]
fn one_budget_serves_several_programs_until_it_is_spent() {
    let compiled = compile("tenant.id == 'org_dl'", &environment(), Type::Bool).unwrap();
    let mut budget = Budget::new(100);
    let mut passed = 0;
    while compiled.program.evaluate_bool(&Host::default(), &mut budget).is_ok() {
        passed += 1;
    }
    assert_eq!((passed, budget.spent()), (1, 100));
}

/// Claims that are as large as they were declared to be, in several shapes.
fn large_claims() -> Vec<serde_json::Value> {
    let bytes = 8192 - 64;
    vec![
        json!({"roles": vec![0; bytes / 2]}),
        json!({"roles": vec![""; bytes / 3]}),
        json!({"roles": vec!["x".repeat(40); bytes / 43]}),
        json!({"roles": ["x".repeat(bytes)]}),
        json!({"roles": vec![json!([]); bytes / 3]}),
        json!({"roles": vec![json!({"a": "b"}); bytes / 10], "sub": {"a": "b"}}),
        json!({"roles": "x".repeat(bytes)}),
        json!({"roles": "ü,".repeat(bytes / 4)}),
        json!({"roles": (0..bytes / 10).map(|at| (format!("{at:04}"), json!(1))).collect::<serde_json::Map<_, _>>()}),
    ]
}

#[test]
fn no_input_within_its_declared_size_costs_more_than_was_said() {
    let sources = [
        "claims.roles.exists(r, r == 'admin')",
        "claims.roles.all(r, r != 'admin' && r != 'x')",
        "claims.roles.exists_one(r, r == 'xx')",
        "claims.roles.map(r, r) == claims.roles",
        "claims.roles.filter(r, r != 1) == claims.roles",
        "claims.roles.map(r, [r, r]) == []",
        "claims.roles.map(r, {'k': r}) == [{'k': 1}]",
        "claims.roles.map(r, {r: 1}) == []",
        "claims.roles.exists(r, r.a == 'c')",
        "claims.roles == claims.roles",
        "claims.sub in claims.roles",
        "{'a': 'c'} in claims.roles",
        "'admin' in claims.roles",
        "claims.roles.exists(r, r.contains('y'))",
        "claims.roles.exists(r, r.matches('^y+$'))",
        "claims.roles.split(',').exists(r, r == 'y')",
        "claims.roles.split('').join('-') == ''",
        "claims.roles.split('').map(c, c + c).join() == ''",
        "(claims.roles + claims.roles).contains('y')",
        "(claims.roles + claims.roles).exists(r, r == 'y')",
        "claims.roles.upperAscii().lowerAscii().trim().substring(1).indexOf('q') == 1",
        "claims.roles.exists(r, size(r) == 77)",
        "size(claims.roles) == 1",
        "string(claims.roles) == 'x' && bytes(claims.roles) == b'x'",
        "claims.roles.exists(r, r.exists(x, x == 'q'))",
        "claims.roles.all(k, claims.roles[k] == 1)",
        "claims.roles < claims.roles",
        "int(claims.roles) == 1 || double(claims.roles) == 1.0 || timestamp(claims.roles) < now",
    ];
    for source in sources {
        if let Err(mistakes) = compile(source, &environment(), Type::Dyn) {
            panic!("{source}: {}", mistakes[0]);
        }
        for claims in large_claims() {
            assert!(claims.to_string().len() <= 8192, "the host keeps its word");
            // Asserts that what was spent is within what was said.
            outcome_over(source, &Host::default().with("claims", claims));
        }
    }
}

#[test]
fn what_a_host_gives_beyond_its_word_spends_the_budget() {
    let source = "claims.roles.exists(r, r == 'admin')";
    let compiled = compile(source, &environment(), Type::Bool).unwrap();
    let host = Host::default().with("claims", json!({"roles": vec!["nobody"; 100_000]}));
    let error = compiled.program.evaluate_bool(&host, &mut Budget::new(compiled.cost));
    assert_eq!(error, Err(EvaluationError::BudgetSpent { units: compiled.cost }));
}

#[test]
fn the_same_source_gives_the_same_bytes() {
    let source = "claims.roles.exists(r, r in ['a', 'b', 'a']) && tenant.id != 'a' && request.path.matches('a+')";
    let bytes = |source: &str| {
        let program = compile(source, &environment(), Type::Bool).unwrap().program;
        rkyv::to_bytes::<rkyv::rancor::Error>(&program).unwrap().to_vec()
    };
    assert_eq!(bytes(source), bytes(source));
    assert_eq!(bytes(source), bytes(&format!("  {source} // the same")));
    assert_ne!(bytes(source), bytes("true"));
}

#[test]
fn literals_cost_next_to_nothing() {
    let compiled = compile("true", &environment(), Type::Bool).unwrap();
    assert!(compiled.cost < 100, "{}", compiled.cost);
    let list: Vec<String> = (0..500).map(|at| at.to_string()).collect();
    let source = format!("request.content_length in [{}]", list.join(", "));
    let compiled = compile(&source, &environment(), Type::Bool).unwrap();
    assert!(compiled.cost < 10_000, "{}", compiled.cost);
    let prepared = compiled.program.prepare().unwrap();
    let host = Host::default();
    let value = prepared.program().unwrap().evaluate(&host, &mut Budget::default());
    assert!(matches!(value, Ok(Value::Bool(false))));
}
