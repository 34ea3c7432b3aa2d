//! The variables of checks: what each point has, of which type, and what it holds.
//!
//! Whoever evaluates a check answers for exactly the paths that its point's [`environment`]
//! declares. [`markdown`] is the same list for people.

use std::fmt::Write as _;

use expression::{Environment, Type, Variable};

use crate::spec::Point;

/// The most labels that a resource may wear.
pub const MAX_LABELS: usize = 32;
/// The longest name of a label, in bytes.
pub const MAX_LABEL_NAME_BYTES: usize = 63;
/// The longest value of a label, in bytes.
pub const MAX_LABEL_VALUE_BYTES: usize = 255;

/// Labels as JSON: each of a name, a value, four quotes, a colon and a comma.
const LABELS_BYTES: u32 = (MAX_LABELS * (MAX_LABEL_NAME_BYTES + MAX_LABEL_VALUE_BYTES + 6)) as u32;
/// Names of tenants, data planes, models and versions.
const NAME_BYTES: u32 = 66;
/// What a proxy takes as headers, all in all.
const HEADERS_BYTES: u32 = 96 << 10;
const MAX_HEADERS: u32 = 100;
/// A path or query, of which a proxy takes no more than of headers.
const PATH_BYTES: u32 = 16 << 10;
/// The claims of a token that the gate reads.
const CLAIMS_BYTES: u32 = 6 << 10;
/// The most tenants whose data a model may have been trained on.
pub const MAX_TRAINED_ON: usize = 1024;

/// The variables that a check may name at `point`.
pub fn environment(point: Point) -> Environment {
    groups(point)
        .into_iter()
        .flat_map(|group| group.variables)
        .fold(Environment::new(), Environment::with)
}

/// Variables that belong together, under a heading.
struct Group {
    title: &'static str,
    variables: Vec<Variable>,
}

fn groups(point: Point) -> Vec<Group> {
    match point {
        Point::Gate => vec![clock(), request(), token(), tenant(), tier(), data_plane()],
        Point::Recheck => vec![clock(), request(), tenant(), tier(), data_plane(), node()],
        Point::Sidecar => {
            vec![clock(), request(), tenant(), tier(), data_plane(), node(), model()]
        }
        Point::Promotion => vec![tenant(), tier(), data_plane(), promoted()],
    }
}

fn text(path: &str, max_bytes: u32, doc: &str) -> Variable {
    Variable::new(path, Type::String, doc).max_bytes(max_bytes)
}

fn labels(path: &str, whose: &str) -> Variable {
    let doc = format!("The labels of {whose}: `metadata.labels`.");
    Variable::new(path, Type::map(Type::String), doc)
        .max_bytes(LABELS_BYTES)
        .max_entries(MAX_LABELS as u32)
}

fn clock() -> Group {
    let now = Variable::new("now", Type::Timestamp, "When the request is decided.");
    Group { title: "Time", variables: vec![now] }
}

fn request() -> Group {
    let headers = "The headers, names in small letters. Of a header that is given more than once, the values joined by `, `. `authorization` and those that start with `x-bulkhead-` are not among them.";
    let length = "The length of the body in bytes, as its header says; -1 where it does not.";
    let variables = vec![
        text("request.method", 32, "The method, in the letters of the request: `POST`."),
        text("request.path", PATH_BYTES, "The path, without the query."),
        text("request.query", PATH_BYTES, "The query, without its `?`; empty where there is none."),
        text(
            "request.host",
            1024,
            "The host that was asked for, with its port where one is given.",
        ),
        Variable::new("request.headers", Type::map(Type::String), headers)
            .max_bytes(HEADERS_BYTES)
            .max_entries(MAX_HEADERS),
        Variable::new("request.content_length", Type::Int, length),
    ];
    Group { title: "The request", variables }
}

fn token() -> Group {
    let claims = "The claims of the verified token, as its issuer wrote them. Reading one that is not there, or as another type than it has, is an error, and so the denial.";
    let key_id = "The `kid` of the key that signed it; empty where it names none.";
    let variables = vec![
        Variable::new("claims", Type::map(Type::Dyn), claims).max_bytes(CLAIMS_BYTES),
        text("token.issuer", 1024, "Its `iss`, which is bound to the organisation."),
        text("token.algorithm", 16, "The algorithm of its signature: `ES256`."),
        text("token.key_id", 1024, key_id),
        Variable::new("token.issued_at", Type::Timestamp, "Its `iat`.").optional(),
        Variable::new("token.expires_at", Type::Timestamp, "Its `exp`."),
    ];
    Group { title: "The token", variables }
}

fn tenant() -> Group {
    let variables = vec![
        text("tenant.id", NAME_BYTES, "The tenant: the `org_id` that was verified."),
        text("tenant.tier", 8, "Its tier: `pool`, `bridge` or `silo`."),
        labels("tenant.labels", "its resource"),
    ];
    Group { title: "The tenant", variables }
}

