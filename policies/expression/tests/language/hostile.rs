//! Sources and archives that nobody well-meaning wrote.

use expression::{ArchivedProgram, ArchivedTemplate, Budget, Type, compile, compile_template};
use proptest::prelude::*;
use rkyv::util::AlignedVec;

use crate::support::{Host, environment};

/// Sources that together use every kind of node.
const SOURCES: &[&str] = &[
    "request.method == 'GET' && claims.sub == 'ann' || !has(request.id)",
    "claims.roles.exists(r, r in ['admin', 'root']) ? request.path.matches('^/v[0-9]+') : false",
    "tier.regions.map(r, r != 'x', r + tenant.id).filter(r, size(r) > 2).join(',') == 'a'",
    "{'a': 1, tenant.id: 2}['a'] == 1 && now - timestamp(claims.iat) < duration('1h')",
    "[[1, 2], [tier.share]].all(l, l.exists_one(x, x == 1)) && type(1) == int",
    "request.path.split('/')[1].upperAscii().substring(0, 1) == 'V' && now.getHours('+01:00') < 24",
    "has(claims.org.id) && b'abc' < bytes(claims.sub) && 1u + uint(claims.iat) > 2u",
];

fn archive(source: &str) -> Vec<u8> {
    let program = compile(source, &environment(), Type::Bool).unwrap().program;
    rkyv::to_bytes::<rkyv::rancor::Error>(&program).unwrap().to_vec()
}

/// Evaluates `bytes`, where they are an archive at all; says whether they were.
fn evaluate(bytes: &[u8]) -> bool {
    let mut aligned: AlignedVec = AlignedVec::new();
    aligned.extend_from_slice(bytes);
    let Ok(program) = rkyv::access::<ArchivedProgram, rkyv::rancor::Error>(&aligned) else {
        return false;
    };
    let mut budget = Budget::new(200_000);
    let _ = program.evaluate(&Host::default(), &mut budget);
    let _ = program.paths().count();
    true
}

#[test]
fn every_byte_of_an_archive_may_be_any_other() {
    let mut well_formed = 0_usize;
    for source in SOURCES {
        let bytes = archive(source);
        assert!(evaluate(&bytes));
        for at in 0..bytes.len() {
            for flip in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
                let mut bytes = bytes.clone();
                bytes[at] ^= flip;
                well_formed += usize::from(evaluate(&bytes));
            }
        }
    }
    assert!(well_formed > 1000, "only {well_formed} got as far as being evaluated");
}

/// Text that is made of what expressions are made of.
fn almost_cel() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("request.method"),
        Just("claims"),
        Just("tenant.labels"),
        Just(".sub"),
        Just("now"),
        Just("["),
        Just("]"),
        Just("("),
        Just(")"),
        Just("{"),
        Just("}"),
        Just(","),
        Just(":"),
        Just("?"),
        Just("&&"),
        Just("||"),
        Just("!"),
        Just("=="),
        Just("<"),
        Just("in"),
        Just("+"),
        Just("-"),
        Just("*"),
        Just("/"),
        Just("%"),
        Just("'a'"),
        Just("\"ü\""),
        Just("r'\\'"),
        Just("b'\\x00'"),
        Just("'"),
        Just("\\"),
        Just("1"),
        Just("2u"),
        Just("1.5"),
        Just("0x"),
        Just("1e999"),
        Just("true"),
        Just("null"),
        Just(".all(x,"),
        Just(".map(y,"),
        Just("x"),
        Just("has("),
        Just(".matches('"),
        Just("size("),
        Just("timestamp("),
        Just("//"),
        Just("\n"),
        Just("."),
        Just("`"),
        Just("ü"),
        Just("\u{0}"),
        Just("package"),
        Just("."),
        Just("???"),
    ];
    prop::collection::vec(word, 0..24).prop_map(|words| words.join(""))
}

/// Compiles it; where that goes well, what it gives costs no more than was said.
fn try_source(source: &str) -> Result<(), TestCaseError> {
    match compile(source, &environment(), Type::Dyn) {
        Ok(compiled) => {
            let mut budget = Budget::new(compiled.cost);
            let prepared = compiled.program.prepare().unwrap();
            let host = Host::default();
            let result = prepared.program().unwrap().evaluate(&host, &mut budget);
            let spent = matches!(result, Err(expression::EvaluationError::BudgetSpent { .. }));
            prop_assert!(!spent, "{} spent all of {}", source, compiled.cost);
        }
        Err(mistakes) => {
            prop_assert!(!mistakes.is_empty());
            for mistake in mistakes {
                let end = mistake.offset + mistake.length;
                prop_assert!(source.get(mistake.offset..end).is_some(), "{source}: {mistake:?}");
                prop_assert!(!mistake.message.is_empty());
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_compiles_or_is_refused(source in "\\PC{0,80}") {
        try_source(&source)?;
        let _ = compile_template(&source, &environment());
    }

    #[test]
    fn any_words_compile_or_are_refused(source in almost_cel()) {
        try_source(&source)?;
        let _ = compile_template(&format!("a ${{{source}}} b ${{"), &environment());
    }

    #[test]
    fn a_source_with_a_hole_compiles_or_is_refused(
        source in prop::sample::select(SOURCES), from in 0..90_usize, length in 0..12_usize,
    ) {
        let kept = source.chars().take(from).chain(source.chars().skip(from + length));
        try_source(&kept.collect::<String>())?;
    }

    #[test]
    fn a_corrupted_archive_is_refused_or_evaluated_within_its_budget(
        source in prop::sample::select(SOURCES),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = archive(source);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        evaluate(&bytes);
    }

    #[test]
    fn random_bytes_are_refused_or_evaluated(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        evaluate(&bytes);
        let mut aligned: AlignedVec = AlignedVec::new();
        aligned.extend_from_slice(&bytes);
        if let Ok(template) = rkyv::access::<ArchivedTemplate, rkyv::rancor::Error>(&aligned) {
            template.render(&Host::default(), &mut Budget::new(10_000));
        }
    }
}
