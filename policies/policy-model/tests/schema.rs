//! The schemas and the page of variables that ship are those that the code makes. Where one of
//! these tests fails, `UPDATE_EXPECT=1 cargo test -p policy-model --test schema` writes them anew.

use std::{fs, path::Path};

use expect_test::expect_file;
use policy_model::{
    schema,
    spec::{Kind, parse},
    variables,
};

#[test]
fn the_schemas_that_ship_are_those_of_the_code() {
    let mut files = schema::files();
    let mut compare = |name: &str, expected: expect_test::ExpectFile| {
        expected.assert_eq(&files.remove(name).unwrap_or_default());
    };
    compare("tier.json", expect_file!["../../schema/tier.json"]);
    compare("data-plane.json", expect_file!["../../schema/data-plane.json"]);
    compare("issuer.json", expect_file!["../../schema/issuer.json"]);
    compare("model.json", expect_file!["../../schema/model.json"]);
    compare("tenant.json", expect_file!["../../schema/tenant.json"]);
    compare("check.json", expect_file!["../../schema/check.json"]);
    compare("bulkhead.schema.json", expect_file!["../../schema/bulkhead.schema.json"]);
    assert!(files.is_empty(), "not compared: {:?}", files.keys());
}

#[test]
fn the_page_of_variables_that_ships_is_that_of_the_code() {
    expect_file!["../../schema/variables.md"].assert_eq(&variables::markdown());
}

/// An editor that completes a field which is then refused, or does not know one that is taken,
/// is worse than none.
#[test]
fn a_schema_knows_the_fields_that_are_read_and_no_others() {
    let files = schema::files();
    for kind in Kind::ALL {
        let text =
            files.values().find(|text| text.contains(&format!("\"title\": \"{}\"", kind.as_str())));
        let schema: serde_json::Value =
            serde_json::from_str(text.map_or("", String::as_str)).unwrap_or_default();
        let name = format!("{}Spec", kind.as_str());
        let spec = &schema["definitions"][&name];
        let known: Vec<&str> = spec["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect();
        assert!(!known.is_empty(), "{name}");
        assert_eq!(spec["additionalProperties"], false, "{name}");
        // The reader names its fields where it meets one that it does not know.
        let yaml = format!(
            "apiVersion: bulkhead.dev/v1\nkind: {}\nmetadata: {{name: a}}\nspec: {{no-such: 1}}\n",
            kind.as_str()
        );
        let Err(refused) = parse("a.yaml", &yaml) else { continue };
        let said = refused.iter().map(ToString::to_string).collect::<String>();
        for name in known {
            assert!(said.contains(name), "{name}: {said}");
        }
    }
}

#[test]
fn the_schemas_lie_where_editors_look_for_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema");
    let found = fs::read_dir(folder).map(|entries| entries.flatten().count()).unwrap_or_default();
    assert_eq!(found, schema::files().len() + 1, "the schemas, and the page of variables");
}