fn tier() -> Group {
    let rate = "How many requests the tier gives a tenant in a second, where a resource says so.";
    let burst = "How many of them may come at once, where a resource says so.";
    let variables = vec![
        text("tier.name", 8, "The tenant's tier, as `tenant.tier`."),
        Variable::new("tier.requests_per_second", Type::Double, rate).optional(),
        Variable::new("tier.burst", Type::Int, burst).optional(),
        labels("tier.labels", "the tier's resource"),
    ];
    Group { title: "The tenant's tier", variables }
}

fn data_plane() -> Group {
    let only = "The one tenant that it is for; empty where it is shared.";
    let variables = vec![
        text("data_plane.id", NAME_BYTES, "The data plane that serves the tenant."),
        text("data_plane.region", 66, "Its region, as the contract names it."),
        text("data_plane.exclusive_to", NAME_BYTES, only),
        labels("data_plane.labels", "its resource"),
    ];
    Group { title: "The tenant's data plane", variables }
}

fn node() -> Group {
    let variables = vec![
        text("node.data_plane", NAME_BYTES, "The data plane that this node is of."),
        text("node.region", 66, "The region of that data plane."),
    ];
    Group { title: "This node", variables }
}

fn model_variables() -> Vec<Variable> {
    let trained_on = "Whose data it was trained on: ids of tenants, sorted.";
    let base = "The registry's name for what it changes, where it is an adapter; else empty.";
    let base_trained_on = "Whose data that was trained on: ids of tenants, sorted.";
    vec![
        text("model.public_name", NAME_BYTES, "The name that the tenant's clients call it by."),
        text("model.name", NAME_BYTES, "The registry's name for it."),
        text("model.version", NAME_BYTES, "The version."),
        text("model.digest", 80, "The digest of its file: `sha256:` and 64 digits."),
        Variable::new("model.trained_on", Type::list(Type::String), trained_on)
            .max_bytes(MAX_TRAINED_ON as u32 * (NAME_BYTES + 1))
            .max_entries(MAX_TRAINED_ON as u32),
        text("model.base", NAME_BYTES, base),
        Variable::new("model.base_trained_on", Type::list(Type::String), base_trained_on)
            .max_bytes(MAX_TRAINED_ON as u32 * (NAME_BYTES + 1))
            .max_entries(MAX_TRAINED_ON as u32),
    ]
}

fn model() -> Group {
    Group { title: "The model that will answer", variables: model_variables() }
}

fn promoted() -> Group {
    let mut variables = model_variables();
    variables.push(text("model.status", 16, "Its status: `ready`, `rejected` or `retired`."));
    let evaluation = [
        ("model.evaluation.rows_trained", Type::Int, "Rows trained on."),
        ("model.evaluation.rows_evaluated", Type::Int, "Held-out rows evaluated."),
        ("model.evaluation.mape", Type::Double, "Its error on them, as a fraction: 0.08 is 8 %."),
        ("model.evaluation.pooled_mape", Type::Double, "The pooled model's error on them."),
    ];
    variables.extend(evaluation.map(|(path, ty, doc)| Variable::new(path, ty, doc).optional()));
    Group { title: "The model version that is to be given to the tenant", variables }
}

/// The same for people, in Markdown: a chapter for each point.
pub fn markdown() -> String {
    let mut page = String::from(HEADER);
    for point in Point::ALL {
        let _ = write!(page, "\n## `{point}`\n\n{}\n", about(point));
        for group in groups(point) {
            let _ = write!(page, "\n### {}\n\n", group.title);
            page.push_str("| variable | type | what it holds |\n| --- | --- | --- |\n");
            for variable in group.variables {
                let may = if variable.optional { " May be absent: `has()` tests it." } else { "" };
                let Variable { path, ty, doc, .. } = variable;
                let _ = writeln!(page, "| `{path}` | `{ty}` | {doc}{may} |");
            }
        }
    }
    page
}

const HEADER: &str = "<!-- Written by `policy_model::variables::markdown`; a test compares it. -->

# The variables of checks

A check's `expression` is CEL of type `bool`: true is a pass. Reading what is absent is an error,
and an error is the check's denial, never a pass. A check that names several points may use only
what all of them have.
";

fn about(point: Point) -> &'static str {
    match point {
        Point::Gate => {
            "At the ingress, on each request, once its token is verified and its tenant is known, and before its rate is counted."
        }
        Point::Recheck => {
            "At a node's proxy, on each request, once its passport is verified. The customer's token does not travel so far."
        }
        Point::Sidecar => {
            "In the process that runs the model, on each request for a model, once it is clear which one would answer."
        }
        Point::Promotion => {
            "When resources are compiled, for each tenant and each model version that it names. A denial refuses the change, and there is no time: the same resources always mean the same."
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_point_declares_each_variable_once_and_says_how_large_it_can_be() {
        for point in Point::ALL {
            let all: Vec<Variable> =
                groups(point).into_iter().flat_map(|group| group.variables).collect();
            let paths: BTreeSet<&str> = all.iter().map(|v| v.path.as_str()).collect();
            assert_eq!(paths.len(), all.len(), "{point}");
            for variable in &all {
                let grows = matches!(variable.ty, Type::String | Type::List(_) | Type::Map(..));
                assert_eq!(grows, variable.max_bytes.is_some(), "{}", variable.path);
            }
        }
    }
}
