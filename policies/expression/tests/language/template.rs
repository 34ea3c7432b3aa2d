//! Messages with expressions inside.

use expect_test::expect;
use expression::{Budget, MAX_MESSAGE_BYTES, Template, compile_template};
use serde_json::json;

use crate::support::{Host, environment, written};

fn rendered(text: &str, host: &Host) -> String {
    let template = compile_template(text, &environment()).expect("it compiles");
    template.render(host, &mut Budget::default())
}

#[test]
fn expressions_are_written_into_messages() {
    let cases = [
        ("plain", "plain"),
        ("", ""),
        ("${tenant.id}", "org_dl"),
        (
            "the token of ${tenant.id} is older than ${duration('1h')}",
            "the token of org_dl is older than 3600s",
        ),
        (
            "${claims.roles} ${claims.org}",
            "[\"admin\", \"billing\"] {\"id\": \"org_dl\", \"plan\": \"gold\"}",
        ),
        ("at ${now}", "at 2026-11-21T08:30:15.25Z"),
        ("${{'a}': '}'}['a}']}", "}"),
        ("costs $5, $${not this}, ${1 + 1}", "costs $5, ${not this}, 2"),
        ("ü${'ü'}", "üü"),
        ("${b'\\x00a'} ${1.5} ${null} ${type(1)} ${7u}", "b\"\\x00a\" 1.5 null int 7"),
    ];
    for (text, expected) in cases {
        assert_eq!(rendered(text, &Host::default()), expected, "{text}");
    }
}

#[test]
fn an_expression_without_a_value_reads_unknown_and_the_message_goes_on() {
    assert_eq!(rendered("${claims.nobody}, ${tenant.id}", &Host::default()), "(unknown), org_dl");
    let template = compile_template("${tenant.id}!", &environment()).unwrap();
    assert_eq!(template.render(&Host::default(), &mut Budget::new(1)), "(unknown)!");
}

#[test]
fn a_message_is_cut_where_it_is_too_long() {
    let host = Host::default().with("request.path", json!("ü".repeat(2000)));
    let message = rendered("x${request.path}y", &host);
    assert_eq!(message.len(), MAX_MESSAGE_BYTES - 1);
    assert!(message.ends_with('ü'));
}

#[test]
fn a_template_says_what_it_reads() {
    let template =
        compile_template("${tenant.id} ${claims.sub} ${tenant.id}", &environment()).unwrap();
    assert_eq!(template.paths().collect::<Vec<_>>(), ["tenant.id", "claims", "tenant.id"]);
    assert_eq!(
        Template::text("${as it is}").render(&Host::default(), &mut Budget::default()),
        "${as it is}"
    );
}

#[test]
fn mistakes_are_placed_in_the_whole_text() {
    let mut all = String::new();
    for text in ["ü ${tenant.idd} and ${1 +}", "open ${tenant.id", "${}"] {
        let mistakes = compile_template(text, &environment()).expect_err("a mistake");
        all += &written(text, &mistakes);
    }
    expect![[r#"
        ü ${tenant.idd} and ${1 +}
                   ^^^ expected a field of `tenant`, found `idd`; did you mean `id`?
                                  expected a value, found the end
        open ${tenant.id
             ^^^^^^^^^^^ expected a `}` after `${`, found none
        ${}
           expected an expression, found nothing
    "#]]
    .assert_eq(&all);
}
