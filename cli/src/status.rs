//! `bulkhead status` and `bulkhead policy status`.

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use xds::{Fetching, ProxyStatus, TypeStatus};

use crate::{
    server::{Proxy, ServerArguments, Status},
    table::{Table, age},
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Show each type of configuration of each proxy.
    #[arg(long)]
    types: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let server = arguments.server.connect()?;
    if arguments.json {
        println!("{:#}", server.status_json().await?);
        return Ok(());
    }
    let status = server.status().await?;
    println!("revision {} (journal entry {})\n", status.revision, status.seq);
    let now = Timestamp::now();
    let table = if arguments.types { types(&status, now) } else { proxies(&status, now) };
    print!("{}", table.render());
    Ok(())
}

/// A row for each proxy.
fn proxies(status: &Status, now: Timestamp) -> Table {
    let mut table = Table::new(&["proxy", "group", "revision", "for", "newest", "last refusal"]);
    for proxy in &status.proxies {
        table.row([
            name(&proxy.status),
            proxy.status.group.clone(),
            proxy.revision.as_deref().map_or_else(|| "-".to_owned(), short),
            proxy.age(now),
            standing(status, proxy).to_owned(),
            last_refusal(&proxy.status, now),
        ]);
    }
    table
}

impl Proxy {
    /// For how long it has had its revision: as the server says, or else since it last took
    /// anything.
    fn age(&self, now: Timestamp) -> String {
        let newest = self.status.types.values().filter_map(|it| it.in_force_since).max();
        let since = newest.map(|since| now.as_second().saturating_sub(since.as_second()));
        let seconds = self.age_seconds.or(since);
        seconds.map_or_else(|| "-".to_owned(), age)
    }
}

/// Whether it has what it was sent last.
fn standing(status: &Status, proxy: &Proxy) -> &'static str {
    if proxy.canary {
        return "canary";
    }
    let proxy = &proxy.status;
    let group = |of: fn(&crate::server::Group, &str) -> bool| {
        proxy.is_connected() && status.groups.iter().any(|group| of(group, &proxy.node))
    };
    if group(|group, node| group.refused.iter().any(|it| it.node == node)) {
        "refused"
    } else if group(|group, node| group.waiting.iter().any(|it| it == node)) {
        "waiting"
    } else if group(|group, node| group.accepted.iter().any(|it| it == node)) {
        "yes"
    } else {
        "-"
    }
}

/// What it refuses now, or what it fetches before it can take it, or else what it refused last, in
/// its own words.
fn last_refusal(proxy: &ProxyStatus, now: Timestamp) -> String {
    let current = proxy.types.values().filter_map(|status| status.refusal.as_ref());
    if let Some(refusal) = current.max_by_key(|refusal| refusal.at) {
        return format!("{} refused: {}", short(&refusal.version), words(&refusal.message));
    }
    if let Some(fetching) = proxy.types.values().find_map(|status| status.fetching.as_ref()) {
        return fetched(fetching);
    }
    proxy.last_refusal.as_ref().map_or_else(String::new, |last| {
        let ago = now.as_second().saturating_sub(last.refusal.at.as_second());
        format!("{} ago, mended since: {}", age(ago), words(&last.refusal.message))
    })
}

/// A row for each type of configuration of each proxy.
fn types(status: &Status, now: Timestamp) -> Table {
    let mut table = Table::new(&["proxy", "group", "type", "in force", "for", "last refusal"]);
    for proxy in status.proxies.iter().map(|proxy| &proxy.status) {
        for (type_url, status) in &proxy.types {
            table.row(of_type(proxy, type_url, status, now));
        }
        if proxy.types.is_empty() {
            let cells = [name(proxy), proxy.group.clone(), "-".to_owned()];
            table.row(cells.into_iter().chain(["-", "-", ""].map(str::to_owned)));
        }
    }
    table
}

