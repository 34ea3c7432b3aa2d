//! `GET /v1/openapi.json`: the whole interface, as OpenAPI 3.1.
//!
//! It is made from the handlers and the types that they read and write. What holds for every
//! operation, such as how a caller proves who they are and what every problem looks like, is added
//! here.

use axum::{Json, extract::State, http::Method};
use utoipa::{
    Modify as _, PartialSchema as _, ToSchema as _,
    openapi::{
        Components, Content, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, Ref, Response,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{
    App,
    problem::{Code, ProblemBody},
    rules::{Access, access, of_path},
};

const TOKEN: &str = "operatorToken";

const DESCRIPTION: &str = "How a platform team declares tenants, models, issuers, data planes and \
checks, sees what each proxy runs, and takes changes back.

Each operation names in `x-bulkhead-roles` the roles that may do it. A control plane that was \
started without operators listens on loopback only and takes whoever calls from there for an admin.

Every refusal is a problem (RFC 9457) with a stable `code`. Every answer carries `x-request-id`, \
which the server's log names too.";

/// What the document says before any operation.
pub(super) fn start() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Bulkhead control plane")
        .version("1")
        .description(Some(DESCRIPTION))
        .build();
    OpenApiBuilder::new().info(info).components(Some(Components::new())).build()
}

/// Adds what holds for every operation.
pub(super) fn complete(api: &mut OpenApi) {
    Common.modify(api);
}

struct Common;

impl utoipa::Modify for Common {
    fn modify(&self, api: &mut OpenApi) {
        let components = api.components.get_or_insert_with(Components::new);
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An operator's token, from `bulkhead operator token`."))
            .build();
        components.add_security_scheme(TOKEN, SecurityScheme::Http(scheme));
        let mut schemas = vec![(ProblemBody::name().into_owned(), ProblemBody::schema())];
        ProblemBody::schemas(&mut schemas);
        components.schemas.extend(schemas);
        for (path, item) in &mut api.paths.paths {
            let parametrised = path.contains('{');
            for (method, operation) in operations(item) {
                amend(operation, parametrised, &method);
            }
        }
    }
}

fn amend(operation: &mut Operation, parametrised: bool, method: &Method) {
    let open = access(operation) == Access::Anyone;
    let mut codes = vec![Code::Overloaded, Code::TimedOut, Code::Internal];
    if !open {
        operation.security = Some(vec![SecurityRequirement::new(TOKEN, Vec::<String>::new())]);
        codes.extend([
            Code::Unauthenticated,
            Code::Forbidden,
            Code::ForeignHost,
            Code::ForeignOrigin,
        ]);
    } else {
        operation.security = Some(vec![SecurityRequirement::default()]);
    }
    if operation.parameters.is_some() || parametrised || operation.request_body.is_some() {
        codes.push(Code::Malformed);
    }
    if operation.request_body.is_some() {
        codes.extend([Code::TooLarge, Code::Timeout]);
        if *method == Method::POST {
            codes.push(Code::UnsupportedMediaType);
        }
    }
    for code in codes {
        add(operation, code);
    }
}

/// A problem that an operation may answer with, beside those of the same status.
fn add(operation: &mut Operation, code: Code) {
    let status = code.status().as_u16().to_string();
    let line = format!("`{}`: {}", code.as_str(), code.title());
    let responses = &mut operation.responses.responses;
    let description = match responses.get(&status) {
        Some(utoipa::openapi::RefOr::T(known)) if known.description.contains(code.as_str()) => {
            return;
        }
        Some(utoipa::openapi::RefOr::T(known)) => format!("{}\n\n{line}", known.description),
        _ => line,
    };
    let content = Content::new(Some(Ref::from_schema_name(ProblemBody::name())));
    let response = Response::builder()
        .description(description)
        .content(tenancy::problem::CONTENT_TYPE, content)
        .build();
    responses.insert(status, response.into());
}

fn operations(item: &mut PathItem) -> Vec<(Method, &mut Operation)> {
    let known: Vec<Method> = of_path(item).into_iter().map(|(method, _)| method).collect();
    let all = [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
        (Method::PATCH, &mut item.patch),
    ];
    let mut found = Vec::with_capacity(known.len());
    for (method, operation) in all {
        if let Some(operation) = operation {
            found.push((method, operation));
        }
    }
    found
}

/// This document.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    tag = "about",
    operation_id = "openapi",
    responses((status = 200, description = "An OpenAPI 3.1 document.", body = Object)),
    extensions(("x-bulkhead-roles" = json!(["viewer", "editor", "admin"])))
)]
pub(super) async fn document(State(app): State<App>) -> Json<serde_json::Value> {
    Json(app.api.as_ref().clone())
}
