//! `all`, `exists`, `exists_one`, `filter`, `map`; lists, maps, `in` and `has`.

use crate::support::{give, hold};

#[test]
fn quantifiers_ask_all_or_any() {
    hold(&[
        "claims.roles.exists(role, role == 'admin')",
        "!claims.roles.exists(role, role == 'root')",
        "claims.roles.all(role, size(role) > 3)",
        "tier.regions.exists_one(region, region.startsWith('e'))",
        "![].exists(x, true) && [].all(x, false) && ![].exists_one(x, true)",
        "[1, 2, 3].all(x, x > 0) && ![1, 2, 3].all(x, x > 1)",
        "![1, 1].exists_one(x, x == 1)",
    ]);
}

#[test]
fn quantifiers_absorb_errors_as_the_operators_do() {
    hold(&[
        "[0, 1].exists(x, 1 / x == 1)",
        "[1, 0].exists(x, 1 / x == 1)",
        "![0, 2].all(x, 1 / x == 1)",
    ]);
    give(&[
        ("[0, 2].exists(x, 1 / x == 1)", "error: expected a divisor other than 0 for `/`"),
        ("[0, 1].all(x, 1 / x == 1)", "error: expected a divisor other than 0 for `/`"),
        ("[0, 1].exists_one(x, 1 / x == 1)", "error: expected a divisor other than 0 for `/`"),
        ("[0, 1].map(x, 1 / x)", "error: expected a divisor other than 0 for `/`"),
        ("[0, 1].filter(x, 1 / x == 1)", "error: expected a divisor other than 0 for `/`"),
    ]);
}

#[test]
fn lists_are_filtered_and_mapped() {
    hold(&[
        "[1, 2, 3].filter(x, x != 2) == [1, 3]",
        "[1, 2, 3].map(x, x * 2) == [2, 4, 6]",
        "[1, 2, 3].map(x, x > 1, x * 2) == [4, 6]",
        "[1, 2, 3].map(x, x > 1, x) == [2, 3]",
        "claims.roles.filter(r, r != 'admin') == ['billing']",
        "claims.roles.map(r, r.upperAscii()).join(',') == 'ADMIN,BILLING'",
        "[[1, 2], [3]].map(l, l.map(x, x + 1)) == [[2, 3], [4]]",
        "[1] + [2, 3] == [1, 2, 3] && claims.roles + ['x'] == ['admin', 'billing', 'x']",
    ]);
}

#[test]
fn macros_over_maps_go_by_their_keys() {
    hold(&[
        "tenant.labels.exists(key, key == 'region' && tenant.labels[key] == 'eu')",
        "{'a': 1, 'b': 2}.all(key, key in ['a', 'b'])",
        "size({'a': 1, 'b': 2}.map(key, key)) == 2",
        "claims.org.exists(key, key == 'plan')",
    ]);
}

#[test]
fn the_innermost_name_is_meant() {
    hold(&[
        "[1].all(x, [2].all(x, x == 2) && x == 1)",
        "['x'].exists(tenant, tenant == 'x') && tenant.id == 'org_dl'",
        "[{'id': 'y'}].exists(tenant, tenant.id == 'y' && .tenant.id == 'org_dl')",
        "[1, 2].all(a, [3, 4].all(b, [5].all(c, a < b && b < c)))",
    ]);
}

#[test]
fn a_local_is_gone_after_an_error_inside_its_macro() {
    hold(&[
        "[[0], [1]].exists(l, l.map(x, 1 / x) == [1])",
        "[1].exists(a, [0].all(b, 1 / b == a) || a == 1)",
    ]);
}

#[test]
fn lists_and_maps_are_indexed() {
    hold(&[
        "claims.roles[0] == 'admin' && tier.ports[1] == 443 && claims['roles'][1u] == 'billing'",
        "request.headers['user-agent'] == 'curl/8'",
        "{'gold': 100, 'silver': 50}[claims.org.plan] == 100",
        "{1: 'a', 2: 'b'}[2] == 'b' && {true: 1}[true] == 1 && dyn({1: 'a'})[1u] == 'a'",
        "{'a': {'b': [1, 2]}}.a.b[1] == 2",
    ]);
    give(&[
        ("claims.roles[2]", "error: expected an index below 2, found 2"),
        ("claims.roles[-1]", "error: expected an index below 2, found -1"),
        (
            "[1][0 - 9223372036854775807]",
            "error: expected an index below 1, found -9223372036854775807",
        ),
        (
            "claims.nobody",
            "error: expected a map with the key `nobody`, found one without; test it with has() or `in`",
        ),
        (
            "claims.org.nobody",
            "error: expected a map with the key `nobody`, found one without; test it with has() or `in`",
        ),
        ("claims.sub.nobody", "error: expected a map for a field, found a string"),
        ("claims.sub[0]", "error: expected a list or a map for `[]`, found a string"),
        ("claims.roles['a']", "error: expected a whole number for `[]`, found a string"),
        ("{claims.sub: 1, 'ann': 2}", "error: expected each key of a map once, found `ann` twice"),
        (
            "{claims.roles: 1}",
            "error: expected a bool, int, uint or string for a map's key, found a list",
        ),
    ]);
}

#[test]
fn membership_is_of_elements_and_keys() {
    hold(&[
        "'admin' in claims.roles && !('root' in claims.roles)",
        "'regulated' in tenant.labels && !('x' in tenant.labels)",
        "1 in [1, 2] && !(3 in [1, 2]) && dyn(1.0) in [1, 2]",
        "claims.sub in ['ann', 'bob']",
        "'a' in {'a': 1} && !(dyn(1) in {'a': 1})",
        "tenant.id in ['org_aa', tenant.id]",
    ]);
    give(&[(
        "1 in claims.sub",
        "error: expected a list or a map on its right for `in`, found a string",
    )]);
}

#[test]
fn presence_is_tested() {
    hold(&[
        "has(claims.sub) && !has(claims.nobody) && has(claims.nothing)",
        "has(claims.org.id) && !has(claims.org.x)",
        "!has(request.id) && has(request.method)",
        "has(tenant.labels.region) && !has(request.headers.cookie)",
        "has({'a': 1}.a) && !has({'a': 1}.b)",
    ]);
    give(&[
        (
            "has(claims.nobody.id)",
            "error: expected a map with the key `nobody`, found one without; test it with has() or `in`",
        ),
        ("has(claims.sub.id)", "error: expected a map for has(), found a string"),
        (
            "request.id == 'x'",
            "error: expected a value of `request.id`, found none; test it with has() first",
        ),
        ("has(request.id) && request.id == 'x'", "Bool(false)"),
    ]);
}
