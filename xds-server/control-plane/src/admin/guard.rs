//! Every request passes here before anything of it is read: who sends it, may they, is there room.
//!
//! What the OpenAPI document says about an operation's roles is what is enforced ([`Rules`]), and an
//! operation of which it says nothing is open to nobody.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::sync::Semaphore;
use tracing::Instrument as _;
use uuid::Uuid;

use super::{
    local::{is_local_host, is_local_origin},
    problem::{Code, Problem},
    rules::{Access, Rules},
};
use crate::operators::{LOOPBACK, Role, Roster};

/// How many requests are worked on at once.
const AT_ONCE: usize = 256;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a change may take: proxies may be given 300 s to try one, and as long again to go back.
const PATIENCE_WITH_A_CHANGE: Duration = Duration::from_secs(660);

const REQUEST_ID_HEADER: &str = "x-request-id";

tokio::task_local! {
    /// The request that is being answered, for its problem and the log.
    pub(super) static REQUEST_ID: Uuid;
}

/// Who sends a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    /// What the journal calls them.
    pub(super) name: String,
    /// What they may do.
    pub(super) role: Role,
}

/// What decides who may do what.
pub(crate) struct Guard {
    /// Nothing where the interface listens on loopback only and for everybody there.
    roster: Option<Arc<Roster>>,
    rules: Rules,
    room: Semaphore,
}

impl Guard {
    pub(super) fn new(roster: Option<Arc<Roster>>, rules: Rules) -> Self {
        Self { roster, rules, room: Semaphore::new(AT_ONCE) }
    }

    /// Who sends the request and may do what it asks for; nobody in particular where that is open to
    /// everybody.
    fn admit(&self, asked: &Asked, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
        let access = self.rules.access(asked.path.as_deref(), &asked.method);
        if let Some(Access::Anyone) = access {
            return Ok(None);
        }
        // Before it is told what there is and what not.
        let caller = self.identify(headers, asked)?;
        match access {
            Some(Access::Roles(roles)) if roles.contains(&caller.role) => Ok(Some(caller)),
            Some(access) => {
                let detail = format!(
                    "expected an operator who is {access} for {} {}, found `{}`, who is {}; ask an \
                     admin for another token",
                    asked.method, asked.uri, caller.name, caller.role
                );
                tracing::warn!(operator = caller.name, role = %caller.role, "forbidden");
                Err(Problem::new(Code::Forbidden, detail))
            }
            None if asked.path.is_some() => Err(Problem::new(
                Code::MethodNotAllowed,
                format!("{} does not answer to {}; see /v1/openapi.json", asked.uri, asked.method),
            )),
            None => Err(Problem::new(
                Code::NotFound,
                format!("there is nothing at {}; see /v1/openapi.json", asked.uri),
            )),
        }
    }

    fn identify(&self, headers: &HeaderMap, asked: &Asked) -> Result<Caller, Problem> {
        let Some(roster) = &self.roster else {
            asked.is_from_here(headers)?;
            return Ok(Caller { name: LOOPBACK.to_owned(), role: Role::Admin });
        };
        let refused = |found: &str| {
            tracing::warn!(found, "unauthenticated");
            Problem::new(
                Code::Unauthenticated,
                format!(
                    "expected `Authorization: Bearer` and an operator's token, found {found}; give \
                     the commands one by --token or BULKHEAD_TOKEN, and sidecars by \
                     BULKHEAD_NODE_TOKEN"
                ),
            )
        };
        let token = match bearer(headers) {
            Ok(token) => token,
            Err(found) => return Err(refused(found)),
        };
        let operator = roster.identify(token).ok_or_else(|| refused("a token of nobody"))?;
        Ok(Caller { name: operator.name, role: operator.role })
    }
}

