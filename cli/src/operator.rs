//! `bulkhead operator`.

use anyhow::Result;
use clap::{Args, Subcommand};
use control_plane::operators::{Operator, Role, Token, parse};
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a token for an operator.
    Token(TokenArguments),
}

/// Prints the token, which is kept nowhere, and the operator's entry in the xds-server's
/// `--operators` file, which holds the token's digest.
#[derive(Debug, Args)]
pub(crate) struct TokenArguments {
    /// What the history calls the operator.
    #[arg(long)]
    name: String,
    /// viewer: reads; editor: changes resources too; admin: everything; node: a sidecar.
    #[arg(long)]
    role: Role,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: Command) -> Result<()> {
    let Command::Token(arguments) = command;
    let token = Token::generate()?;
    let TokenArguments { name, role, json } = arguments;
    let entry = entry(&name, role, &token)?;
    if json {
        println!("{:#}", json!({"token": token.reveal(), "entry": entry}));
    } else {
        println!("{}\n{entry}", token.reveal());
    }
    Ok(())
}

/// A line of the file, as the server will read it.
fn entry(name: &str, role: Role, token: &Token) -> Result<String> {
    let name = serde_json::to_string(name)?;
    let entry = format!("- {{name: {name}, role: {role}, tokenSha256: {}}}", token.digest());
    let _operators: Vec<Operator> = parse(&format!("operators:\n{entry}\n"))?;
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_that_the_server_takes_and_does_not_hold_the_token() {
        let token = Token::generate().unwrap();
        let entry = entry("ci", Role::Editor, &token).unwrap();
        let operators = parse(&format!("operators:\n{entry}\n")).unwrap();
        assert_eq!((operators[0].name.as_str(), operators[0].role), ("ci", Role::Editor));
        assert_eq!(operators[0].token_sha256, token.digest());
        assert!(!entry.contains(token.reveal()));
    }

    #[test]
    fn a_name_that_the_server_would_refuse_is_refused_here() {
        let token = Token::generate().unwrap();
        for wrong in ["", "a b", "loopback", "a\", role: admin, x: \""] {
            assert!(entry(wrong, Role::Viewer, &token).is_err(), "{wrong}");
        }
    }
}
