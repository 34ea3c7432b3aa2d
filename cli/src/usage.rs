//! `bulkhead usage`.

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::{
    server::{ServerArguments, Usage},
    table::Table,
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Whose; everybody's where it is not said.
    #[arg(long, value_name = "ORG")]
    tenant: Option<tenancy::TenantId>,
    /// A UTC month, day or hour: `2026-11`, `2026-11-21`, `2026-11-21T05`.
    #[arg(long)]
    period: String,
    /// How long each line is.
    #[arg(long, value_enum, default_value_t = Granularity::Month)]
    granularity: Granularity,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Granularity {
    Hour,
    Day,
    Month,
}

impl Granularity {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let server = arguments.server.connect()?;
    let tenant = arguments.tenant.as_ref().map(tenancy::TenantId::as_str);
    let usage = server.usage(tenant, &arguments.period, arguments.granularity.as_str()).await?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&usage)?);
    } else {
        print!("{}", table(&usage).render());
    }
    Ok(())
}

fn table(usage: &Usage) -> Table {
    let mut table = Table::new(&[
        "from (UTC)",
        "tenant",
        "metric",
        "model",
        "version",
        "data plane",
        "region",
        "events",
        "quantity",
    ]);
    let mut events = 0;
    for record in &usage.records {
        events += record.events;
        table.row([
            record.period_start.clone(),
            record.tenant.clone(),
            record.metric.clone(),
            record.model.clone(),
            record.version.clone(),
            record.data_plane.clone(),
            record.region.clone(),
            record.events.to_string(),
            record.quantity.to_string(),
        ]);
    }
    let blanks = std::iter::repeat_n(String::new(), 6);
    let totals = [events.to_string(), usage.total.to_string()];
    table.row(std::iter::once("total".to_owned()).chain(blanks).chain(totals));
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::UsageRecord;

    #[test]
    fn the_last_line_is_the_total() {
        let record = |quantity| UsageRecord {
            tenant: "org_dl".to_owned(),
            period_start: "2026-11-01T00:00:00Z".to_owned(),
            metric: "prediction_rows".to_owned(),
            model: "air-time-dl".to_owned(),
            version: "1".to_owned(),
            data_plane: "silo-dl".to_owned(),
            region: "us-east-2".to_owned(),
            quantity,
            events: 2,
        };
        let text = table(&Usage { records: vec![record(3), record(4)], total: 7 }).render();
        let last: Vec<&str> = text.lines().last().unwrap_or("").split_whitespace().collect();
        assert_eq!(last, ["total", "4", "7"]);
    }
}
