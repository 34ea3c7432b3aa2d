//! Why the server did not do what it was asked.

use policy_model::diagnostic::Diagnostic;
use reqwest::{Response, StatusCode};
use serde::Deserialize;

use super::ProxyRefusal;

/// Why the server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("could not reach the xds-server at {url}; name it by --server or BULKHEAD_SERVER")]
    Unreachable { url: String, source: reqwest::Error },
    #[error("the xds-server wants to know who asks (401): {detail}; {mend}")]
    Unauthenticated { detail: String, mend: &'static str },
    #[error("the operator whose token this is may not do that (403): {detail}")]
    Forbidden { detail: String },
    #[error("{detail}")]
    Refused { detail: String, mistakes: Vec<Diagnostic> },
    #[error("{detail}")]
    Stale { detail: String, seq: Option<u64>, diff: Vec<String> },
    #[error("{detail}")]
    CanaryFailed { detail: String, refusals: Vec<ProxyRefusal>, silent: Vec<String> },
    #[error("{detail}{}", listed(names))]
    Declined { detail: String, names: Vec<String> },
    #[error("the xds-server answered {path} with {status}: {detail}")]
    Failed { path: String, status: StatusCode, detail: String },
    #[error("the answer to {path} is not one that this version of bulkhead understands")]
    Strange { path: String, source: reqwest::Error },
}

/// An answer that is no success: a problem (RFC 9457) with what some codes add to it.
#[derive(Debug, Default, Deserialize)]
struct Problem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    diagnostics: Vec<Diagnostic>,
    #[serde(default)]
    seq: Option<u64>,
    #[serde(default)]
    diff: Vec<String>,
    #[serde(default)]
    refusals: Vec<ProxyRefusal>,
    #[serde(default)]
    proxies: Vec<String>,
}

const NO_TOKEN: &str = "give an operator's token by --token or BULKHEAD_TOKEN";
const WRONG_TOKEN: &str =
    "was the token copied whole, and is its operator still in the server's --operators file?";

fn listed(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) }
}

impl ServerError {
    pub(super) async fn read(response: Response, gave_token: bool) -> Self {
        let (status, path) = (response.status(), response.url().path().to_owned());
        let text = response.text().await.unwrap_or_default();
        Self::of(status, path, &text, gave_token)
    }

    fn of(status: StatusCode, path: String, text: &str, gave_token: bool) -> Self {
        let problem: Problem = serde_json::from_str(text).unwrap_or_default();
        let is_problem = !problem.code.is_empty() && status.is_client_error();
        let said = [&problem.detail, &problem.title].into_iter().find(|said| !said.is_empty());
        let detail = said.map_or_else(|| text.trim().to_owned(), Clone::clone);
        match (status, problem.code.as_str()) {
            (StatusCode::UNAUTHORIZED, _) => Self::Unauthenticated {
                detail,
                mend: if gave_token { WRONG_TOKEN } else { NO_TOKEN },
            },
            (StatusCode::FORBIDDEN, _) => Self::Forbidden { detail },
            (StatusCode::UNPROCESSABLE_ENTITY, _) => {
                Self::Refused { detail, mistakes: problem.diagnostics }
            }
            (_, "stale_change") => Self::Stale { detail, seq: problem.seq, diff: problem.diff },
            (_, "canary_refused" | "canary_unanswered") => {
                Self::CanaryFailed { detail, refusals: problem.refusals, silent: problem.proxies }
            }
            _ if is_problem => Self::Declined { detail, names: problem.proxies },
            _ => Self::Failed { path, status, detail },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, text: &str, gave_token: bool) -> ServerError {
        let status = StatusCode::from_u16(status).unwrap();
        ServerError::of(status, "/v1/status".to_owned(), text, gave_token)
    }

    #[test]
    fn who_gave_no_token_is_told_where_to_give_it_and_who_gave_a_wrong_one_is_not() {
        let problem = r#"{"title": "no operator", "detail": "expected a bearer token"}"#;
        let none = read(401, problem, false).to_string();
        assert!(none.contains("expected a bearer token") && none.contains("--token"), "{none}");
        let wrong = read(401, problem, true).to_string();
        assert!(!wrong.contains("--token or") && wrong.contains("--operators"), "{wrong}");
    }

    #[test]
    fn a_role_that_does_not_suffice_is_told_in_the_servers_words() {
        let error = read(403, r#"{"detail": "`eve` is a viewer, and this wants an editor"}"#, true);
        assert!(error.to_string().contains("`eve` is a viewer"), "{error}");
    }

    #[test]
    fn a_stale_change_and_a_refused_canary_are_told_apart() {
        let stale = r#"{"code": "stale_change", "detail": "d", "seq": 7, "diff": ["entry 7"]}"#;
        let ServerError::Stale { seq: Some(7), diff, .. } = read(409, stale, true) else {
            panic!("not stale");
        };
        assert_eq!(diff, ["entry 7"]);
        let canary = r#"{"code": "canary_refused", "detail": "d",
            "refusals": [{"proxy": "ingress-1", "resource": "gate", "message": "no"}]}"#;
        let ServerError::CanaryFailed { refusals, .. } = read(409, canary, true) else {
            panic!("no canary");
        };
        assert_eq!(refusals[0].proxy, "ingress-1");
        let silent = r#"{"code": "canary_unanswered", "detail": "d", "proxies": ["node-1"]}"#;
        let ServerError::CanaryFailed { silent, .. } = read(409, silent, true) else {
            panic!("no canary");
        };
        assert_eq!(silent, ["node-1"]);
    }

    #[test]
    fn a_refusal_keeps_the_mistakes_and_its_own_words() {
        let text = r#"{"code": "table_refused", "detail": "too large for a table"}"#;
        let ServerError::Refused { detail, mistakes } = read(422, text, true) else {
            panic!("not refused");
        };
        assert_eq!((detail.as_str(), mistakes.len()), ("too large for a table", 0));
    }

    #[test]
    fn who_is_connected_is_told_where_the_canary_is_nobody() {
        let text =
            r#"{"code": "canary_nobody", "detail": "nobody is meant", "proxies": ["a", "b"]}"#;
        assert_eq!(read(409, text, true).to_string(), "nobody is meant: a, b");
    }

    #[test]
    fn what_is_no_problem_is_shown_as_it_came() {
        let error = read(502, "upstream connect error\n", true).to_string();
        assert!(error.ends_with("502 Bad Gateway: upstream connect error"), "{error}");
    }
}
