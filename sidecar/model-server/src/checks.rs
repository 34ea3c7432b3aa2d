//! The declared checks that hold in this process: on each request for a model, once it is clear
//! whose it is and what would answer it.

use std::{cell::OnceCell, time::Duration};

use bytes::Bytes;
use expression::{Budget, Mapping, Value, Variables};
use http::{HeaderMap, Response, StatusCode, header, request::Parts};
use policy_model::table::{ArchivedCheckRow, SidecarTable};
use tenancy::{
    TenantId, headers,
    problem::{self, Details},
};

use crate::{
    answer::{Answer, retry_later},
    assignments::{Assigned, Node, TenantModels},
};

/// What a check says to a request that it denies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denied {
    /// The check's name.
    pub(crate) check: String,
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    /// The revision of the tenant's checks.
    revision: String,
}

impl Denied {
    pub(crate) fn into_answer(self) -> Answer {
        self.into_response().map(Into::into)
    }

    pub(crate) fn into_response(self) -> Response<Bytes> {
        let details = Details {
            status: self.status,
            code: &self.code,
            title: "Denied by a check",
            detail: &self.message,
            check: Some(&self.check),
            revision: Some(&self.revision),
        };
        let mut answer = Response::new(Bytes::from(details.to_json()));
        *answer.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::FORBIDDEN);
        answer
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(problem::CONTENT_TYPE));
        if self.status == 503 {
            retry_later(&mut answer);
        }
        answer
    }
}

/// Holds a request to its tenant's checks, in their order. The first enforced one that does not
/// pass is the denial; `counted` is told of what fails in shadow before it. `now` is the time since
/// 1970.
pub(crate) fn hold(
    tenant: &TenantModels,
    node: &Node,
    assigned: &Assigned,
    request: &Parts,
    now: Duration,
    counted: impl Fn(&str, &TenantId),
) -> Result<(), Denied> {
    let Some(table) = &tenant.checks else { return Ok(()) };
    let given = Given {
        table,
        node,
        assigned,
        tier: tenant.tier.as_str(),
        method: request.method.as_str(),
        path: request.uri.path(),
        query: request.uri.query().unwrap_or_default(),
        host: host(request),
        headers: Headers(&request.headers),
        made: Made::default(),
        now_ns: i128::try_from(now.as_nanos()).unwrap_or(i128::MAX),
    };
    for check in table.checks() {
        // Each has a budget of its own, so that none is starved by those before it.
        if check.program.evaluate_bool(&given, &mut Budget::default()) == Ok(true) {
            continue;
        }
        if !check.shadow {
            return Err(denied(check, &given));
        }
        counted(&check.name, &assigned.tenant);
    }
    Ok(())
}

fn denied(check: &ArchivedCheckRow, given: &Given<'_>) -> Denied {
    Denied {
        check: check.name.to_string(),
        status: check.status.to_native(),
        code: check.code.to_string(),
        message: check.message.render(given, &mut Budget::default()),
        revision: given.table.revision().to_owned(),
    }
}

fn host(request: &Parts) -> &str {
    match request.uri.authority() {
        Some(authority) => authority.as_str(),
        None => {
            let host = request.headers.get(header::HOST);
            host.and_then(|host| host.to_str().ok()).unwrap_or_default()
        }
    }
}

/// What the variables of the point `sidecar` are read from.
struct Given<'a> {
    table: &'a SidecarTable,
    node: &'a Node,
    assigned: &'a Assigned,
    tier: &'static str,
    method: &'a str,
    path: &'a str,
    query: &'a str,
    host: &'a str,
    headers: Headers<'a>,
    made: Made,
    now_ns: i128,
}

/// What is made of an assignment, once, where a check reads it.
#[derive(Default)]
struct Made {
    digest: OnceCell<String>,
    trained_on: OnceCell<Vec<String>>,
    base_trained_on: OnceCell<Vec<String>>,
}

