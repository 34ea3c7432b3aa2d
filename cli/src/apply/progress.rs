//! Progress on the standard error output.

use std::io::{IsTerminal as _, Write as _};

/// A line that changes: on a terminal in its place, elsewhere once for each change.
#[derive(Debug)]
pub(super) struct Display {
    is_terminal: bool,
    shown: String,
}

impl Display {
    pub(super) fn on_stderr() -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), shown: String::new() }
    }

    pub(super) fn show(&mut self, line: &str) {
        if line == self.shown {
            return;
        }
        line.clone_into(&mut self.shown);
        if self.is_terminal {
            eprint!("\r\x1b[K{line}");
            // Progress that cannot be shown is not worth failing for.
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{line}");
        }
    }

    pub(super) fn clear(&mut self) {
        if self.is_terminal && !self.shown.is_empty() {
            eprint!("\r\x1b[K");
        }
        self.shown.clear();
    }
}
