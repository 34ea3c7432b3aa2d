//! Finds the `expect` of a request in a file's text, and puts another in its place.

use crate::format::Expectation;

use super::render;

const KEY: &str = "expect:";

/// `text` with the `expect` whose value begins at `line` (from 1) replaced. Nothing where it does
/// not begin its line, alone or after the dash of its request.
pub(super) fn replace(text: &str, line: u64, expectation: &Expectation) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let value_at = usize::try_from(line).ok()?.checked_sub(1)?;
    // The value of a spread-out `expect` begins on a line below it.
    let key_at = (0..=value_at).rev().find(|at| lines.get(*at).is_some_and(|it| is_key(it)))?;
    let between = lines.get(key_at + 1..value_at).unwrap_or_default();
    if !between.iter().all(|line| is_blank(line) || line.trim_start().starts_with('#')) {
        return None;
    }
    let key = lines.get(key_at)?;
    let indent = key.find(KEY)?;
    let after = key_at + 1;
    let belonging = lines.iter().skip(after).take_while(|it| is_blank(it) || depth(it) > indent);
    let mut end = after + belonging.count();
    while end > after && lines.get(end - 1).is_some_and(|it| is_blank(it)) {
        end -= 1;
    }
    let newline = if key.ends_with("\r\n") { "\r\n" } else { "\n" };
    let mut replaced = lines.get(..key_at)?.concat();
    replaced.push_str(key.get(..indent)?);
    for line in render::lines(expectation, indent) {
        replaced.push_str(&line);
        replaced.push_str(newline);
    }
    replaced.push_str(&lines.get(end..)?.concat());
    Some(replaced)
}

fn is_key(line: &str) -> bool {
    let line = line.trim_start();
    let line = line.strip_prefix("- ").map_or(line, str::trim_start);
    line.starts_with(KEY)
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty()
}

fn depth(line: &str) -> usize {
    line.len() - line.trim_start().len()
}
