//! `bulkhead policy history`.

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;

use crate::{
    server::{Revision, ServerArguments},
    table::{Table, age},
};

/// Shows what was changed when, by whom and why, the newest first.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many revisions to show.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Show each change and not only how many there were.
    #[arg(long)]
    changes: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

pub(super) async fn run(arguments: Arguments) -> Result<()> {
    let history = arguments.server.connect()?.history(arguments.limit).await?;
    if arguments.json {
        println!("{:#}", serde_json::json!(history));
    } else if arguments.changes {
        print!("{}", in_full(&history.revisions));
    } else {
        print!("{}", table(&history.revisions, Timestamp::now()).render());
    }
    Ok(())
}

fn table(revisions: &[Revision], now: Timestamp) -> Table {
    let mut table = Table::new(&["entry", "revision", "ago", "by", "changes", "message"]);
    for it in revisions {
        table.row([
            it.seq.to_string(),
            it.revision.clone().unwrap_or_else(|| "-".to_owned()),
            age(now.as_second() - it.at.as_second()),
            it.actor.clone(),
            summary(&it.changes),
            message(it),
        ]);
    }
    table
}

fn message(it: &Revision) -> String {
    let of_rollback = it.rolled_back_to.map(|seq| format!("back to entry {seq}"));
    let parts: Vec<String> = of_rollback.into_iter().chain(it.message.clone()).collect();
    parts.join(": ")
}

/// The first change, and how many there are besides.
fn summary(changes: &[String]) -> String {
    const SHOWN_CHARS: usize = 60;
    let first = changes.first().map_or("", String::as_str);
    let shown: String = match first.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", first.get(..end).unwrap_or_default()),
        None => first.to_owned(),
    };
    match changes.len() {
        0 => "-".to_owned(),
        1 => shown,
        n => format!("{shown} and {} more", n - 1),
    }
}

fn in_full(revisions: &[Revision]) -> String {
    let mut text = String::new();
    for it in revisions {
        let revision = it.revision.as_deref().unwrap_or("-");
        text.push_str(&format!("entry {} revision {revision}\n", it.seq));
        text.push_str(&format!("by {} at {}\n", it.actor, it.at));
        text.extend(Some(message(it)).filter(|it| !it.is_empty()).map(|it| format!("{it}\n")));
        text.extend(it.changes.iter().map(|change| format!("  {change}\n")));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_revision_says_who_changed_what_and_why() {
        let change = |it: &str| it.to_owned();
        let revisions = [
            Revision {
                seq: 9,
                at: Timestamp::from_second(60).unwrap(),
                actor: "ada".to_owned(),
                message: Some("freeze".to_owned()),
                changes: vec![change("Check/freeze created"), change("Tenant/org_a changed")],
                revision: Some("ab12".to_owned()),
                rolled_back_to: Some(3),
            },
            Revision {
                seq: 5,
                at: Timestamp::UNIX_EPOCH,
                actor: "bulkhead".to_owned(),
                message: None,
                changes: Vec::new(),
                revision: None,
                rolled_back_to: None,
            },
        ];
        expect_test::expect![[r"
            entry  revision   ago  by        changes                          message
                9  ab12      1m0s  ada       Check/freeze created and 1 more  back to entry 3: freeze
                5  -         2m0s  bulkhead  -
        "]]
        .assert_eq(&table(&revisions, Timestamp::from_second(120).unwrap()).render());
        let full = in_full(&revisions);
        assert!(full.contains("by ada") && full.contains("  Tenant/org_a changed\n"), "{full}");
    }
}
