//! From a source to a program: parse, type-check, bound the cost, lower.

mod bound;
mod check;
mod cost;
mod environment;
mod lower;
mod mistake;
mod parse;
mod template;
mod typed;
mod types;

pub use environment::{Environment, Variable};
pub use mistake::Mistake;
pub use template::compile_template;
pub use types::Type;

use crate::Program;

/// The longest source, in bytes.
pub const MAX_SOURCE_BYTES: usize = 4096;

/// What came out of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// What is evaluated.
    pub program: Program,
    /// What it costs at worst, in units; at most [`crate::MAX_COST`].
    pub cost: u64,
    /// The type of its value.
    pub ty: Type,
}

/// Compiles `source`, whose value is to be `expected` ([`Type::Dyn`] takes any), over the variables
/// of `environment`.
///
/// # Errors
/// Every mistake found, by place; at least one.
pub fn compile(
    source: &str,
    environment: &Environment,
    expected: Type,
) -> Result<Compiled, Vec<Mistake>> {
    let parsed = parse::parse(source)?;
    let typed = check::check(&parsed, environment, &expected)?;
    let cost = cost::bound(&typed, environment, source)?;
    let program = lower::lower(&typed, environment, cost);
    Ok(Compiled { program, cost, ty: typed.ty })
}
