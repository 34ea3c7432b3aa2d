//! An expectation as YAML.

use std::collections::BTreeMap;

use crate::format::{Denied, Expectation, Forwarded, Outcome, Refused};

/// As wide as a line may be.
const WIDTH: usize = 100;

/// A piece of YAML. Maps keep their order, which is that of the format's documentation.
enum Yaml {
    Scalar(String),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
}

/// The lines of `expect: ...`, the first of them without its indentation of `indent` columns: on
/// one line where there is room, else spread out as far as needed.
pub(super) fn lines(expectation: &Expectation, indent: usize) -> Vec<String> {
    let mut lines = Vec::new();
    entry("expect", &expected(expectation), indent, &mut lines);
    if let Some(first) = lines.first_mut() {
        *first = first.trim_start().to_owned();
    }
    lines
}

fn entry(key: &str, value: &Yaml, indent: usize, lines: &mut Vec<String>) {
    let key = scalar(key);
    let line = format!("{:indent$}{key}: {}", "", flow(value));
    match value {
        Yaml::Map(entries) if line.chars().count() > WIDTH => {
            lines.push(format!("{:indent$}{key}:", ""));
            for (key, value) in entries {
                entry(key, value, indent + 2, lines);
            }
        }
        Yaml::List(items) if line.chars().count() > WIDTH => {
            lines.push(format!("{:indent$}{key}:", ""));
            lines.extend(items.iter().map(|it| format!("{:indent$}  - {}", "", flow(it))));
        }
        _ => lines.push(line),
    }
}

fn flow(yaml: &Yaml) -> String {
    match yaml {
        Yaml::Scalar(text) => text.clone(),
        Yaml::List(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        Yaml::Map(entries) => {
            let entries =
                entries.iter().map(|(key, value)| format!("{}: {}", scalar(key), flow(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

fn expected(expectation: &Expectation) -> Yaml {
    let mut map = match &expectation.outcome {
        Outcome::Forwarded(it) => vec![("forwarded".to_owned(), forwarded(it))],
        Outcome::Denied(it) => vec![("denied".to_owned(), denied(it))],
        Outcome::Limited(it) => {
            let mut limited = vec![("forwarded".to_owned(), number(it.forwarded))];
            limited.push(("others".to_owned(), denied(&it.others)));
            vec![("limited".to_owned(), Yaml::Map(limited))]
        }
        Outcome::Promoted => vec![("promoted".to_owned(), Yaml::Scalar("true".to_owned()))],
        Outcome::Refused(it) => vec![("refused".to_owned(), refused(it))],
    };
    if !expectation.shadow.is_empty() {
        let counts = expectation.shadow.iter().map(|(check, count)| (check.clone(), number(count)));
        map.push(("shadow".to_owned(), Yaml::Map(counts.collect())));
    }
    map.extend(expectation.metered.map(|metered| ("metered".to_owned(), number(metered))));
    Yaml::Map(map)
}

fn forwarded(it: &Forwarded) -> Yaml {
    let mut map = vec![("tenant".to_owned(), text(&it.tenant))];
    map.extend(it.tier.as_deref().map(|tier| ("tier".to_owned(), text(tier))));
    map.push(("data_plane".to_owned(), text(&it.data_plane)));
    let most = it.passport_expires_within;
    map.extend(most.map(|most| ("passport_expires_within".to_owned(), number(most))));
    map.extend(headers(&it.headers));
    map.extend(names("without", &it.without));
    map.extend(it.nowhere.as_deref().map(|it| ("nowhere".to_owned(), text(it))));
    Yaml::Map(map)
}

fn denied(it: &Denied) -> Yaml {
    let mut map = vec![("status".to_owned(), number(it.status))];
    map.push(("code".to_owned(), text(&it.code)));
    map.extend(it.check.as_deref().map(|check| ("check".to_owned(), text(check))));
    map.extend(it.message.as_deref().map(|message| ("message".to_owned(), text(message))));
    map.extend(headers(&it.headers));
    map.extend(names("with", &it.with));
    Yaml::Map(map)
}

fn refused(it: &Refused) -> Yaml {
    let told = [("check", &it.check), ("message", &it.message)].into_iter();
    let told = told.filter_map(|(key, said)| Some((key.to_owned(), text(said.as_deref()?))));
    Yaml::Map(told.collect())
}

fn headers(headers: &BTreeMap<String, String>) -> Option<(String, Yaml)> {
    let map = headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    (!headers.is_empty()).then(|| ("headers".to_owned(), Yaml::Map(map)))
}

fn names(key: &str, names: &[String]) -> Option<(String, Yaml)> {
    let list = names.iter().map(|name| text(name)).collect();
    (!names.is_empty()).then(|| (key.to_owned(), Yaml::List(list)))
}

fn number(number: impl ToString) -> Yaml {
    Yaml::Scalar(number.to_string())
}

fn text(text: &str) -> Yaml {
    Yaml::Scalar(scalar(text))
}

/// Plain where nothing in it could be taken for anything but text, else in double quotes, whose
/// escapes are JSON's (YAML 1.2.2, 5.7).
fn scalar(text: &str) -> String {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if is_plain {
        return text.to_owned();
    }
    serde_json::to_string(text).unwrap_or_default()
}
