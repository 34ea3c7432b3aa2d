//! From text to a syntax tree, with the place of each part of it. The parser is the `cel` crate's.

use cel::common::ast::{EntryExpr, Expr, IdedExpr, SourceInfo};
use cel::parser::{ParseError, Parser};

use super::typed::Span;
use super::{MAX_SOURCE_BYTES, Mistake};

/// A source and its syntax tree.
pub(super) struct Parsed<'s> {
    pub(super) source: &'s str,
    pub(super) root: IdedExpr,
    places: SourceInfo,
}

/// How deeply syntax may be nested at all; a macro is several levels. What compiles is nested less
/// deeply than that, and this keeps all who walk the tree from the end of the stack.
const MAX_TREE_DEPTH: usize = 256;

const TOO_DEEP: &str = "expected an expression that is nested less deeply; split it";

/// The first mistake is the only one said: those that follow are mostly the parser's confusion.
pub(super) fn parse(source: &str) -> Result<Parsed<'_>, Vec<Mistake>> {
    let whole = Span { start: 0, end: source.len() };
    if source.trim().is_empty() {
        return Err(vec![Mistake::new(whole, "expected an expression, found nothing")]);
    }
    if source.len() > MAX_SOURCE_BYTES {
        let found = source.len();
        let message = format!("expected at most {MAX_SOURCE_BYTES} bytes, found {found}");
        return Err(vec![Mistake::new(whole, message)]);
    }
    match Parser::new().parse_with_source_info(source) {
        Ok((root, _)) if is_deeper(&root, MAX_TREE_DEPTH) => {
            Err(vec![Mistake::new(whole, TOO_DEEP)])
        }
        Ok((root, places)) => Ok(Parsed { source, root, places }),
        Err(errors) => match errors.errors.first() {
            Some(error) => Err(vec![mistake(source, error)]),
            None => Err(vec![Mistake::new(whole, "expected a CEL expression")]),
        },
    }
}

impl Parsed<'_> {
    /// All of `expression`: from the first of its parts to its last, with the bracket that closes it.
    pub(super) fn span(&self, expression: &IdedExpr) -> Span {
        let mut span = self.token(expression.id);
        match &expression.expr {
            Expr::Select(select) => {
                let operand = self.span(&select.operand);
                let from = if select.test { operand.end } else { span.start };
                span = join(span, join(operand, self.field_after(from, &select.field)));
                if select.test {
                    // The token is the parenthesis of `has(`.
                    span = self.closed(join(span, self.name_span(expression, "has")));
                }
            }
            Expr::Call(call) => {
                let operands = call.target.iter().map(|it| &**it).chain(&call.args);
                span = operands.fold(span, |span, part| join(span, self.span(part)));
                if self.text(self.token(expression.id)) == "(" {
                    span = join(span, self.name_span(expression, &call.func_name));
                    span = self.closed(span);
                } else if call.func_name == "_[_]" {
                    span = self.closed(span);
                }
            }
            Expr::Comprehension(it) => {
                for part in [&it.iter_range, &it.loop_step] {
                    span = join(span, self.span(part));
                }
                span = self.closed(span);
            }
            Expr::List(list) => {
                span = list.elements.iter().fold(span, |span, it| join(span, self.span(it)));
                span = self.closed(span);
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        span = join(span, join(self.span(&entry.key), self.span(&entry.value)));
                    }
                }
                span = self.closed(span);
            }
            Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) => {}
        }
        span
    }

    /// The field that a select names, after its point.
    pub(super) fn field_span(&self, expression: &IdedExpr) -> Span {
        let token = self.token(expression.id);
        match &expression.expr {
            // The token of `has(a.b)` is the parenthesis, not the point.
            Expr::Select(select) if select.test => {
                self.field_after(self.span(&select.operand).end, &select.field)
            }
            Expr::Select(select) => self.field_after(token.start, &select.field),
            _ => token,
        }
    }

    fn field_after(&self, from: usize, field: &str) -> Span {
        let rest = self.source.get(from..).unwrap_or_default();
        let start = from + rest.find(field).unwrap_or_default();
        Span { start, end: (start + field.len()).min(self.source.len()) }
    }

    /// The name of a function, before its parenthesis.
    pub(super) fn name_span(&self, expression: &IdedExpr, name: &str) -> Span {
        let token = self.token(expression.id);
        let before = self.source.get(..token.start).unwrap_or_default();
        let end = before.trim_end().len();
        let start = end.saturating_sub(name.len());
        if before.get(start..end) == Some(name) { Span { start, end } } else { token }
    }

    fn token(&self, id: u64) -> Span {
        let end = self.source.len();
        let Some((first, last)) = self.places.offset_for(id) else {
            return Span { start: 0, end };
        };
        let start = self.source.floor_char_boundary(first as usize);
        // The parser counts the token's last byte in.
        Span { start, end: self.source.ceil_char_boundary(last as usize + 1).min(end) }
    }

    fn text(&self, span: Span) -> &str {
        self.source.get(span.start..span.end).unwrap_or_default()
    }

    /// `span` with the bracket after it, where one follows.
    fn closed(&self, span: Span) -> Span {
        let rest = self.source.get(span.end..).unwrap_or_default();
        let gap = rest.len() - rest.trim_start().len();
        match rest.trim_start().chars().next() {
            Some(')' | ']' | '}') => Span { end: span.end + gap + 1, ..span },
            _ => span,
        }
    }
}

