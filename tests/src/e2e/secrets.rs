//! Looks for a secret in texts where it must not be, in every form in which it could be written
//! without anybody meaning to.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use base64::{Engine as _, alphabet, engine::GeneralPurpose, engine::general_purpose::NO_PAD};

/// A secret, in all of its spellings.
#[derive(Debug)]
pub struct Secret {
    name: String,
    spellings: Vec<Vec<u8>>,
}

impl Secret {
    /// The secret of these bytes: raw, in hexadecimal, in base64 at whatever offset within what
    /// was encoded, and as a list of numbers.
    pub fn new(name: &str, bytes: &[u8]) -> Self {
        let numbers: Vec<String> = bytes.iter().map(ToString::to_string).collect();
        let mut spellings = vec![
            bytes.to_vec(),
            hex::encode(bytes).into_bytes(),
            hex::encode_upper(bytes).into_bytes(),
            numbers.join(", ").into_bytes(),
            numbers.join(",").into_bytes(),
        ];
        for alphabet in [alphabet::STANDARD, alphabet::URL_SAFE] {
            let engine = GeneralPurpose::new(&alphabet, NO_PAD);
            spellings.extend((0..3).map(|offset| within_base64(&engine, offset, bytes)));
        }
        Self { name: name.to_owned(), spellings }
    }

    /// Whether `text` holds it.
    pub fn is_in(&self, text: &[u8]) -> bool {
        self.spellings.iter().any(|spelling| {
            text.windows(spelling.len()).any(|window| window == spelling.as_slice())
        })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The characters of `bytes` in the base64 of anything that holds them `offset` bytes after a
/// multiple of three: those that no neighbour has a part in.
fn within_base64(engine: &GeneralPurpose, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let encoded = engine.encode([&vec![0; offset], bytes].concat());
    let shared_before = (offset * 8).div_ceil(6);
    let whole = (offset + bytes.len()) * 8 / 6;
    encoded.as_bytes().get(shared_before..whole).unwrap_or_default().to_vec()
}

/// Every file under `folder` whose name ends with `.log`, with what it holds.
///
/// # Errors
/// Where one cannot be read.
pub fn logs(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    let mut logs = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            logs.push((path.display().to_string(), fs::read(&path)?));
        }
    }
    Ok(logs)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    #[test]
    fn a_secret_is_found_in_every_spelling_and_at_every_offset() {
        let bytes: Vec<u8> = (100..132).collect();
        let secret = Secret::new("secret", &bytes);
        for before in 0..7_usize {
            let message = [vec![7; before], bytes.clone(), vec![9; 5]].concat();
            assert!(secret.is_in(&message), "raw");
            assert!(secret.is_in(BASE64_STANDARD.encode(&message).as_bytes()), "{before}");
            assert!(secret.is_in(hex::encode(&message).as_bytes()), "{before}");
            assert!(secret.is_in(format!("{message:?}").as_bytes()), "{before}");
            let another = message.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>();
            assert!(!secret.is_in(&another));
            assert!(!secret.is_in(BASE64_STANDARD.encode(&another).as_bytes()));
        }
    }
}
