//! Who may do what, read from where it is written: each operation of the OpenAPI document.

use std::{collections::BTreeMap, fmt};

use axum::http::Method;
use utoipa::openapi::{OpenApi, PathItem, path::Operation};

use crate::operators::Role;

/// The extension of an operation that names the roles which may do it.
pub(super) const ROLES: &str = "x-bulkhead-roles";

/// The role of everybody, with a token or without.
const ANYONE: &str = "anyone";

/// Who may do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody, with a token or without.
    Anyone,
    /// Operators of these roles.
    Roles(Vec<Role>),
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str(ANYONE),
            Self::Roles(roles) => {
                let names: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
                f.write_str(&names.join(" or "))
            }
        }
    }
}

/// Who may do what, by path and method.
#[derive(Debug, Default)]
pub(super) struct Rules(BTreeMap<String, Vec<(Method, Access)>>);

impl Rules {
    /// Every operation of the document. One that does not say who may is open to nobody.
    pub(super) fn of(api: &OpenApi) -> Self {
        let paths = api.paths.paths.iter();
        Self(paths.map(|(path, item)| (path.clone(), operations(item))).collect())
    }

    /// Who may send `method` to `path`, where that is an operation. `HEAD` is a `GET` without the
    /// body.
    pub(super) fn access(&self, path: Option<&str>, method: &Method) -> Option<&Access> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let operations = self.0.get(path?)?;
        operations.iter().find(|(known, _)| known == method).map(|(_, access)| access)
    }
}

/// The operations of a path.
pub(super) fn of_path(item: &PathItem) -> Vec<(Method, &Operation)> {
    let all = [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::DELETE, &item.delete),
        (Method::PATCH, &item.patch),
    ];
    all.into_iter().filter_map(|(method, it)| Some((method, it.as_ref()?))).collect()
}

fn operations(item: &PathItem) -> Vec<(Method, Access)> {
    of_path(item).into_iter().map(|(method, operation)| (method, access(operation))).collect()
}

/// What the document says about an operation.
pub(super) fn access(operation: &Operation) -> Access {
    let said = operation.extensions.as_ref().and_then(|extensions| extensions.get(ROLES));
    let names: Vec<&str> = said
        .and_then(|said| said.as_array())
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str())
        .collect();
    if names == [ANYONE] {
        return Access::Anyone;
    }
    Access::Roles(names.into_iter().filter_map(|name| name.parse().ok()).collect())
}
