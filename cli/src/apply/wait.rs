//! Whether the connected proxies took a change.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::{Outcome, Patience, progress::Display};
use crate::server::{Applied, Group, ProxyRefusal, Server};

const PAUSE: Duration = Duration::from_millis(50);

/// How far the connected proxies have come with what they were sent last: node ids, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Standing {
    pub(crate) accepted: Vec<String>,
    pub(crate) refused: Vec<ProxyRefusal>,
    pub(crate) waiting: Vec<String>,
}

impl Standing {
    fn of(groups: &[Group]) -> Self {
        let each = |of: fn(&Group) -> &Vec<String>| {
            let mut names: Vec<String> = groups.iter().flat_map(of).cloned().collect();
            names.sort();
            names
        };
        let mut refused: Vec<ProxyRefusal> = groups
            .iter()
            .flat_map(|group| &group.refused)
            .map(|it| ProxyRefusal {
                proxy: it.node.clone(),
                resource: it.refusal.resources.join(", "),
                message: it.refusal.message.clone(),
            })
            .collect();
        refused.sort_by(|one, other| one.proxy.cmp(&other.proxy));
        Self { accepted: each(|group| &group.accepted), refused, waiting: each(|it| &it.waiting) }
    }

    /// How many have answered, of how many, and who has not.
    pub(super) fn progress(&self) -> String {
        let mut refusing: Vec<&str> = self.refused.iter().map(|it| it.proxy.as_str()).collect();
        refusing.dedup();
        let (accepted, refused) = (self.accepted.len(), refusing.len());
        let all = accepted + refused + self.waiting.len();
        let mut text = format!("{accepted} of {all} proxies have it in force");
        if refused > 0 {
            text.push_str(&format!("; refused by {}", refusing.join(", ")));
        }
        if !self.waiting.is_empty() {
            text.push_str(&format!("; waiting for {}", self.waiting.join(", ")));
        }
        text
    }
}

/// Waits until every connected proxy has taken or refused what it was sent.
pub(crate) async fn finish(
    server: &Server,
    applied: Applied,
    patience: &Patience,
) -> Result<Outcome> {
    if patience.timeout.is_zero() {
        return Ok(Outcome::Sent(applied));
    }
    let deadline = Instant::now() + patience.timeout;
    let mut display = Display::on_stderr();
    loop {
        let standing = Standing::of(&server.status().await?.groups);
        let is_settled = standing.waiting.is_empty();
        let is_over = Instant::now() >= deadline;
        if !is_settled && !is_over {
            display.show(&standing.progress());
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        display.clear();
        return Ok(match standing.refused.is_empty() {
            false => Outcome::RefusedByProxy(applied, standing),
            true if is_settled => Outcome::InForce(applied, standing),
            true => Outcome::NoAnswer(applied, standing, patience.timeout),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(json: serde_json::Value) -> Group {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn progress_says_how_many_of_how_many_and_who_is_missing() {
        let refusal = serde_json::json!({
            "node": "node-eu", "type_url": "t", "refusal": {
                "version": "b", "message": "no", "resources": ["recheck"],
                "at": "2026-11-21T00:00:00Z"}});
        let groups = [
            group(
                serde_json::json!({"accepted": ["ingress-2"], "refused": [], "waiting": ["ingress-1"]}),
            ),
            group(serde_json::json!({"accepted": [], "refused": [refusal], "waiting": []})),
        ];
        let standing = Standing::of(&groups);
        assert_eq!(
            standing.progress(),
            "1 of 3 proxies have it in force; refused by node-eu; waiting for ingress-1"
        );
        assert_eq!(standing.refused[0].resource, "recheck");
    }
}
