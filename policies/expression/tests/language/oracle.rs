//! The `cel` crate's interpreter as an oracle: random well-typed expressions over random values give
//! the same here and there, or fail in both.
//!
//! What is left out, and why:
//! * `string()` of doubles: the oracle writes large ones without an exponent, Go and this crate with;
//! * ints beyond 2^53 beside doubles: the oracle rounds the int, this crate compares what both stand
//!   for (cel-spec, "Numbers");
//! * timestamps and durations as results: they are compared through order and their parts;
//! * `timestamp()` and `duration()` of text: other parsers, with table tests of their own here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use expression::{Budget, Environment, EvaluationError, Type, Value, Variable, Variables, compile};
use proptest::prelude::*;

/// What variables hold, for both.
#[derive(Debug, Clone)]
enum Data {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(String),
    List(Vec<Data>),
    Map(BTreeMap<String, Data>),
}

impl<'a> From<&'a Data> for Value<'a> {
    fn from(data: &'a Data) -> Self {
        match data {
            Data::Bool(value) => Value::Bool(*value),
            Data::Int(value) => Value::Int(*value),
            Data::Uint(value) => Value::Uint(*value),
            Data::Double(value) => Value::Double(*value),
            Data::String(text) => Value::from(text),
            Data::List(elements) => Value::list(elements),
            Data::Map(entries) => Value::map(entries),
        }
    }
}

impl From<&Data> for cel::Value {
    fn from(data: &Data) -> Self {
        match data {
            Data::Bool(value) => (*value).into(),
            Data::Int(value) => (*value).into(),
            Data::Uint(value) => (*value).into(),
            Data::Double(value) => (*value).into(),
            Data::String(text) => text.as_str().into(),
            Data::List(elements) => {
                elements.iter().map(cel::Value::from).collect::<Vec<cel::Value>>().into()
            }
            Data::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| (key.clone(), value.into()));
                entries.collect::<HashMap<String, cel::Value>>().into()
            }
        }
    }
}

struct Held(Vec<(&'static str, Data)>);

impl Variables for Held {
    fn get(&self, path: &str) -> Option<Value<'_>> {
        self.0.iter().find(|(name, _)| *name == path).map(|(_, data)| Value::from(data))
    }
}

fn environment() -> Environment {
    let variable = |path: &str, ty: Type| Variable::new(path, ty, "").max_bytes(64).max_entries(4);
    Environment::new()
        .with(variable("b", Type::Bool))
        .with(variable("i", Type::Int))
        .with(variable("j", Type::Int))
        .with(variable("u", Type::Uint))
        .with(variable("d", Type::Double))
        .with(variable("s", Type::String))
        .with(variable("l", Type::list(Type::Int)))
        .with(variable("n", Type::list(Type::String)))
        .with(variable("m", Type::map(Type::Int)))
        .with(variable("c", Type::map(Type::Dyn)))
}

fn held() -> impl Strategy<Value = Held> {
    let int = || {
        prop_oneof![
            -3..4_i64,
            any::<i64>(),
            Just(i64::MAX),
            Just(i64::MIN),
            Just(1_700_000_000_i64)
        ]
    };
    let uint = prop_oneof![0..4_u64, any::<u64>()];
    let double = prop_oneof![(-3..4_i64).prop_map(|it| it as f64), any::<f64>(), -1e3..1e3_f64];
    let text = || "[a-cA-C0-9ü ,]{0,6}";
    (
        (any::<bool>(), int(), int(), uint, double, text()),
        prop::collection::vec(int(), 0..4),
        prop::collection::vec(text(), 0..4),
        prop::collection::btree_map("[abk]", int(), 0..3),
        (int(), text(), any::<bool>(), prop::collection::vec(int(), 0..3)),
    )
        .prop_map(|((b, i, j, u, d, s), l, n, m, (ci, cs, cb, cl))| {
            let ints = |values: Vec<i64>| Data::List(values.into_iter().map(Data::Int).collect());
            let claims = BTreeMap::from([
                ("i".to_owned(), Data::Int(ci)),
                ("s".to_owned(), Data::String(cs)),
                ("b".to_owned(), Data::Bool(cb)),
                ("l".to_owned(), ints(cl)),
            ]);
            Held(vec![
                ("b", Data::Bool(b)),
                ("i", Data::Int(i)),
                ("j", Data::Int(j)),
                ("u", Data::Uint(u)),
                ("d", Data::Double(d)),
                ("s", Data::String(s)),
                ("l", ints(l)),
                ("n", Data::List(n.into_iter().map(Data::String).collect())),
                ("m", Data::Map(m.into_iter().map(|(key, it)| (key, Data::Int(it))).collect())),
                ("c", Data::Map(claims)),
            ])
        })
}

#[derive(Debug, Clone, Copy)]
enum Of {
    Bool,
    Int,
    Uint,
    Double,
    String,
    Ints,
    Strings,
    Timestamp,
    Duration,
    Dyn,
    SmallInt,
}

/// Writes well-typed expressions, choosing by bytes; without bytes left, the simplest.
struct Writer<'c> {
    choices: std::slice::Iter<'c, u8>,
    /// Names of the elements of macros around that are ints.
    locals: Vec<String>,
}