/// Whether any part of `root` is more than `limit` levels below it.
fn is_deeper(root: &IdedExpr, limit: usize) -> bool {
    let mut rest = vec![(root, 0)];
    while let Some((it, depth)) = rest.pop() {
        if depth > limit {
            return true;
        }
        let below = depth + 1;
        match &it.expr {
            Expr::Select(select) => rest.push((&select.operand, below)),
            Expr::Call(call) => {
                rest.extend(call.target.iter().map(|target| (&**target, below)));
                rest.extend(call.args.iter().map(|it| (it, below)));
            }
            Expr::Comprehension(it) => {
                rest.extend([(&it.iter_range, below), (&it.loop_step, below)]);
            }
            Expr::List(list) => rest.extend(list.elements.iter().map(|it| (it, below))),
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        rest.extend([(&entry.key, below), (&entry.value, below)]);
                    }
                }
            }
            Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) => {}
        }
    }
    false
}

fn join(a: Span, b: Span) -> Span {
    Span { start: a.start.min(b.start), end: a.end.max(b.end) }
}

fn mistake(source: &str, error: &ParseError) -> Mistake {
    let message = reword(&error.msg);
    let (Ok(line), Ok(column)) = (usize::try_from(error.pos.0), usize::try_from(error.pos.1))
    else {
        return Mistake::new(Span { start: 0, end: source.len() }, message);
    };
    let before: usize =
        source.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = source.get(before..).unwrap_or_default();
    let in_line = rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |it| it.0);
    let start = before + in_line;
    let rest = source.get(start..).unwrap_or_default();
    let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let first = rest.chars().next().map_or(0, char::len_utf8);
    Mistake::new(Span { start, end: start + word.max(first) }, message)
}

/// The parser's words in ours, where they are known.
fn reword(message: &str) -> String {
    let wants_value = message.contains("IDENTIFIER");
    let expected = if wants_value { "a value" } else { "an operator or the end" };
    let syntax = message.strip_prefix("Syntax error: ").unwrap_or(message);
    if syntax.contains("Recursion limit") || syntax.contains("recursion limit") {
        return TOO_DEEP.to_owned();
    }
    if let Some(rest) = syntax.strip_prefix("token recognition error at: '") {
        let found = rest.strip_suffix('\'').unwrap_or(rest).trim();
        return format!("expected CEL, found `{found}`; is a quote missing, or one too many?");
    }
    for prefix in ["mismatched input '", "extraneous input '", "no viable alternative at input '"] {
        let Some(rest) = syntax.strip_prefix(prefix) else { continue };
        let found = rest.split_once("' expecting").map_or(rest.trim_end_matches('\''), |it| it.0);
        return match found {
            "<EOF>" if wants_value => "expected a value, found the end".to_owned(),
            "<EOF>" => "expected a closing bracket, found the end".to_owned(),
            found => format!("expected {expected}, found `{found}`"),
        };
    }
    if let Some((bracket, found)) =
        syntax.strip_prefix("missing '").and_then(|rest| rest.split_once("' at '"))
    {
        let found = match found.trim_end_matches('\'') {
            "<EOF>" => "the end".to_owned(),
            found => format!("`{found}`"),
        };
        return format!("expected `{bracket}`, found {found}");
    }
    if syntax.starts_with("Incomplete") {
        return "expected more, found the end; a conditional is `condition ? value : value`"
            .to_owned();
    }
    if let Some(found) = syntax.strip_prefix("unsupported syntax ") {
        return format!("expected CEL without optional values, found {}", found.replace('\'', "`"));
    }
    match syntax {
        "invalid int literal" => "expected an int of 64 bits".to_owned(),
        "invalid uint literal" => "expected a uint of 64 bits".to_owned(),
        "invalid argument to has() macro" => {
            "expected a field for has(), such as `has(claims.roles)`".to_owned()
        }
        "argument must be a simple name" => {
            "expected a plain name for the element, such as `list.all(x, ...)`".to_owned()
        }
        other => match other.strip_prefix("reserved identifier: ") {
            Some(word) => format!("expected a name, found `{word}`, which CEL reserves"),
            None => format!("expected a CEL expression: {other}"),
        },
    }
}
