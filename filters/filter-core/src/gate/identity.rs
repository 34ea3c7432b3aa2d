//! From a token to the tenant that it speaks for.

use std::{cell::RefCell, rc::Rc};

use policy_model::table::{ArchivedIssuerRow, ArchivedKeyRow, GateTable};
use serde_json::{Map, Value};
use tenancy::{TenantId, problem::Problem};

use crate::{
    Host,
    jwt::{JoseHeader, Jwt},
    signature::{self, Algorithm},
};

/// Who a verified token speaks for.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) tenant: TenantId,
    /// The token's `exp`, in Unix seconds.
    pub(super) expires_at: u64,
    /// The table that it was verified under.
    pub(super) revision: Rc<str>,
    /// What checks read of it; `None` where no check of the table reads any.
    pub(super) token: Option<Box<Token>>,
    /// The passport minted for it last.
    pub(super) passport: RefCell<Option<Minted>>,
}

/// A verified token as checks see it.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) issuer: String,
    pub(super) algorithm: String,
    pub(super) key_id: String,
    /// Unix seconds.
    pub(super) issued_at: Option<u64>,
    pub(super) claims: Map<String, Value>,
}

/// A passport and the Unix second from which it is none.
#[derive(Debug)]
pub(super) struct Minted {
    pub(super) token: Rc<str>,
    pub(super) expires_at: u64,
}

/// Verifies `token` at `now` (Unix seconds) by `table`, whose `revision` that is, and keeps what checks
/// read of it where `is_read`.
///
/// The signature comes before any claim is believed; `iss` and `kid` are read first only to find
/// the key. A token costs at most one verification, whatever is wrong with it.
pub(super) fn verify(
    host: &impl Host,
    (table, revision): (&GateTable, &Rc<str>),
    token: &str,
    now: u64,
    is_read: bool,
) -> Result<Identity, Problem> {
    let jwt = Jwt::parse(token)?;
    let algorithm = Algorithm::from_name(&jwt.header.alg).ok_or(Problem::AlgorithmNotAllowed)?;
    let issuer =
        jwt.claims.text("iss").and_then(|iss| table.issuer(iss)).ok_or(Problem::UnknownIssuer)?;
    if !issuer.algorithms.iter().any(|allowed| *allowed == *jwt.header.alg) {
        return Err(Problem::AlgorithmNotAllowed);
    }
    let key = only_key(issuer, &jwt.header).ok_or(Problem::UnknownKey)?;
    if !signature::verifies(host, algorithm, &key.spki, &jwt) {
        return Err(Problem::BadSignature);
    }
    let admitted = jwt.claims.admit(issuer, now)?;
    let token = is_read.then(|| Token::of(jwt));
    Ok(Identity::new(admitted.tenant, admitted.expires_at, Rc::clone(revision), token))
}

impl Identity {
    pub(super) fn new(
        tenant: TenantId,
        expires_at: u64,
        revision: Rc<str>,
        token: Option<Token>,
    ) -> Self {
        let token = token.map(Box::new);
        Self { tenant, expires_at, revision, token, passport: RefCell::default() }
    }
}

impl Token {
    fn of(jwt: Jwt<'_>) -> Self {
        Self {
            issuer: jwt.claims.text("iss").unwrap_or_default().to_owned(),
            algorithm: jwt.header.alg,
            key_id: jwt.header.kid.unwrap_or_default(),
            issued_at: jwt.claims.issued_at(),
            claims: jwt.claims.into_map(),
        }
    }
}

/// The one key of `issuer` that the header can mean: of its algorithm, and of its `kid` where it
/// names one. Where several fit, none is taken: trying them all would let one token cost many
/// verifications.
fn only_key<'a>(issuer: &'a ArchivedIssuerRow, header: &JoseHeader) -> Option<&'a ArchivedKeyRow> {
    let mut fitting = issuer.keys.iter().filter(|key| {
        key.algorithm == *header.alg && header.kid.as_ref().is_none_or(|kid| key.id == **kid)
    });
    let key = fitting.next()?;
    fitting.next().is_none().then_some(key)
}