impl Writer<'_> {
    fn pick<'t>(&mut self, among: &[&'t str]) -> &'t str {
        let choice = self.choices.next().copied().unwrap_or(0);
        among[usize::from(choice) % among.len()]
    }

    /// Fills a pattern in which `B I U D S L N T R C K` are expressions of those types, `X` opens a
    /// macro's body that is an int and `Y` one that is a bool.
    fn fill(&mut self, pattern: &str, depth: usize) -> String {
        let mut out = String::new();
        let is_letter = |at: Option<usize>| {
            at.and_then(|at| pattern.as_bytes().get(at)).is_some_and(u8::is_ascii_alphabetic)
        };
        for (at, character) in pattern.char_indices() {
            if is_letter(at.checked_sub(1)) || is_letter(Some(at + 1)) {
                out.push(character);
                continue;
            }
            let of = match character {
                'B' => Of::Bool,
                'I' => Of::Int,
                'U' => Of::Uint,
                'D' => Of::Double,
                'S' => Of::String,
                'L' => Of::Ints,
                'N' => Of::Strings,
                'T' => Of::Timestamp,
                'R' => Of::Duration,
                'C' => Of::Dyn,
                'K' => Of::SmallInt,
                'X' | 'Y' => {
                    let name = format!("x{}", self.locals.len());
                    self.locals.push(name.clone());
                    let of = if character == 'X' { Of::Int } else { Of::Bool };
                    out += &format!("{name}, {}", self.write(of, depth - 1));
                    self.locals.pop();
                    continue;
                }
                other => {
                    out.push(other);
                    continue;
                }
            };
            out += &self.write(of, depth - 1);
        }
        out
    }

    fn write(&mut self, of: Of, depth: usize) -> String {
        let simple = depth == 0 || self.choices.as_slice().is_empty();
        let pattern = if simple { self.pick(leaves(of)) } else { self.pick(patterns(of)) };
        if pattern == "local" {
            return self.locals.last().cloned().unwrap_or_else(|| "i".to_owned());
        }
        self.fill(pattern, depth.max(1))
    }
}

fn leaves(of: Of) -> &'static [&'static str] {
    match of {
        Of::Bool => &["true", "false", "b"],
        Of::Int => &[
            "local",
            "i",
            "j",
            "0",
            "1",
            "-1",
            "2",
            "7",
            "9223372036854775807",
            "-9223372036854775808",
        ],
        Of::Uint => &["u", "0u", "1u", "3u", "18446744073709551615u"],
        Of::Double => &["d", "0.0", "1.0", "-2.5", "1e300", "9223372036854775808.0"],
        Of::String => &["s", "''", "'a'", "'ü'", "'1'", "'true'", "'abcabc'"],
        Of::Ints => &["l", "[]", "[1, 2, 3]", "[0]"],
        Of::Strings => &["n", "['a', 'b']", "[s]"],
        Of::Timestamp => &["timestamp(0)", "timestamp(1700000000)", "timestamp(i)"],
        Of::Duration => {
            &["duration('0s')", "duration('90m')", "duration('-1.5s')", "duration('1ms')"]
        }
        Of::Dyn => &["c.i", "c.s", "c.b", "c.l", "c.none"],
        Of::SmallInt => &["0", "1", "2", "7"],
    }
}

