//! The files that commands without a server read.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// Files, by what they hold.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// Resources.
    pub(crate) resources: Vec<Source>,
    /// Scenarios.
    pub(crate) scenarios: Vec<Source>,
}

/// A file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its name, as the user would say it.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) text: String,
}

impl Sources {
    /// Reads files, and those of folders and below.
    pub(crate) fn read<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Result<Self> {
        let mut sources = Self::default();
        for path in paths {
            if path.is_dir() {
                let before = sources.len();
                sources.add_folder(path)?;
                if sources.len() == before {
                    bail!(
                        "expected .yaml, .yml or .json files below {}, found none",
                        path.display()
                    );
                }
            } else {
                sources.add_file(path)?;
            }
        }
        Ok(sources)
    }

    /// How many files there are.
    pub(crate) fn len(&self) -> usize {
        self.resources.len() + self.scenarios.len()
    }

    fn add_folder(&mut self, folder: &Path) -> Result<()> {
        let context = || format!("could not read {}", folder.display());
        let entries = fs::read_dir(folder).with_context(context)?;
        let mut paths = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<_>, _>>()
            .with_context(context)?;
        paths.sort();
        for path in paths {
            let extension = path.extension().and_then(|extension| extension.to_str());
            if path.is_dir() {
                self.add_folder(&path)?;
            } else if matches!(extension, Some("yaml" | "yml" | "json")) {
                self.add_file(&path)?;
            }
        }
        Ok(())
    }

    fn add_file(&mut self, file: &Path) -> Result<()> {
        let text = fs::read_to_string(file)
            .with_context(|| format!("could not read {}", file.display()))?;
        let is_scenario = text.lines().any(|line| line.starts_with("promise:"));
        let source = Source { name: file.display().to_string(), text };
        if is_scenario {
            self.scenarios.push(source);
        } else {
            self.resources.push(source);
        }
        Ok(())
    }
}

/// `1 error`, `2 errors`.
pub(crate) fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