fn texts<'a>(tenants: impl IntoIterator<Item = &'a TenantId>) -> Vec<String> {
    tenants.into_iter().map(ToString::to_string).collect()
}

impl Variables for Given<'_> {
    fn get(&self, path: &str) -> Option<Value<'_>> {
        let (tier, plane) = (self.table.tier(), self.table.plane());
        let text = |text| Some(Value::from(text));
        let Made { digest, trained_on, base_trained_on } = &self.made;
        let base = self.assigned.base.as_ref();
        match path {
            "now" => Some(Value::Timestamp(self.now_ns)),
            "request.method" => text(self.method),
            "request.path" => text(self.path),
            "request.query" => text(self.query),
            "request.host" => text(self.host),
            "request.headers" => Some(Value::map(&self.headers)),
            "request.content_length" => Some(Value::Int(self.headers.content_length())),
            "tenant.id" => text(self.assigned.tenant.as_str()),
            "tenant.tier" | "tier.name" => text(self.tier),
            "tenant.labels" => Some(Value::map(self.table.labels())),
            "tier.requests_per_second" => {
                Some(Value::Double(tier.rate.as_ref()?.requests_per_second()))
            }
            "tier.burst" => Some(Value::Int(tier.rate.as_ref()?.burst.to_native().into())),
            "tier.labels" => Some(Value::map(&tier.labels)),
            "data_plane.id" | "node.data_plane" => text(plane.id.as_str()),
            "data_plane.region" => text(plane.region.as_str()),
            "data_plane.exclusive_to" => {
                text(plane.exclusive_to.as_ref().map_or("", |tenant| tenant.as_str()))
            }
            "data_plane.labels" => Some(Value::map(&plane.labels)),
            "node.region" => text(self.node.region.as_str()),
            "model.public_name" => text(self.assigned.name.as_str()),
            "model.name" => text(self.assigned.model.as_str()),
            "model.version" => text(self.assigned.version.as_str()),
            "model.digest" => {
                text(digest.get_or_init(|| self.assigned.digest.to_string()).as_str())
            }
            "model.trained_on" => {
                let tenants = || texts(&self.assigned.trained_on);
                Some(Value::list(trained_on.get_or_init(tenants)))
            }
            "model.base" => text(base.map_or("", |base| base.model.as_str())),
            "model.base_trained_on" => {
                let tenants = || texts(base.into_iter().flat_map(|base| &base.trained_on));
                Some(Value::list(base_trained_on.get_or_init(tenants)))
            }
            _ => None,
        }
    }
}

/// The headers that a check may read: the passport is nobody's business, and a token is none
/// either, should one get here.
struct Headers<'a>(&'a HeaderMap);

impl Headers<'_> {
    fn content_length(&self) -> i64 {
        let length = self.0.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        length.and_then(|length| length.parse().ok()).filter(|bytes| *bytes >= 0).unwrap_or(-1)
    }
}

fn is_visible(name: &str) -> bool {
    !headers::is_internal(name.as_bytes()) && name != header::AUTHORIZATION.as_str()
}

impl Mapping for Headers<'_> {
    fn len(&self) -> usize {
        Mapping::keys(self).count()
    }

    /// Of a header that is given more than once, the values joined by `, ` (RFC 9110, 5.2).
    fn get<'s>(&'s self, key: &str) -> Option<Value<'s>> {
        let mut values = self.0.get_all(key).iter().filter(|_| is_visible(key));
        let first = String::from_utf8_lossy(values.next()?.as_bytes());
        let joined = values.fold(first, |mut all, next| {
            all.to_mut().push_str(", ");
            all.to_mut().push_str(&String::from_utf8_lossy(next.as_bytes()));
            all
        });
        Some(Value::String(joined))
    }

    fn keys(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.0.keys().map(http::HeaderName::as_str).filter(|name| is_visible(name)))
    }
}
