//! Which files there are to apply.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use policy_model::{
    diagnostic::Diagnostics,
    spec::{Resource, parse},
};

use crate::server::ResourceFile;

/// Reads files, and the files of folders, each named as the user would.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<ResourceFile>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let found = in_folder(path)?;
            if found.is_empty() {
                bail!("expected .yaml, .yml or .json files in {}, found none", path.display());
            }
            files.extend(found);
        } else {
            files.push(path.clone());
        }
    }
    files.iter().map(|file| read_one(file)).collect()
}

/// What the files hold, or every mistake in them.
pub(crate) fn resources(files: &[ResourceFile]) -> Result<Vec<Resource>, Diagnostics> {
    let mut resources = Vec::new();
    let mut mistakes = Vec::new();
    for file in files {
        match parse(&file.name, &file.text) {
            Ok(found) => resources.extend(found),
            Err(found) => mistakes.extend(found),
        }
    }
    if mistakes.is_empty() { Ok(resources) } else { Err(Diagnostics(mistakes)) }
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries =
        fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))?;
    for entry in entries {
        let file = entry?.path();
        let extension = file.extension().and_then(|extension| extension.to_str());
        if file.is_file() && matches!(extension, Some("yaml" | "yml" | "json")) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn read_one(file: &Path) -> Result<ResourceFile> {
    let text =
        fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))?;
    Ok(ResourceFile { name: file.display().to_string(), text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stands_for_its_resources_in_order_and_for_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.yml", "notes.md", "c.json"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let files = read(&[folder.path().to_path_buf()]).unwrap();
        let texts: Vec<&str> = files.iter().map(|file| file.text.as_str()).collect();
        assert_eq!(texts, ["a.yml", "b.yaml", "c.json"]);
    }

    #[test]
    fn an_empty_folder_is_a_mistake_and_not_a_success() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(&[folder.path().to_path_buf()]).is_err());
    }
}
