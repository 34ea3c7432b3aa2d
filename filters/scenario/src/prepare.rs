//! From a request as a scenario describes it to the bytes that are sent.

use tenancy::headers;

use crate::{Deployment, Error, Header, Prepared, format::Request, minted, token};

const DEFAULT_METHOD: &str = "POST";
const DEFAULT_PATH: &str = "/v2/models/eta/infer";
const DEFAULT_HOST: &str = "api.bulkhead.example";

/// `request` with its token and passport, made at `now` (Unix seconds).
///
/// # Errors
/// Where it names what the deployment does not have.
pub fn prepare(deployment: &Deployment, request: &Request, now: u64) -> Result<Prepared, Error> {
    let token =
        request.token.as_ref().map(|spec| token::make(deployment, spec, now)).transpose()?;
    let passport =
        request.passport.as_ref().map(|spec| minted::make(deployment, spec, now)).transpose()?;
    let method = request.method.as_deref().unwrap_or(DEFAULT_METHOD);
    let mut all = vec![
        header(":method", method),
        header(":scheme", "http"),
        header(":authority", request.host.as_deref().unwrap_or(DEFAULT_HOST)),
        header(":path", request.path.as_deref().unwrap_or(DEFAULT_PATH)),
    ];
    if let (Some(spec), Some(token)) = (&request.token, &token) {
        let scheme = spec.scheme.as_deref().unwrap_or("Bearer");
        all.push(header("authorization", &format!("{scheme} {token}")));
    }
    if let (Some(spec), Some(passport)) = (&request.passport, &passport) {
        let copies = spec.copies.unwrap_or(1);
        all.extend((0..copies).map(|_| header(headers::PASSPORT, passport)));
    }
    for (name, value) in &request.headers {
        let value = value
            .replace("${token}", token.as_deref().unwrap_or_default())
            .replace("${passport}", passport.as_deref().unwrap_or_default());
        all.push(header(name, &value));
    }
    let body_bytes = request.body_bytes.unwrap_or(0);
    let has_body = request.body_bytes.is_some() || matches!(method, "POST" | "PUT" | "PATCH");
    if has_body && !request.chunked {
        all.push(header("content-length", &body_bytes.to_string()));
    }
    Ok(Prepared { target: request.to.clone(), headers: all, body_bytes, chunked: request.chunked })
}

fn header(name: &str, value: &str) -> Header {
    (name.to_owned(), value.as_bytes().to_vec())
}
