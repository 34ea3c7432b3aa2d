//! Which device is used.

use std::{convert::Infallible, fmt, str::FromStr};

/// Which device is used, as configuration says it: `off`, `auto`, the number of an adapter, or a part
/// of its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Choice {
    /// None.
    Off,
    /// The one that is a processor of its own; of several, the one that was measured to answer fastest,
    /// and of those that are as fast, discrete before integrated before virtual. Never one that computes
    /// on the CPU, which the CPU's own kernels do better.
    #[default]
    Auto,
    /// The one of this number among [`super::adapters`].
    Index(usize),
    /// The first whose name has this in it, whatever its case.
    Named(String),
}

impl FromStr for Choice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match (text, text.parse()) {
            ("off", _) => Self::Off,
            ("auto", _) => Self::Auto,
            (_, Ok(index)) => Self::Index(index),
            (name, Err(_)) => Self::Named(name.to_owned()),
        })
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Auto => f.write_str("auto"),
            Self::Index(index) => index.fmt(f),
            Self::Named(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_reads_back_what_it_writes() {
        let named = |name: &str| Choice::Named(name.to_owned());
        for choice in [Choice::Off, Choice::Auto, Choice::Index(1), named("llvmpipe (LLVM 19)")] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
    }
}
