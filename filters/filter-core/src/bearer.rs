//! Finds the bearer token (RFC 6750, section 2.1).

use tenancy::{headers::AUTHORIZATION, problem::Problem};

use crate::Headers;

/// The longest token accepted, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The one bearer token among `headers`.
///
/// Several `authorization` headers are refused rather than resolved: whichever was chosen,
/// somebody behind could choose the other. A proxy that joins them with a comma makes a token
/// that cannot be read, which is the same denial.
pub(crate) fn token(headers: &Headers) -> Result<&str, Problem> {
    let mut found = headers.all(AUTHORIZATION);
    let value = found.next().ok_or(Problem::MissingCredentials)?;
    if found.next().is_some() {
        return Err(Problem::MalformedToken);
    }
    let value = std::str::from_utf8(value).map_err(|_| Problem::MalformedToken)?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Problem::MissingCredentials);
    }
    let token = token.trim_matches(' ');
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES {
        return Err(Problem::MalformedToken);
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&[u8]]) -> Result<String, Problem> {
        let headers: Headers =
            values.iter().map(|value| (AUTHORIZATION.to_owned(), value.to_vec())).collect();
        token(&headers).map(str::to_owned)
    }

    #[test]
    fn the_scheme_is_read_in_any_case() {
        assert_eq!(read(&[b"Bearer a.b.c"]), Ok("a.b.c".to_owned()));
        assert_eq!(read(&[b"bEARER  a.b.c "]), Ok("a.b.c".to_owned()));
    }

    #[test]
    fn no_token_and_no_readable_token_are_told_apart() {
        assert_eq!(read(&[]), Err(Problem::MissingCredentials));
        assert_eq!(read(&[b"Basic dTpw"]), Err(Problem::MissingCredentials));
        assert_eq!(read(&[b"Bearer"]), Err(Problem::MalformedToken));
        assert_eq!(read(&[b"Bearer "]), Err(Problem::MalformedToken));
        assert_eq!(read(&[b"Bearer \xff"]), Err(Problem::MalformedToken));
        assert_eq!(read(&[b"Bearer a", b"Bearer a"]), Err(Problem::MalformedToken));
        let long = format!("Bearer {}", "a".repeat(MAX_TOKEN_BYTES + 1));
        assert_eq!(read(&[long.as_bytes()]), Err(Problem::MalformedToken));
    }
}
