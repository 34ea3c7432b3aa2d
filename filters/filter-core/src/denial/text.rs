//! What a denial tells the caller.

use tenancy::problem::Problem;

/// The `www-authenticate` header (RFC 6750, section 3). Titles are plain ASCII without quotes.
pub(super) fn challenge(problem: Option<Problem>, status: u16, title: &str) -> Option<String> {
    match (problem, status) {
        // A request without credentials is told no error (RFC 6750, 3.1).
        (Some(Problem::MissingCredentials), _) => Some("Bearer".to_owned()),
        (_, 401) => Some(format!("Bearer error=\"invalid_token\", error_description=\"{title}\"")),
        _ => None,
    }
}

/// What was expected and what to do. The texts are fixed: nothing of the request is echoed, and
/// nothing of the table is told to a caller who has not proven who they are.
pub(super) fn detail(problem: Problem) -> &'static str {
    match problem {
        Problem::MissingCredentials => {
            "expected the header `authorization: Bearer <token>`, found none; send a token of your \
             organisation's identity provider"
        }
        Problem::MalformedToken => {
            "expected exactly one bearer token, a signed JWT of at most 8 KiB (RFC 7519), found \
             something else; send the token as your identity provider issued it"
        }
        Problem::AlgorithmNotAllowed => {
            "expected a token signed with an algorithm that is agreed for its issuer, found \
             another; tokens without a signature or with a shared secret are never accepted"
        }
        Problem::UnknownIssuer => {
            "expected a token of a registered identity provider, found another issuer; check the \
             token's `iss`, or have your identity provider registered"
        }
        Problem::UnknownKey => {
            "expected a token signed with a published key of its issuer, found another key; get a \
             fresh token, as keys may have been rotated"
        }
        Problem::BadSignature => {
            "expected a token with a signature of its issuer, found one that does not verify; send \
             the token as your identity provider issued it"
        }
        Problem::TokenExpired => {
            "expected a token whose `exp` lies ahead, found one that has expired or has no `exp`; \
             get a fresh token"
        }
        Problem::TokenNotYetValid => {
            "expected a token that is already valid, found an `nbf` or `iat` ahead of now; check \
             the issuer's clock"
        }
        Problem::WrongAudience => {
            "expected a token for this API, found another `aud`; ask your identity provider for a \
             token with this API's audience"
        }
        Problem::MissingOrg => {
            "expected the organisation in the token, found no well-formed organisation claim; ask \
             your identity provider to add it"
        }
        Problem::OrgNotBound => {
            "expected an organisation that the token's issuer may speak for, found another; send a \
             token of your own organisation's identity provider"
        }
        Problem::UnknownTenant => {
            "expected the organisation of a customer, found one that has not been onboarded"
        }
        Problem::TenantSuspended => {
            "this organisation's access is suspended; ask the operator of this API"
        }
        Problem::RateLimited => {
            "this organisation's request rate is used up; wait for the seconds in `retry-after`"
        }
        Problem::Overloaded => {
            "the organisation's rate could not be counted because too many requests arrived at \
             once; try again"
        }
        Problem::PolicyUnavailable => {
            "this proxy holds no usable policy and lets nothing pass without one; try again later"
        }
        Problem::PassportMissing => {
            "expected a passport, found none; requests reach a node through the gateway only"
        }
        Problem::PassportInvalid => {
            "expected exactly one passport of this deployment, found none that verifies; requests \
             reach a node through the gateway only"
        }
        Problem::PassportExpired => {
            "expected a passport that is still valid, found an expired one; send the request again"
        }
        Problem::WrongDataPlane => {
            "expected a passport for this data plane, found one for another; this node does not \
             serve that organisation"
        }
        other => other.title(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_a_well_formed_header() {
        for problem in Problem::ALL {
            if let Some(value) = challenge(Some(*problem), problem.status(), problem.title()) {
                assert_eq!(problem.status(), 401);
                assert_eq!(value.matches('"').count() % 4, 0, "{value}");
                assert!(value.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'\\'), "{value}");
            }
        }
    }

    #[test]
    fn every_denial_of_the_filters_says_more_than_its_title() {
        let decided_here = Problem::ALL.iter().take_while(|p| **p != Problem::NotFound);
        for problem in decided_here {
            assert_ne!(detail(*problem), problem.title(), "{problem:?}");
        }
    }
}
