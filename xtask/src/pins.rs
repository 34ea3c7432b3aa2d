//! The pins: one file of `KEY=value` lines that says what is installed from outside.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result, bail};

use crate::workspace;

const FILE: &str = "envoy/pins.env";

/// The pins by key.
#[derive(Debug)]
pub(crate) struct Pins(BTreeMap<String, String>);

impl Pins {
    /// Reads the workspace's pins.
    pub(crate) fn load() -> Result<Self> {
        let text = fs::read_to_string(workspace::root().join(FILE))
            .with_context(|| format!("could not read {FILE}"))?;
        Self::parse(&text).with_context(|| format!("in {FILE}"))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut pins = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                bail!("line {number}: expected KEY=value, found `{line}`");
            };
            let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
            if value.is_empty() {
                bail!("line {number}: expected a value for `{key}`, found none");
            }
            if pins.insert(key.clone(), value).is_some() {
                bail!("line {number}: expected each key once, found `{key}` again");
            }
        }
        Ok(Self(pins))
    }

    /// The value of `key`.
    pub(crate) fn get(&self, key: &str) -> Result<&str> {
        self.find(key).with_context(|| format!("expected a pin `{key}` in {FILE}, found none"))
    }

    /// The value of `key`, where there is one.
    pub(crate) fn find(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blank_lines_are_no_pins() {
        let pins = Pins::parse("# A=1\n\n B = 2 \n").unwrap();
        assert_eq!(pins.find("B"), Some("2"));
        assert_eq!(pins.find("A"), None);
    }

    #[test]
    fn a_line_that_pins_nothing_is_refused_with_its_number() {
        for (text, line) in [("A=1\nB", "line 2"), ("A=", "line 1"), ("A=1\nA=2", "line 2")] {
            let error = Pins::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(line), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_pins_of_this_workspace_name_an_envoy_of_their_own_series() {
        let pins = Pins::load().unwrap();
        let version = pins.get("ENVOY_VERSION").unwrap();
        assert!(version.starts_with(pins.get("ENVOY_SERIES").unwrap()), "{version}");
        for platform in ["linux_x86_64", "linux_aarch64"] {
            let digest = pins.get(&format!("ENVOY_WHEEL_SHA256_{platform}")).unwrap();
            assert!(digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()));
        }
    }
}
