//! What variables lend and what is asked of them.

use std::cell::RefCell;
use std::collections::BTreeMap;

use expression::{Budget, Environment, Type, Value, Variable, Variables, compile};
use serde_json::json;

use crate::support::{Host, environment, outcome_over};

/// Notes what is asked.
struct Asked<'h>(&'h Host, RefCell<Vec<String>>);

impl Variables for Asked<'_> {
    fn get(&self, path: &str) -> Option<Value<'_>> {
        self.1.borrow_mut().push(path.to_owned());
        self.0.get(path)
    }
}

#[test]
fn only_what_a_program_reads_is_asked_for_and_only_when_it_comes_to_it() {
    let source = "request.method == 'GET' && claims.sub == 'ann' || tenant.labels.region == 'eu'";
    let compiled = compile(source, &environment(), Type::Bool).unwrap();
    let paths: Vec<&str> = compiled.program.paths().collect();
    assert_eq!(paths, ["claims", "request.method", "tenant.labels"]);
    let prepared = compiled.program.prepare().unwrap();
    let program = prepared.program().unwrap();
    assert_eq!(program.paths().collect::<Vec<_>>(), paths);
    assert_eq!(program.cost(), compiled.cost);
    let host = Host::default();
    let asked = Asked(&host, RefCell::default());
    assert_eq!(program.evaluate_bool(&asked, &mut Budget::default()), Ok(true));
    assert_eq!(asked.1.into_inner(), ["request.method", "tenant.labels"]);
}

#[test]
fn a_variable_without_a_value_is_an_error() {
    struct Nothing;
    impl Variables for Nothing {
        fn get(&self, _: &str) -> Option<Value<'_>> {
            None
        }
    }
    let compiled = compile("tenant.id == 'x'", &environment(), Type::Bool).unwrap();
    let error = compiled.program.evaluate_bool(&Nothing, &mut Budget::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected a value of `tenant.id`, found none; test it with has() first"
    );
}

#[test]
fn a_value_of_another_type_than_declared_is_an_error() {
    let host = Host::default().with("tenant.id", json!(7));
    assert_eq!(
        outcome_over("tenant.id.startsWith('o')", &host),
        "error: expected a string for startsWith(), found an int"
    );
    assert_eq!(outcome_over("tenant.id == 'o'", &host), "Bool(false)");
}

/// A host that lends Rust's own collections, archived ones among them.
struct Own {
    labels: BTreeMap<String, String>,
    pairs: Vec<(String, String)>,
    archived: rkyv::util::AlignedVec,
    names: Vec<String>,
}

type ArchivedPairs = rkyv::Archived<Vec<(String, String)>>;

impl Variables for Own {
    fn get(&self, path: &str) -> Option<Value<'_>> {
        match path {
            "labels" => Some(Value::map(&self.labels)),
            "pairs" => Some(Value::map(&self.pairs)),
            "archived" => {
                let pairs = rkyv::access::<ArchivedPairs, rkyv::rancor::Error>(&self.archived);
                pairs.ok().map(|pairs| Value::map(pairs))
            }
            "names" => Some(Value::list(&self.names)),
            _ => None,
        }
    }
}

#[test]
fn collections_are_lent_as_their_owners_keep_them() {
    let pairs = vec![("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())];
    let own = Own {
        labels: pairs.iter().cloned().collect(),
        archived: rkyv::to_bytes::<rkyv::rancor::Error>(&pairs).unwrap(),
        names: vec!["a".to_owned(), "b".to_owned()],
        pairs,
    };
    let map = |path: &str| Variable::new(path, Type::map(Type::String), "").max_bytes(64);
    let environment = Environment::new()
        .with(map("labels"))
        .with(map("pairs"))
        .with(map("archived"))
        .with(Variable::new("names", Type::list(Type::String), "").max_bytes(64));
    for source in [
        "labels == pairs && pairs == archived && archived == labels",
        "labels.all(key, key in names) && pairs.all(key, key in names) && archived.all(key, key in names)",
        "labels.a == '1' && pairs.b == '2' && archived['b'] == '2' && !has(archived.c)",
        "size(labels) == 2 && size(pairs) == 2 && size(archived) == 2 && size(names) == 2",
        "names.map(name, archived[name]) == ['1', '2']",
    ] {
        let compiled = compile(source, &environment, Type::Bool).unwrap();
        let truth = compiled.program.evaluate_bool(&own, &mut Budget::default());
        assert_eq!(truth, Ok(true), "{source}");
    }
}

#[test]
fn what_is_lent_is_borrowed_by_what_comes_out() {
    let host = Host::default();
    for source in ["claims.sub", "request.path.split('/')[3]", "[tenant.id][0].trim()"] {
        let compiled = compile(source, &environment(), Type::Dyn).unwrap();
        let prepared = compiled.program.prepare().unwrap();
        let value = prepared.program().unwrap().evaluate(&host, &mut Budget::default());
        let Ok(Value::String(text)) = value else { panic!("{source}: {value:?}") };
        assert!(matches!(text, std::borrow::Cow::Borrowed(_)), "{source}");
    }
}
