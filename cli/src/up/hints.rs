//! What to try by hand.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use devstack::stack::Stack;

use super::{caller::Connections, flights::Flights, tenants::Tenant};

const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Prints three `curl` lines that work: a prediction, the same with another tenant's token, and
/// without one.
pub(super) async fn print(stack: &Stack, tenants: &[Tenant], flights: &Flights) -> Result<()> {
    let silo = tenants.iter().find(|tenant| tenant.tier == "silo");
    let first = silo.or(tenants.first()).context("expected a tenant, found none")?;
    let other = tenants.iter().find(|it| it.tier == "bridge" && it.id != first.id);
    let other = other.or(tenants.last()).context("expected a tenant, found none")?;

    let folder = stack.state_dir().join("try");
    fs::create_dir_all(&folder)?;
    let questions = flights.questions(&first.carrier, &[1], 1)?;
    let question = questions.first().context("expected a flight, found none")?;
    let body = written(&folder, "flight.json", &question.body)?;
    let url = format!("{}/v2/models/{}/infer", stack.ingress_url(), first.public_name);

    println!("A flight of {}, that was {} minutes in the air:", first.id, question.air_times[0]);
    for tenant in [first, other] {
        let issuer = stack.issuer().issuer_url(&tenant.id);
        let token = Connections::new().token(&issuer, TOKEN_LIFE).await?;
        let header = format!("authorization: Bearer {token}\n");
        let header = written(&folder, &format!("{}.header", tenant.id), header.as_bytes())?;
        println!(
            "  curl -H @{} -H 'content-type: application/json' -d @{} {url}",
            shown(&header),
            shown(&body)
        );
    }
    println!("  curl -H 'content-type: application/json' -d @{} {url}", shown(&body));
    println!(
        "The first line asks with its own token, the second as {}, whose own model answers and",
        other.id
    );
    println!("who is metered, the third as nobody. Who has what in force, and what was used:");
    let (bulkhead, server) = (shown(&std::env::current_exe()?), stack.admin_url());
    println!("  {bulkhead} status --server {server}");
    println!(
        "  {bulkhead} usage --server {server} --tenant {} --period {}",
        first.id,
        this_month()
    );
    println!("Ctrl-C stops it all.");
    Ok(())
}

fn written(folder: &Path, name: &str, contents: &[u8]) -> Result<PathBuf> {
    let file = folder.join(name);
    fs::write(&file, contents).with_context(|| format!("could not write {}", file.display()))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Relative to where the user is, where that is shorter.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let relative = here.and_then(|here| path.strip_prefix(here).ok());
    relative.unwrap_or(path).display().to_string()
}

fn this_month() -> String {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m").to_string()
}
