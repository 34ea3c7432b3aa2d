//! `bulkhead policy shadow`.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;

use crate::{
    server::{ServerArguments, Shadow, ShadowCount},
    table::{Table, age},
};

const PAUSE: Duration = Duration::from_secs(2);

/// Shows what checks in `mode: shadow` would have denied, and whom.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only this check.
    #[arg(long, value_name = "NAME")]
    check: Option<String>,
    /// Only this tenant.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Go on showing it; with --json a line each time.
    #[arg(long)]
    watch: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

pub(super) async fn run(arguments: Arguments) -> Result<()> {
    let server = arguments.server.connect()?;
    loop {
        let found = arguments.wanted(server.shadow().await?);
        match (arguments.json, arguments.watch) {
            (true, true) => println!("{}", serde_json::json!(found)),
            (true, false) => println!("{:#}", serde_json::json!(found)),
            (false, _) => print!("{}", told(&found.counts, Timestamp::now())),
        }
        if !arguments.watch {
            return Ok(());
        }
        if !arguments.json {
            println!();
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Arguments {
    fn wanted(&self, mut found: Shadow) -> Shadow {
        let is = |wanted: &Option<String>, it: &str| wanted.as_deref().is_none_or(|w| w == it);
        found.counts.retain(|it| is(&self.check, &it.check) && is(&self.tenant, &it.tenant));
        found.counts.sort_by(|one, other| {
            (&one.check, other.count, &one.tenant).cmp(&(&other.check, one.count, &other.tenant))
        });
        found
    }
}

fn told(counts: &[ShadowCount], now: Timestamp) -> String {
    if counts.is_empty() {
        return "no shadow check would have denied anything\n".to_owned();
    }
    let mut table = Table::new(&["check", "tenant", "would have denied", "counted for"]);
    for it in counts {
        let since = it.since.map(|since| now.as_second() - since.as_second());
        table.row([
            it.check.clone(),
            it.tenant.clone(),
            it.count.to_string(),
            since.map_or_else(|| "-".to_owned(), age),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn count(check: &str, tenant: &str, count: u64) -> ShadowCount {
        let since = Some(Timestamp::UNIX_EPOCH);
        ShadowCount { check: check.to_owned(), tenant: tenant.to_owned(), count, since }
    }

    #[test]
    fn the_most_denied_tenant_of_a_check_comes_first() {
        let counts = vec![count("b", "org_a", 1), count("a", "org_a", 2), count("a", "org_b", 3)];
        let all = Line::parse_from(["shadow"]).arguments.wanted(Shadow { counts: counts.clone() });
        expect_test::expect![[r"
            check  tenant  would have denied  counted for
            a      org_b                   3          10s
            a      org_a                   2          10s
            b      org_a                   1          10s
        "]]
        .assert_eq(&told(&all.counts, Timestamp::from_second(10).unwrap()));
        let one = Line::parse_from(["shadow", "--check", "a", "--tenant", "org_a"]);
        let found = one.arguments.wanted(Shadow { counts });
        assert_eq!(found.counts.len(), 1);
        assert_eq!(found.counts[0].count, 2);
    }

    #[test]
    fn nothing_counted_is_said_in_words() {
        assert_eq!(
            told(&[], Timestamp::UNIX_EPOCH),
            "no shadow check would have denied anything\n"
        );
    }
}