fn patterns(of: Of) -> &'static [&'static str] {
    match of {
        Of::Bool => &[
            "(B && B)",
            "(B || B)",
            "!B",
            "(B ? B : B)",
            "(I == I)",
            "(I != I)",
            "(I < I)",
            "(I <= I)",
            "(I > U)",
            "(K >= D)",
            "(uint(K) < D)",
            "(U == U)",
            "(D == D)",
            "(D < D)",
            "(D <= K)",
            "(S == S)",
            "(S < S)",
            "(S >= S)",
            "(B == B)",
            "(L == L)",
            "(N == N)",
            "(N != N)",
            "S.contains(S)",
            "S.startsWith(S)",
            "S.endsWith(S)",
            "(I in L)",
            "(S in N)",
            "(S in m)",
            "L.all(Y)",
            "L.exists(Y)",
            "L.exists_one(Y)",
            "has(c.i)",
            "has(c.none)",
            "has(m.a)",
            "bool(S)",
            "S.matches('^[a-c]+')",
            "S.matches('b|ü')",
            "(T < T)",
            "(T == T)",
            "(T >= T)",
            "(R < R)",
            "(R == R)",
            "(C == I)",
            "(C == S)",
            "(C != C)",
            "(C && B)",
            "(B || C)",
            "(C < I)",
            "(C >= S)",
            "(C in L)",
            "(I in c.l)",
            "({'k': I} == {'k': I})",
            "([[I]] == [L])",
            "(dyn(K) == D)",
            "(dyn(U) == I)",
            "(type(C) == int)",
            "([dyn(K), S] == [D, S])",
            "c.l.exists(Y)",
            "(null == C)",
        ],
        Of::Int => &[
            "(I + I)",
            "(I - I)",
            "(I * I)",
            "(I / I)",
            "(I % I)",
            "-(I)",
            "(B ? I : I)",
            "size(S)",
            "L.size()",
            "size(N)",
            "size(m)",
            "int(D)",
            "int(U)",
            "int(S)",
            "int(T)",
            "L[I]",
            "m[S]",
            "m.a",
            "S.indexOf(S)",
            "T.getFullYear()",
            "T.getMonth()",
            "T.getDate()",
            "T.getDayOfMonth()",
            "T.getDayOfWeek()",
            "T.getDayOfYear()",
            "T.getHours()",
            "T.getMinutes()",
            "T.getSeconds()",
            "T.getMilliseconds()",
            "R.getHours()",
            "R.getMinutes()",
            "R.getSeconds()",
            "(C + I)",
            "(I - C)",
            "{1: I, 2: I}[I]",
            "{S: I, 'k': I}[S]",
            "{'k': I}.k",
            "int(C)",
            "size(C)",
        ],
        Of::Uint => &[
            "(U + U)",
            "(U - U)",
            "(U * U)",
            "(U / U)",
            "(U % U)",
            "uint(I)",
            "uint(D)",
            "(B ? U : U)",
        ],
        Of::Double => &[
            "(D + D)",
            "(D - D)",
            "(D * D)",
            "(D / D)",
            "-(D)",
            "double(I)",
            "double(U)",
            "(B ? D : D)",
        ],
        Of::String => &[
            "(S + S)",
            "(B ? S : S)",
            "string(I)",
            "string(U)",
            "string(B)",
            "string(S)",
            "N[I]",
            "S.lowerAscii()",
            "S.upperAscii()",
            "S.trim()",
            "S.substring(I)",
            "S.substring(I, I)",
            "N.join()",
            "N.join(S)",
            "S.split(S)[I]",
            "string(bytes(S))",
            "(C + S)",
        ],
        Of::Ints => &[
            "[I, I]",
            "(L + L)",
            "L.map(X)",
            "L.filter(Y)",
            "(B ? L : L)",
            "[[I], L][I]",
            "L.map(X).filter(Y)",
        ],
        Of::Strings => &["[S, S]", "(N + N)", "S.split(',')", "S.split(S)", "(B ? N : N)"],
        Of::Timestamp => &["timestamp(I)", "(T + R)", "(T - R)", "(B ? T : T)"],
        Of::Duration => &["(T - T)", "(R + R)", "(R - R)", "(B ? R : R)"],
        Of::SmallInt => &["size(S)", "L.size()", "(K + K)", "(K * K)"],
        Of::Dyn => &["c[S]", "(B ? C : C)", "dyn(I)", "dyn(S)", "(C + C)", "c.l[I]"],
    }
}

