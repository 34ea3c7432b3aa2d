//! `&&`, `||`, `!`, `?:`, equality and order.

use expression::EvaluationError;

use crate::support::{give, hold, truth};

#[test]
fn what_decides_a_logical_operator_absorbs_errors_on_its_other_side() {
    hold(&[
        "!(false && claims.missing == 1)",
        "!(claims.missing == 1 && false)",
        "true || claims.missing == 1",
        "claims.missing == 1 || true",
        "(1 / 0 == 0 && false) == false",
    ]);
}

#[test]
fn an_error_that_nothing_absorbs_is_no_truth() {
    for source in [
        "claims.missing == 1",
        "!(claims.missing == 1)",
        "claims.missing == 1 && true",
        "claims.missing == 1 || false",
        "true && claims.sub",
        "false || claims.sub",
        "claims.missing == 1 ? true : true",
        "claims.sub ? true : true",
        "claims.sub",
        "1 / 0 == 0 || 1 / 0 != 0",
    ] {
        assert!(truth(source).is_err(), "{source}");
    }
}

#[test]
fn only_the_chosen_side_of_a_conditional_is_evaluated() {
    hold(&["true ? true : claims.missing", "false ? claims.missing : true"]);
    give(&[("1 < 2 ? 'a' : 'b'", "String(\"a\")")]);
}

#[test]
fn numbers_are_equal_by_what_they_stand_for() {
    hold(&[
        "claims.iat == 1795249000.0",
        "claims.score == 1.5",
        "claims.iat == 1795249000u",
        "dyn(1) == 1.0 && dyn(1u) == 1",
        "dyn(9007199254740993) != 9007199254740992.0",
        "claims.big == 18446744073709551615u",
        "claims.big != 18446744073709551616.0",
        "0.0 == -0.0",
        "!(0.0 / 0.0 == 0.0 / 0.0)",
        "0.0 / 0.0 != 0.0 / 0.0",
    ]);
}

#[test]
fn values_of_other_types_are_unequal_and_have_no_order() {
    hold(&[
        "claims.sub != 1",
        "claims.nothing == null",
        "claims.sub != null",
        "dyn([1]) != {1: 1}",
        "type(claims.roles) == list && type(1) == int && type(claims.org) == map",
        "type(now) == google.protobuf.Timestamp && type(null) == null_type",
    ]);
    give(&[
        ("claims.sub < 1", "error: expected two strings for `<`, found an int"),
        (
            "claims.nothing < claims.nothing",
            "error: expected values that have an order for `<`, found null",
        ),
    ]);
}

#[test]
fn order_is_of_numbers_text_times_and_truths() {
    hold(&[
        "1 < 2 && 2 <= 2 && 3 > 2 && 3 >= 3",
        "1 < 1.5 && 2u > 1 && -1 < 0u",
        "claims.score < 2 && claims.big > 9223372036854775807",
        "'a' < 'b' && 'Z' < 'a' && 'a' < 'aa'",
        "b'a' < b'b'",
        "false < true",
        "timestamp(1) < timestamp(2)",
        "duration('1s') < duration('1m')",
        "!(0.0 / 0.0 < 1.0) && !(0.0 / 0.0 >= 1.0)",
    ]);
}

#[test]
fn lists_and_maps_are_equal_by_their_parts() {
    hold(&[
        "[1, 2] == [1, 2] && [1, 2] != [2, 1] && [1] != [1, 2]",
        "claims.roles == ['admin', 'billing']",
        "claims.org == {'id': 'org_dl', 'plan': 'gold'}",
        "{'plan': 'gold', 'id': 'org_dl'} == claims.org",
        "claims.org != {'id': 'org_dl'}",
        "tier.ports == [80, 443]",
        "{1: 'a'} == {1: 'a'} && {1: 'a'} != {2: 'a'}",
        "dyn([1, 2.0]) == [1.0, 2]",
    ]);
}

#[test]
fn a_program_that_gives_no_bool_is_no_truth() {
    let error = truth("dyn(1)").expect_err("1 is no bool");
    assert!(matches!(error, EvaluationError::WrongType { .. }), "{error}");
}
