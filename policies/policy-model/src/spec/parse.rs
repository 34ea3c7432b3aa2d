//! From YAML text to resources, with the place of every mistake.

use serde::{Deserialize, de::DeserializeOwned};
use serde_saphyr::{DefaultMessageFormatter, MessageFormatter};

use super::{
    API_VERSION, Kind, Metadata, Object, Places, Resource,
    shape::{self, unknown},
};
use crate::diagnostic::{Diagnostic, Origin, Severity, did_you_mean};

/// The largest file accepted, in bytes.
const MAX_FILE_BYTES: usize = 16 << 20;

/// A document before its kind is known; whatever else it says is read in a second pass.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "apiVersion")]
    api_version: Option<String>,
    kind: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document<S> {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    metadata: Metadata,
    spec: S,
}

/// Reads the resources of one file: YAML documents separated by `---`, or JSON.
///
/// Every document is read, so the diagnostics hold the mistakes of all of them.
///
/// # Errors
/// The diagnostics, where there is a mistake: malformed YAML, an unknown kind, an unknown or
/// duplicate field, a value that does not fit.
pub fn parse(file: &str, text: &str) -> Result<Vec<Resource>, Vec<Diagnostic>> {
    if text.len() > MAX_FILE_BYTES {
        let message =
            format!("expected at most {MAX_FILE_BYTES} bytes, found {}; split it", text.len());
        return Err(vec![diagnostic(file, 0, 0, message)]);
    }
    let mut resources = Vec::new();
    let mut diagnostics = Vec::new();
    for (first_line, document) in documents(text) {
        match parse_document(file, first_line, document) {
            Ok(Some(resource)) => resources.push(resource),
            Ok(None) => {}
            Err(found) => diagnostics.extend(found),
        }
    }
    if diagnostics.is_empty() { Ok(resources) } else { Err(diagnostics) }
}

/// Splits at `---` lines. Each document comes with the line of the file that it begins at.
fn documents(text: &str) -> Vec<(u64, &str)> {
    let mut documents = Vec::new();
    let (mut first_line, mut start, mut end) = (1, 0, 0);
    for (number, line) in (1_u64..).zip(text.split_inclusive('\n')) {
        if line.trim_end() == "---" {
            documents.push((first_line, text.get(start..end).unwrap_or_default()));
            start = end + line.len();
            first_line = number + 1;
        }
        end += line.len();
    }
    documents.push((first_line, text.get(start..).unwrap_or_default()));
    documents
}

fn parse_document(
    file: &str,
    first_line: u64,
    text: &str,
) -> Result<Option<Resource>, Vec<Diagnostic>> {
    let meaningful = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let Some(blank_lines) = text.lines().position(|line| meaningful(&line)) else {
        return Ok(None);
    };
    let line = u64::try_from(blank_lines).unwrap_or(0) + first_line;
    let source = Source { file, first_line, line, text };
    let head: Head = source.read().map_err(|diagnostic| vec![diagnostic])?;
    let fail = |message: String| vec![diagnostic(file, line, 1, message)];
    match head.api_version.as_deref() {
        Some(API_VERSION) => {}
        Some(other) => {
            return Err(fail(format!("expected apiVersion `{API_VERSION}`, found `{other}`")));
        }
        None => return Err(fail(format!("expected a field `apiVersion: {API_VERSION}`"))),
    }
    let Some(kind) = head.kind else {
        return Err(fail(format!("expected a field `kind`, one of {}", kinds())));
    };
    let Some(known) = Kind::ALL.iter().find(|known| known.as_str() == kind) else {
        let mend = did_you_mean(&kind, Kind::ALL.iter().map(|kind| kind.as_str()));
        return Err(fail(format!("expected a kind of {}, found `{kind}`{mend}", kinds())));
    };
    let read = || -> Result<Resource, Diagnostic> {
        Ok(match known {
            Kind::Tier => Resource::Tier(source.object()?),
            Kind::DataPlane => Resource::DataPlane(source.object()?),
            Kind::Issuer => Resource::Issuer(source.object()?),
            Kind::Model => Resource::Model(source.object()?),
            Kind::Tenant => Resource::Tenant(source.object()?),
            Kind::Check => Resource::Check(source.object()?),
        })
    };
    read().map(Some).map_err(|first| source.with_unknown_fields(*known, first))
}

fn kinds() -> String {
    Kind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ")
}

/// One document and where it lies.
struct Source<'a> {
    file: &'a str,
    /// The line of the file that `text` begins at, from 1.
    first_line: u64,
    /// The first line that says something.
    line: u64,
    text: &'a str,
}

impl Source<'_> {
    fn object<S: DeserializeOwned>(&self) -> Result<Object<S>, Diagnostic> {
        let document: Document<S> = self.read()?;
        Ok(Object {
            metadata: document.metadata,
            spec: document.spec,
            origin: Origin { file: self.file.to_owned(), line: self.line, column: 1 },
            places: Places::read(self.first_line, self.text),
        })
    }

    /// `first` is where reading stopped.
    fn with_unknown_fields(&self, kind: Kind, first: Diagnostic) -> Vec<Diagnostic> {
        let others = shape::unknown_fields(kind, self.text).into_iter().map(|unknown| {
            let line = unknown.line + self.first_line - 1;
            diagnostic(self.file, line, unknown.column, printable(&unknown.message))
        });
        let place = (first.origin.line, first.origin.column);
        let mut all: Vec<Diagnostic> =
            others.filter(|d| (d.origin.line, d.origin.column) != place).collect();
        all.push(first);
        all.sort_by_key(|d| (d.origin.line, d.origin.column));
        all
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, Diagnostic> {
        let options = serde_saphyr::options! { with_snippet: false };
        serde_saphyr::from_str_with_options(self.text, options).map_err(|error| {
            let (line, column) = error.location().map_or((self.line, 0), |location| {
                (location.line() + self.first_line - 1, location.column())
            });
            // Its own text would count lines from the document's start.
            let message = match error.without_snippet() {
                serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => {
                    format!("expected each field once, found `{key}` again; remove one").into()
                }
                serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => {
                    unknown("a field", field, expected).into()
                }
                serde_saphyr::Error::SerdeUnknownVariant { variant, expected, .. } => {
                    unknown("one", variant, expected).into()
                }
                other => DefaultMessageFormatter.format_message(other),
            };
            diagnostic(self.file, line, column, printable(&message))
        })
    }
}

/// The message may quote the file; control characters are not sent to a terminal or a log.
fn printable(message: &str) -> String {
    let escape = |c: char| c.is_control().then(|| c.escape_default().to_string());
    message.chars().fold(String::with_capacity(message.len()), |mut text, c| {
        match escape(c) {
            Some(escaped) => text.push_str(&escaped),
            None => text.push(c),
        }
        text
    })
}

fn diagnostic(file: &str, line: u64, column: u64, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        origin: Origin { file: file.to_owned(), line, column },
        resource: String::new(),
        message,
        check: None,
    }
}
