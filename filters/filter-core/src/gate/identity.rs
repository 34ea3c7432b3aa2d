//! From a token to the tenant that it speaks for.

use std::{cell::RefCell, rc::Rc};

use policy_model::table::{ArchivedIssuerRow, ArchivedKeyRow, GateTable};
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
    pub(super) revision: String,
    /// The passport minted for it last.
    pub(super) passport: RefCell<Option<Minted>>,
}

/// A passport and the Unix second from which it is none.
#[derive(Debug)]
pub(super) struct Minted {
    pub(super) token: Rc<str>,
    pub(super) expires_at: u64,
}

/// Verifies `token` at `now` (Unix seconds).
///
/// The signature comes before any claim is believed; `iss` and `kid` are read first only to find
/// the key. A token costs at most one verification, whatever is wrong with it.
pub(super) fn verify(
    host: &impl Host,
    table: &GateTable,
    token: &str,
    now: u64,
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
    Ok(Identity {
        tenant: admitted.tenant,
        expires_at: admitted.expires_at,
        revision: table.revision().to_owned(),
        passport: RefCell::default(),
    })
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
