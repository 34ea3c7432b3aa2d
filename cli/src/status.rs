//! `bulkhead status`.

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use xds::{ProxyStatus, TypeStatus};

use crate::{server::ServerArguments, table::Table};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
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
    print!("{}", table(&status.proxies, Timestamp::now()).render());
    Ok(())
}

fn table(proxies: &[ProxyStatus], now: Timestamp) -> Table {
    let mut table = Table::new(&["proxy", "group", "type", "in force", "for", "last refusal"]);
    for proxy in proxies {
        for (type_url, status) in &proxy.types {
            table.row(row(proxy, type_url, status, now));
        }
        if proxy.types.is_empty() {
            let cells = [name(proxy), proxy.group.clone(), "-".to_owned()];
            table.row(cells.into_iter().chain(["-", "-", ""].map(str::to_owned)));
        }
    }
    table
}

fn row(proxy: &ProxyStatus, type_url: &str, status: &TypeStatus, now: Timestamp) -> [String; 6] {
    [
        name(proxy),
        proxy.group.clone(),
        type_url.rsplit('.').next().unwrap_or(type_url).to_owned(),
        status.in_force.as_deref().map_or_else(|| "-".to_owned(), short),
        status.in_force_since.map_or_else(|| "-".to_owned(), |since| age(since, now)),
        status.refusal.as_ref().map_or_else(String::new, |refusal| {
            format!("{} refused: {}", short(&refusal.version), refusal.message)
        }),
    ]
}

fn name(proxy: &ProxyStatus) -> String {
    if proxy.is_connected() { proxy.node.clone() } else { format!("{} (gone)", proxy.node) }
}

/// Enough of a version to tell it from another.
fn short(version: &str) -> String {
    version.chars().take(12).collect()
}

/// How long ago, in the two largest units.
fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(since.as_second()).max(0);
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds}s"),
        (0, 0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (0, hours, minutes, _) => format!("{hours}h{minutes}m"),
        (days, hours, _, _) => format!("{days}d{hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_its_two_largest_units() {
        let since = Timestamp::UNIX_EPOCH;
        let told = |seconds| age(since, Timestamp::from_second(seconds).unwrap());
        assert_eq!(told(59), "59s");
        assert_eq!(told(61), "1m1s");
        assert_eq!(told(3_660), "1h1m");
        assert_eq!(told(90_000), "1d1h");
    }

    #[test]
    fn a_refusal_is_shown_in_the_proxys_own_words() {
        let proxy = serde_json::json!({
            "node": "ingress", "group": "gateway/0.0.0.0:80", "user_agent": "envoy 1.40.0",
            "variant": "delta", "connected_since": "2026-11-21T00:00:00Z", "gone_since": null,
            "types": {"type.googleapis.com/envoy.config.cluster.v3.Cluster": {
                "sent": "b", "nonce": "2", "in_force": "a", "in_force_since": "2026-11-21T00:00:00Z",
                "refusal": {"version": "b", "message": "no such thing", "resources": [], "at": "2026-11-21T00:00:00Z"}}},
        });
        let Ok(proxy) = serde_json::from_value::<ProxyStatus>(proxy.clone()) else {
            panic!("the form of a proxy's status has changed: {proxy}");
        };
        let text = table(&[proxy], Timestamp::UNIX_EPOCH).render();
        assert!(text.contains("Cluster") && text.contains("b refused: no such thing"), "{text}");
    }
}
