//! Text, its functions, and patterns.

use crate::support::{give, hold};

#[test]
fn text_is_searched() {
    hold(&[
        "request.path.startsWith('/v2/') && !request.path.startsWith('v2')",
        "request.path.endsWith('infer')",
        "request.path.contains('air-time')",
        "''.contains('') && 'abc'.contains('')",
        "'äbc'.indexOf('b') == 1 && 'abc'.indexOf('x') == -1 && 'abc'.indexOf('') == 0",
        "'abc' + 'def' == 'abcdef'",
        "claims.sub + '@' + claims.org.id == 'ann@org_dl'",
    ]);
}

#[test]
fn sizes_and_positions_count_code_points() {
    hold(&[
        "size('äö') == 2 && 'äö'.size() == 2 && size(b'\\xff\\xfe') == 2",
        "'äöü'.substring(1) == 'öü' && 'äöü'.substring(1, 2) == 'ö' && 'ä'.substring(1) == ''",
        "size([]) == 0 && size(claims.roles) == 2 && size(tenant.labels) == 2",
    ]);
    give(&[
        ("'abc'.substring(4)", "error: expected an index below 3, found 4"),
        ("'abc'.substring(-1)", "error: expected an index below 3, found -1"),
        ("'abc'.substring(2, 1)", "error: expected an index below 3, found 2"),
        (
            "size(claims.iat)",
            "error: expected a string, bytes, a list or a map for size(), found an int",
        ),
    ]);
}

#[test]
fn text_is_changed_and_taken_apart() {
    hold(&[
        "'AbcÄ'.lowerAscii() == 'abcÄ' && 'abcä'.upperAscii() == 'ABCä'",
        "' a b\\t'.trim() == 'a b'",
        "request.path.split('/') == ['', 'v2', 'models', 'air-time', 'infer']",
        "request.path.split('/')[3] == 'air-time'",
        "'abc'.split('') == ['a', 'b', 'c'] && ''.split(',') == ['']",
        "['a', 'b'].join() == 'ab' && ['a', 'b'].join('-') == 'a-b' && [].join('-') == ''",
        "(request.method + '-x').split('-')[0].lowerAscii() == 'post'",
        "claims.roles.join(',') == 'admin,billing'",
    ]);
}

#[test]
fn patterns_match_anywhere_unless_anchored() {
    hold(&[
        "request.path.matches('models/[a-z-]+/infer$')",
        "matches(request.path, '^/v[0-9]+/')",
        "!request.path.matches('^models')",
        "tenant.id.matches('^org_(dl|aa)$')",
        "claims.sub.matches('(?i)^ANN$')",
    ]);
    give(&[("claims.iat.matches('1')", "error: expected a string for matches(), found an int")]);
}

#[test]
fn a_pattern_gives_the_same_when_it_is_kept() {
    for _ in 0..3 {
        hold(&["request.path.matches('models') && !tenant.id.matches('models')"]);
    }
}

#[test]
fn other_types_than_text_are_errors_when_evaluated() {
    give(&[
        ("claims.iat.contains('1')", "error: expected a string for contains(), found an int"),
        ("claims.roles.startsWith('a')", "error: expected a string for startsWith(), found a list"),
        ("claims.org.lowerAscii()", "error: expected a string for lowerAscii(), found a map"),
        ("claims.sub.join()", "error: expected a list of strings for join(), found a string"),
    ]);
}
