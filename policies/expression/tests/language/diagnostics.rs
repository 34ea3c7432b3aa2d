//! What is refused, where, and in which words.

use expect_test::{Expect, expect};

use crate::support::mistakes;

fn check(sources: &[&str], expected: Expect) {
    let all: Vec<String> = sources.iter().map(|source| mistakes(source)).collect();
    expected.assert_eq(&all.concat());
}

#[test]
fn misspelt_names() {
    check(
        &[
            "reqest.method == 'GET'",
            "request.metod == 'GET'",
            "has(request.metod)",
            "request == 1",
            "tenant.labels == tenant",
            "clams.sub == 'x' && tennant.id == 'y'",
            "[1].all(element, elment > 0)",
            "quux",
        ],
        expect![[r#"
            reqest.method == 'GET'
            ^^^^^^ expected a variable, found `reqest`; did you mean `request`?
            request.metod == 'GET'
                    ^^^^^ expected a field of `request`, found `metod`; did you mean `method`?
            has(request.metod)
                        ^^^^^ expected a field of `request`, found `metod`; did you mean `method`?
            request == 1
            ^^^^^^^ expected a field of `request`, found no field; there is: method, path, id, content_length, headers
            tenant.labels == tenant
                             ^^^^^^ expected a field of `tenant`, found no field; there is: id, labels, rank
            clams.sub == 'x' && tennant.id == 'y'
            ^^^^^ expected a variable, found `clams`; did you mean `claims`?
                                ^^^^^^^ expected a variable, found `tennant`; did you mean `tenant`?
            [1].all(element, elment > 0)
                             ^^^^^^ expected a variable, found `elment`; did you mean `element`?
            quux
            ^^^^ expected a variable, found `quux`; there is: body, claims, now, parts, request, tenant, tier
        "#]],
    );
}

#[test]
fn functions() {
    check(
        &[
            "request.path.startWith('/')",
            "request.path.startsWith('/', 1)",
            "request.path.startsWith(1)",
            "startsWith(request.path, '/')",
            "request.path.int() == 1",
            "request.content_length.contains('1')",
            "frobnicate(1)",
            "size(1) == 1",
            "[1, 2].join() == '12'",
            "[1].any(x, true)",
            "[1].all(x)",
            "has(1)",
            "has(claims)",
            "claims.roles.exists(1, true)",
            "dyn() == 1",
            "request.path.matches()",
        ],
        expect![[r#"
            request.path.startWith('/')
                         ^^^^^^^^^ expected a function, found `startWith()`; did you mean `startsWith`?
            request.path.startsWith('/', 1)
                         ^^^^^^^^^^ expected 1 argument for startsWith(), found 2
            request.path.startsWith(1)
                                    ^ expected string for startsWith(), found int
            startsWith(request.path, '/')
            ^^^^^^^^^^ expected `x.startsWith()`, found startsWith() used otherwise
            request.path.int() == 1
                         ^^^ expected `int(x)`, found int() used otherwise
            request.content_length.contains('1')
            ^^^^^^^^^^^^^^^^^^^^^^ expected string for contains(), found int
            frobnicate(1)
            ^^^^^^^^^^ expected a function, found `frobnicate()`; there is: bool, bytes, double, duration, dyn, has, int, size, string, timestamp, type, uint
            size(1) == 1
                 ^ expected string, bytes, list or map for size(), found int
            [1, 2].join() == '12'
            ^^^^^^ expected list(string) for join(), found list(int)
            [1].any(x, true)
                ^^^ expected a function, found `any()`
            [1].all(x)
                ^^^ expected `x.all(element, condition)`, found all() used otherwise
            has(1)
                ^ expected a field for has(), such as `has(claims.roles)`
            has(claims)
                ^^^^^^ expected a field for has(), such as `has(claims.roles)`
            claims.roles.exists(1, true)
                                ^ expected a plain name for the element, such as `list.all(x, ...)`
            dyn() == 1
            ^^^ expected `dyn(x)`, found dyn() used otherwise
            request.path.matches()
                         ^^^^^^^ expected `x.matches('pattern')`, found matches() used otherwise
        "#]],
    );
}

#[test]
fn operators() {
    check(
        &[
            "request.content_length == '1'",
            "request.content_length == 1.0",
            "request.content_length + 1.0 > 2.0",
            "request.method && true",
            "!request.method",
            "-request.method == 'x'",
            "request.method - 'x' == 'y'",
            "tenant.labels < tenant.labels",
            "request.method < 1",
            "1 in 2",
            "1 in ['a']",
            "1 in tenant.labels",
            "tier.ports['a'] == 1",
            "tenant.labels[1] == 'a'",
            "request.method[0] == 'a'",
            "request.method.x == 'a'",
            "true ? 1 : 'a'",
            "1 ? true : false",
            "now + now == now",
            "tier.share % 2.0 == 1.0",
            "{'a': 1, 'a': 2}.a == 1",
            "{1.5: 1}.a == 1",
            "[1].all(x, x)",
            "request.method.all(x, true)",
            "request.method",
            "request.content_length",
        ],
        expect![[r#"
            request.content_length == '1'
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected two values of one type for `==`, found int and string
            request.content_length == 1.0
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected two values of one type for `==`, found int and double; convert one of them: int(...) or double(...)
            request.content_length + 1.0 > 2.0
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected two numbers, strings, lists or bytes, or a time and a duration, for `+`, found int and double; convert one of them: int(...) or double(...)
            request.method && true
            ^^^^^^^^^^^^^^ expected a bool for `&&`, found string
            !request.method
             ^^^^^^^^^^^^^^ expected a bool for `!`, found string
            -request.method == 'x'
             ^^^^^^^^^^^^^^ expected an int or a double after `-`, found string
            request.method - 'x' == 'y'
            ^^^^^^^^^^^^^^^^^^^^ expected two numbers, or a time and a time or duration, for `-`, found string and string
            tenant.labels < tenant.labels
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected two values of one type that has an order for `<`, found map(string, string) and map(string, string)
            request.method < 1
            ^^^^^^^^^^^^^^^^^^ expected two values of one type that has an order for `<`, found string and int
            1 in 2
            ^^^^^^ expected a list or a map on the right for `in`, found int and int
            1 in ['a']
            ^^^^^^^^^^ expected an element of the list's type for `in`, found int and list(string)
            1 in tenant.labels
            ^^^^^^^^^^^^^^^^^^ expected a key of the map's type for `in`, found int and map(string, string)
            tier.ports['a'] == 1
            ^^^^^^^^^^^^^^^ expected an int for the index of a list for `[]`, found list(int) and string
            tenant.labels[1] == 'a'
            ^^^^^^^^^^^^^^^^ expected a key of the map's type for `[]`, found map(string, string) and int
            request.method[0] == 'a'
            ^^^^^^^^^^^^^^^^^ expected a list or a map for `[]`, found string and int
            request.method.x == 'a'
                           ^ expected a map to take the field `x` of, found string
            true ? 1 : 'a'
            ^^^^^^^^^^^^^^ expected one type on both sides of `:`, found int and string
            1 ? true : false
            ^ expected a bool for the condition of `?:`, found int
            now + now == now
            ^^^^^^^^^ expected two numbers, strings, lists or bytes, or a time and a duration, for `+`, found timestamp and timestamp
            tier.share % 2.0 == 1.0
            ^^^^^^^^^^^^^^^^ expected two ints or two uints for `%`, found double and double
            {'a': 1, 'a': 2}.a == 1
                     ^^^ expected each key once, found this one twice
            {1.5: 1}.a == 1
             ^^^ expected a key of type bool, int, uint or string, found double
                     ^ expected a map to take the field `a` of, found map(double, int)
            [1].all(x, x)
                       ^ expected a bool for the condition of a macro, found int
            request.method.all(x, true)
            ^^^^^^^^^^^^^^ expected a list or a map for a macro, found string
            request.method
            ^^^^^^^^^^^^^^ expected an expression of type bool, found string
            request.content_length
            ^^^^^^^^^^^^^^^^^^^^^^ expected an expression of type bool, found int
        "#]],
    );
}

#[test]
fn times_and_patterns() {
    check(
        &[
            "now > timestamp('2026-02-30T00:00:00Z')",
            "now - timestamp(0) > duration('1 day')",
            "duration(60) == duration('1m')",
            "now.getHours('Europe/Berlin') == 1",
            "now.getHours(request.method) == 1",
            "request.path.matches('[')",
            "request.path.matches(request.method)",
            "request.path.matches('((a{100}){100}){100}')",
            "request.content_length.matches('a')",
        ],
        expect![[r#"
            now > timestamp('2026-02-30T00:00:00Z')
                            ^^^^^^^^^^^^^^^^^^^^^^ expected a time such as '2026-01-31T08:30:00Z' (RFC 3339), found `2026-02-30T00:00:00Z`
            now - timestamp(0) > duration('1 day')
                                          ^^^^^^^ expected a duration such as '1h30m' (units: h, m, s, ms, us, ns), found `1 day`
            duration(60) == duration('1m')
                     ^^ expected string or duration for duration(), found int
            now.getHours('Europe/Berlin') == 1
                         ^^^^^^^^^^^^^^^ expected `UTC` or an offset from it in quotes, such as '+02:00'; zones by name change with law and season, and are not known here
            now.getHours(request.method) == 1
                         ^^^^^^^^^^^^^^ expected `UTC` or an offset from it in quotes, such as '+02:00'; zones by name change with law and season, and are not known here
            request.path.matches('[')
                                 ^^^ expected a regular expression: found unclosed character class
            request.path.matches(request.method)
                                 ^^^^^^^^^^^^^^ expected a pattern in quotes for matches()
            request.path.matches('((a{100}){100}){100}')
                                 ^^^^^^^^^^^^^^^^^^^^^^ expected a regular expression: this one is too large when compiled; repeat less
            request.content_length.matches('a')
            ^^^^^^^^^^^^^^^^^^^^^^ expected string for matches(), found int
        "#]],
    );
}

#[test]
fn syntax() {
    check(
        &[
            "",
            "1 +",
            "request.method = 'GET'",
            "request.method == 'GET",
            "request.method == \"GET'",
            "(1 == 1",
            "1 == 1)",
            "foo bar",
            "tenant.id == 'ü' && package == 1",
            "a.(b)",
            "Message{a: 1} == 1",
            "99999999999999999999 == 1",
            "ü == 1",
            "1 == 1 ? true",
            "request.?method == 'x'",
        ],
        expect![[r#"

             expected an expression, found nothing
            1 +
                expected a value, found the end
            request.method = 'GET'
                           ^ expected CEL, found `=`; is a quote missing, or one too many?
            request.method == 'GET
                              ^ expected CEL, found `'GET`; is a quote missing, or one too many?
            request.method == "GET'
                              ^ expected CEL, found `"GET'`; is a quote missing, or one too many?
            (1 == 1
                    expected `)`, found the end
            1 == 1)
                  ^ expected an operator or the end, found `)`
            foo bar
                ^^^ expected an operator or the end, found `bar`
            tenant.id == 'ü' && package == 1
                                ^^^^^^^ expected a name, found `package`, which CEL reserves
            a.(b)
              ^ expected an operator or the end, found `.(`
            Message{a: 1} == 1
                   ^ expected no message, found `Message{...}`; use a map
            99999999999999999999 == 1
            ^^^^^^^^^^^^^^^^^^^^ expected an int of 64 bits
            ü == 1
            ^ expected CEL, found `ü`; is a quote missing, or one too many?
            1 == 1 ? true
            ^ expected more, found the end; a conditional is `condition ? value : value`
            request.?method == 'x'
                   ^ expected CEL without optional values, found `.?`
        "#]],
    );
}

#[test]
fn what_is_too_long_or_too_deep() {
    assert_eq!(mistakes("  "), "  \n^^ expected an expression, found nothing\n");
    let long = format!("'{}' == ''", "x".repeat(5000));
    assert!(mistakes(&long).ends_with(" expected at most 4096 bytes, found 5008\n"));
    for deep in [
        "(".repeat(100) + "true" + &")".repeat(100),
        "!(".repeat(80) + "true" + &")".repeat(80),
        "1".to_owned() + &"+ 1".repeat(1000) + " == 1",
        "claims".to_owned() + &".a".repeat(2000),
        "[true]".to_owned() + &"[0]".repeat(1300),
        "[1].all(x, ".repeat(95) + "true" + &")".repeat(95),
    ] {
        let found = mistakes(&deep);
        assert!(found.ends_with("; split it\n"), "{found}");
    }
}

#[test]
fn what_is_too_dear() {
    check(
        &[
            "body.contains('x')",
            "body == 'x'",
            "parts.exists(part, part == 'x')",
            "parts.size() == 1",
            "parts[0] == 'x'",
            "claims.roles.exists(role, claims.allowed.exists(a, a == role))",
            "claims.roles.exists(role, role in claims.allowed)",
            "claims.roles.all(a, claims.roles.all(b, claims.roles.all(c, a == b || b == c)))",
            "'org' in claims.orgs && claims.sub in claims.members",
            "claims.orgs.exists(org, org.roles.exists(role, role == 'admin'))",
            "claims.roles.exists(role, role.matches('^(admin|billing)$'))",
            "claims.sub.matches('([a-z]{20}-?){20}')",
            "claims.a.split('').map(x, claims.a + x).join() == 'x'",
        ],
        expect![[r#"
            body.contains('x')
            ^^^^^^^^^^^^^^^^^^ expected work that has a bound, found none: `body` has no declared largest size
            none; at most 51 units
            parts.exists(part, part == 'x')
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected work that has a bound, found none: `parts` has no declared largest size
            none; at most 64 units
            none; at most 83 units
            claims.roles.exists(role, claims.allowed.exists(a, a == role))
                                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected at most 1048576 units of work at worst, found 33923231 for this part; look at less, or compare with something short
            claims.roles.exists(role, role in claims.allowed)
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected at most 1048576 units of work at worst, found 571216100 for this part; look at less, or compare with something short
            claims.roles.all(a, claims.roles.all(b, claims.roles.all(c, a == b || b == c)))
                                                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected at most 1048576 units of work at worst, found 705528051 for this part; look at less, or compare with something short
            none; at most 221497 units
            none; at most 671976 units
            none; at most 803081 units
            claims.sub.matches('([a-z]{20}-?){20}')
                               ^^^^^^^^^^^^^^^^^^^ expected a regular expression: this one is too large when compiled; repeat less
            claims.a.split('').map(x, claims.a + x).join() == 'x'
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected at most 1048576 units of work at worst, found 605356556 for this part; look at less, or compare with something short
        "#]],
    );
}