fn of_type(
    proxy: &ProxyStatus,
    type_url: &str,
    status: &TypeStatus,
    now: Timestamp,
) -> [String; 6] {
    let since = status.in_force_since.map(|since| now.as_second() - since.as_second());
    [
        name(proxy),
        proxy.group.clone(),
        type_url.rsplit('.').next().unwrap_or(type_url).to_owned(),
        status.in_force.as_deref().map_or_else(|| "-".to_owned(), short),
        since.map_or_else(|| "-".to_owned(), age),
        match (&status.refusal, &status.fetching) {
            (Some(refusal), _) => {
                format!("{} refused: {}", short(&refusal.version), words(&refusal.message))
            }
            (None, Some(fetching)) => fetched(fetching),
            (None, None) => String::new(),
        },
    ]
}

fn name(proxy: &ProxyStatus) -> String {
    if proxy.is_connected() { proxy.node.clone() } else { format!("{} (gone)", proxy.node) }
}

/// Not a refusal: it is sent again.
fn fetched(Fetching { version, message, refusals, .. }: &Fetching) -> String {
    format!("{} waits for its code (asked {refusals}x): {}", short(version), words(message))
}

/// On one line.
fn words(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// Enough of a version to tell it from another.
fn short(version: &str) -> String {
    version.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSAL: &str = r#"{"version": "b", "message": "no such\n thing", "resources": [], "at": "1970-01-01T00:00:00Z"}"#;

    fn status(refusal: &str, last: &str, standing: &str) -> Status {
        let text = format!(
            r#"{{"revision": "b", "seq": 2, "groups": [{standing}], "proxies": [{{
                "node": "ingress", "group": "gateway/0.0.0.0:80", "user_agent": "envoy 1.40.0",
                "variant": "delta", "connected_since": "1970-01-01T00:00:00Z", "gone_since": null,
                "revision": "a", "age_seconds": 61, "last_refusal": {last},
                "types": {{"type.googleapis.com/envoy.config.cluster.v3.Cluster": {{
                    "sent": "b", "nonce": "2", "in_force": "a",
                    "in_force_since": "1970-01-01T00:00:00Z", "refusal": {refusal}}}}}}}]}}"#
        );
        match serde_json::from_str(&text) {
            Ok(status) => status,
            Err(error) => panic!("the form of a status has changed: {error}: {text}"),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_refusal_is_shown_in_the_proxys_own_words() {
        let waiting = r#"{"accepted": [], "refused": [], "waiting": ["ingress"]}"#;
        let status = status(REFUSAL, "null", waiting);
        let shown = proxies(&status, at(90)).render();
        let row: Vec<&str> = shown.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row[..5], ["ingress", "gateway/0.0.0.0:80", "a", "1m1s", "waiting"]);
        assert!(shown.contains("b refused: no such thing"), "{shown}");
        let by_type = types(&status, at(90)).render();
        assert!(by_type.contains("Cluster") && by_type.contains("b refused: no such"), "{by_type}");
    }

    #[test]
    fn a_proxy_that_fetches_code_refuses_nothing() {
        let fetching = r#"null, "fetching": {"version": "b", "message": "cannot load", "since": "1970-01-01T00:00:00Z", "refusals": 2}"#;
        let waiting = r#"{"accepted": [], "refused": [], "waiting": ["ingress"]}"#;
        let status = status(fetching, "null", waiting);
        for table in [proxies(&status, at(1)), types(&status, at(1))] {
            let shown = table.render();
            assert!(shown.contains("b waits for its code (asked 2x): cannot load"), "{shown}");
            assert!(!shown.contains("refused:"), "{shown}");
        }
    }

    #[test]
    fn a_refusal_of_the_past_is_not_taken_for_one_of_now() {
        let last = format!(r#"{{"type_url": "t", "refusal": {REFUSAL}}}"#);
        let accepted = r#"{"accepted": ["ingress"], "refused": [], "waiting": []}"#;
        let shown = proxies(&status("null", &last, accepted), at(120)).render();
        assert!(shown.contains("2m0s ago, mended since: no such thing"), "{shown}");
        assert!(shown.contains("yes") && !shown.contains("refused:"), "{shown}");
    }
}