fn source() -> impl Strategy<Value = String> {
    let root = prop_oneof![
        4 => Just(Of::Bool), 2 => Just(Of::Int), 1 => Just(Of::Uint), 1 => Just(Of::Double),
        1 => Just(Of::String), 1 => Just(Of::Ints), 1 => Just(Of::Strings),
    ];
    (root, prop::collection::vec(any::<u8>(), 1..40), 1..6_usize).prop_map(|(of, bytes, depth)| {
        Writer { choices: bytes.iter(), locals: Vec::new() }.write(of, depth)
    })
}

/// Whether both stand for the same.
fn same(ours: &Value<'_>, theirs: &cel::Value) -> bool {
    match (ours, theirs) {
        (Value::Null, cel::Value::Null) => true,
        (Value::Bool(a), cel::Value::Bool(b)) => a == b,
        (Value::Int(a), cel::Value::Int(b)) => a == b,
        (Value::Uint(a), cel::Value::UInt(b)) => a == b,
        (Value::Double(a), cel::Value::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
        (Value::String(a), cel::Value::String(b)) => **a == ***b,
        (Value::List(a), cel::Value::List(b)) => {
            a.len() == b.len()
                && b.iter().enumerate().all(|(at, b)| a.get(at).is_some_and(|a| same(&a, b)))
        }
        _ => false,
    }
}

/// Where the oracle is known to give something else, and why this crate stays with what it gives.
fn is_known_difference(theirs: &Result<cel::Value, cel::ExecutionError>) -> bool {
    match theirs {
        // It has no order for NaN; by IEEE 754, and so in cel-go, nothing is before or after it.
        Err(cel::ExecutionError::NoSuchOverload(error)) => {
            let numbers = ["int", "uint", "double"];
            ["_<_", "_<=_", "_>_", "_>=_"].contains(&error.function())
                && error.argument_types().iter().all(|ty| numbers.contains(&ty.as_str()))
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn random_expressions_give_what_the_oracle_gives(source in source(), held in held()) {
        let compiled = match compile(&source, &environment(), Type::Dyn) {
            Ok(compiled) => compiled,
            // The writer knows types, not costs.
            Err(mistakes) if mistakes.iter().all(|it| it.message.contains("units of work")) => {
                return Err(TestCaseError::reject("too dear"));
            }
            Err(mistakes) => return Err(TestCaseError::fail(format!("{source}: {mistakes:?}"))),
        };
        let prepared = compiled.program.prepare().unwrap();
        let mut budget = Budget::new(compiled.cost);
        let ours = prepared.program().unwrap().evaluate(&held, &mut budget);
        let spent = matches!(ours, Err(EvaluationError::BudgetSpent { .. } | EvaluationError::Malformed { .. }));
        prop_assert!(!spent, "{} {:?}", source, ours);

        let mut env = cel::Env::stdlib();
        env.add_extension(cel::extensions::strings).unwrap();
        let program = env.compile(&source).unwrap();
        let mut context = cel::Context::with_env(Arc::new(env));
        for (name, data) in &held.0 {
            context.add_variable_from_value(*name, cel::Value::from(data));
        }
        let theirs = program.execute(&context);

        let agree = match (&ours, &theirs) {
            (Ok(ours), Ok(theirs)) => same(ours, theirs),
            (Err(_), Err(_)) => true,
            _ => false,
        };
        prop_assert!(
            agree || is_known_difference(&theirs),
            "{}\nours: {:?}\ntheirs: {:?}\nover {:?}", source, ours, theirs, held.0
        );
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