/// What a request asks for.
struct Asked {
    method: Method,
    /// As it is shown: without a query, which may hold anything.
    uri: String,
    authority: Option<String>,
    /// As the router knows it.
    path: Option<String>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let path = request.extensions().get::<MatchedPath>();
        Self {
            method: request.method().clone(),
            uri: request.uri().path().chars().take(256).collect(),
            authority: request.uri().authority().map(ToString::to_string),
            path: path.map(|path| path.as_str().to_owned()),
        }
    }

    /// Without operators, whoever reaches the port is an admin. A browser on this machine reaches
    /// it on behalf of any web page, so requests of pages are refused: a name that a page made
    /// point here is in the host (DNS rebinding), and a page of another origin is in the origin.
    fn is_from_here(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let hosts: Vec<_> = headers.get_all(header::HOST).iter().collect();
        let named = match (hosts.as_slice(), &self.authority) {
            ([host], _) => host.to_str().ok().map(str::to_owned),
            ([], Some(authority)) => Some(authority.clone()),
            _ => None,
        };
        if !named.as_deref().is_some_and(is_local_host) {
            let named = named.unwrap_or_default();
            tracing::warn!(host = named, "foreign host");
            let detail = format!(
                "expected one Host of this machine, as 127.0.0.1, [::1] or localhost, found \
                 `{}`: without operators this interface is for this machine alone; start it with \
                 --operators to be reached by other names",
                named.escape_debug()
            );
            return Err(Problem::new(Code::ForeignHost, detail));
        }
        for origin in headers.get_all(header::ORIGIN) {
            let origin = origin.to_str().unwrap_or_default();
            if !is_local_origin(origin) {
                tracing::warn!(origin, "foreign origin");
                let detail = format!(
                    "expected no web page, or one of this machine, found one of `{}`; start the \
                     control plane with --operators to be used by others",
                    origin.escape_debug()
                );
                return Err(Problem::new(Code::ForeignOrigin, detail));
            }
        }
        Ok(())
    }
}

/// The token of a request, or what was found in its place.
fn bearer(headers: &HeaderMap) -> Result<&str, &'static str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        let several = headers.contains_key(header::AUTHORIZATION);
        return Err(if several { "several credentials" } else { "no credentials" });
    };
    let value = value.to_str().map_err(|_| "credentials that are no text")?;
    match value.split_once(' ') {
        // RFC 9110, section 11.1: the scheme's case does not matter.
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => match token.trim() {
            "" => Err("an empty token"),
            token => Ok(token),
        },
        _ => Err("credentials of another scheme"),
    }
}

/// The middleware.
pub(super) async fn check(
    State(guard): State<Arc<Guard>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = Uuid::now_v7();
    let asked = Asked::of(&request);
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|ConnectInfo(peer)| peer.to_string()).unwrap_or_default();
    let span = tracing::info_span!("request", %id, method = %asked.method, path = asked.uri, peer);
    let answered = async {
        let caller = match guard.admit(&asked, request.headers()) {
            Ok(caller) => caller,
            Err(problem) => return told(problem),
        };
        let Ok(_room) = guard.room.try_acquire() else {
            let busy =
                format!("expected at most {AT_ONCE} requests at once, found more; try again");
            return told(Problem::new(Code::Overloaded, busy));
        };
        let name = caller.as_ref().map(|caller| caller.name.clone());
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        let response = match patience(&asked) {
            None => next.run(request).await,
            Some(patience) => match tokio::time::timeout(patience, next.run(request)).await {
                Ok(response) => response,
                Err(_) => told(Problem::new(
                    Code::TimedOut,
                    format!(
                        "expected an answer within {} s; what was asked for may have been done \
                             all the same: look at the history",
                        patience.as_secs()
                    ),
                )),
            },
        };
        let (status, name) = (response.status().as_u16(), name.unwrap_or_default());
        if asked.method.is_safe() {
            tracing::debug!(operator = name, status, "answered");
        } else {
            tracing::info!(operator = name, status, "answered");
        }
        response
    };
    let mut response = REQUEST_ID.scope(id, answered).instrument(span).await;
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(REQUEST_ID_HEADER, id);
    }
    // What is told here is of the moment and for its asker alone.
    let uncached = HeaderValue::from_static("no-store");
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(uncached);
    response
}

fn told(problem: Problem) -> Response {
    tracing::debug!(code = problem.code().as_str(), detail = problem.detail(), "refused");
    problem.into_response()
}

/// Artifacts are as large as they are, and whoever sends or takes one says by each part that they
/// are still there.
fn patience(asked: &Asked) -> Option<Duration> {
    match asked.path.as_deref() {
        Some(path) if path.starts_with("/v1/artifacts/") => None,
        Some("/v1/resources" | "/v1/rollback") if !asked.method.is_safe() => {
            Some(PATIENCE_WITH_A_CHANGE)
        }
        _ => Some(PATIENCE),
    }
}

/// What the router itself answers where it finds nothing; the guard has answered before.
pub(super) async fn nothing_here() -> Response {
    StatusCode::NOT_FOUND.into_response()
}
