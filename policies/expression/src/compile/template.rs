//! Messages with expressions inside.

use super::mistake::Mistake;
use super::typed::Span;
use super::{Environment, MAX_SOURCE_BYTES, Type, compile};
use crate::template::Part;
use crate::{MAX_COST, Template};

/// Compiles a message with expressions in it, each between `${` and `}`; `$${` is a plain `${`.
/// Together they cost at most [`MAX_COST`].
///
/// # Errors
/// Every mistake found, by place in `text`; at least one.
pub fn compile_template(text: &str, environment: &Environment) -> Result<Template, Vec<Mistake>> {
    if text.len() > MAX_SOURCE_BYTES {
        let message = format!("expected at most {MAX_SOURCE_BYTES} bytes, found {}", text.len());
        return Err(vec![Mistake::new(Span { start: 0, end: text.len() }, message)]);
    }
    let mut parts = Vec::new();
    let mut mistakes = Vec::new();
    let mut plain = String::new();
    let (mut rest, mut cost) = (text, 0);
    while let Some(at) = rest.find("${") {
        let (before, opened) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            plain.push_str(before);
            plain.push_str("${");
            rest = &opened[2..];
            continue;
        }
        plain.push_str(before);
        let start = text.len() - opened.len() + 2;
        let Some(end) = closing_brace(&opened[2..]) else {
            let span = Span { start: start - 2, end: text.len() };
            mistakes.push(Mistake::new(span, "expected a `}` after `${`, found none"));
            break;
        };
        match compile(&opened[2..2 + end], environment, Type::Dyn) {
            Ok(compiled) => {
                cost += compiled.cost;
                parts.extend((!plain.is_empty()).then(|| Part::Text(std::mem::take(&mut plain))));
                parts.push(Part::Expression(compiled.program));
            }
            Err(found) => mistakes
                .extend(found.into_iter().map(|it| Mistake { offset: it.offset + start, ..it })),
        }
        rest = &opened[2 + end + 1..];
    }
    if cost > MAX_COST {
        let message = format!("expected at most {MAX_COST} units of work at worst, found {cost}");
        mistakes.push(Mistake::new(Span { start: 0, end: text.len() }, message));
    }
    plain.push_str(rest);
    parts.extend((!plain.is_empty()).then_some(Part::Text(plain)));
    if mistakes.is_empty() { Ok(Template { parts }) } else { Err(mistakes) }
}

/// Where the brace is that closes an expression: not one in quotes, nor one of a map.
fn closing_brace(expression: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut characters = expression.char_indices();
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (Some(_), '\\') => {
                characters.next();
            }
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(character),
            (None, '{') => depth += 1,
            (None, '}') if depth == 0 => return Some(at),
            (None, '}') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}
