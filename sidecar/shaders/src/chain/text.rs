//! A chain as text.

use std::fmt::Write;

use super::{Access, Chain, Input, Op, Source, functions};
use crate::operand::Kind;

/// The three bindings, the weights as so many words at a time: 1, 2 or 4.
pub(crate) fn bindings(together: u32) -> String {
    let (array, word) = match together {
        2 => ("vec2<u32>", "fixed[at >> 1u][at & 1u]"),
        4 => ("vec4<u32>", "fixed[at >> 2u][at & 3u]"),
        _ => ("u32", "fixed[at]"),
    };
    format!(
        "@group(0) @binding(0) var<storage, read_write> memory: array<u32>;
@group(0) @binding(1) var<storage, read> fixed: array<{array}>;
@group(0) @binding(2) var<storage, read> params: array<u32>;
fn memory_word(at: u32) -> u32 {{
    return memory[at];
}}
fn fixed_word(at: u32) -> u32 {{
    return {word};
}}
"
    )
}

/// The expression of element `at` of an operand that starts at word `start`.
pub(crate) fn load(kind: Kind, source: Source, start: &str, at: &str) -> String {
    let word = if source == Source::Arena { "memory_word" } else { "fixed_word" };
    match kind {
        Kind::F32 => format!("bitcast<f32>({word}({start} + {at}))"),
        Kind::I32 => format!("bitcast<i32>({word}({start} + {at}))"),
        Kind::I64 => {
            let first = format!("{start} + 2u * ({at})");
            format!("vec2<u32>({word}({first}), {word}({first} + 1u))")
        }
        Kind::Bool if source == Source::Arena => format!("({word}({start} + {at}) != 0u)"),
        Kind::Bool => {
            format!("((({word}({start} + (({at}) >> 2u)) >> ((({at}) & 3u) * 8u)) & 255u) != 0u)")
        }
    }
}

/// The statement that writes element `at` of an operand in the arena.
pub(crate) fn store(kind: Kind, start: &str, at: &str, value: &str) -> String {
    match kind {
        Kind::F32 | Kind::I32 => format!("memory[{start} + {at}] = bitcast<u32>({value});"),
        Kind::Bool => format!("memory[{start} + {at}] = select(0u, 1u, {value});"),
        Kind::I64 => format!(
            "let wide = {value};
        memory[{start} + 2u * ({at})] = wide.x;
        memory[{start} + 2u * ({at}) + 1u] = wide.y;"
        ),
    }
}

pub(crate) const fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "bool",
        Kind::I32 => "i32",
        Kind::I64 => "vec2<u32>",
        Kind::F32 => "f32",
    }
}

/// Where in the parameters each thing of a chain is.
#[derive(Debug)]
pub(super) struct Places {
    /// How many elements a row of the batch has.
    row: usize,
    /// For each input its start, or its table; then the dimensions but the first, then the strides.
    inputs: Vec<usize>,
    scalars: usize,
}

impl Places {
    fn of(chain: &Chain, from: usize) -> Self {
        let mut next = from + usize::from(chain.is_by_row());
        let inputs = chain.inputs.iter().map(|input| {
            let at = next;
            next += match input.access {
                Access::Strided(rank) => 2 * rank,
                Access::Same | Access::First => 1,
            };
            at
        });
        let inputs = inputs.collect();
        Self { row: from, inputs, scalars: next }
    }
}

impl Chain {
    pub(super) fn is_by_row(&self) -> bool {
        self.inputs.iter().any(|it| it.source == Source::FixedByRow)
    }

    /// The functions that are called, and `fn chain(e: u32) -> T`, with a second argument `computed`
    /// where there is something. Its parameters are from `params[from]` on. `more` is a function that
    /// is called beside.
    pub(crate) fn prelude(&self, from: usize, more: Option<&'static str>) -> String {
        let places = Places::of(self, from);
        let names = self.ops.iter().flat_map(|op| called(op.expression)).chain(more);
        let mut text = functions::texts(names);
        let argument = if self.has_computed { ", computed: f32" } else { "" };
        let result = type_name(self.output);
        let _ = writeln!(text, "fn chain(e: u32{argument}) -> {result} {{");
        if self.is_by_row() {
            let _ = writeln!(text, "    let row = e / params[{}];", places.row);
        }
        for (at, (input, place)) in self.inputs.iter().zip(&places.inputs).enumerate() {
            write_input(&mut text, at, *input, *place);
        }
        let mut values = self.inputs.len();
        if self.has_computed {
            let _ = writeln!(text, "    let v{values} = computed;");
            values += 1;
        }
        for (at, op) in self.ops.iter().enumerate() {
            let _ =
                writeln!(text, "    let v{} = {};", values + at, written_out(op, places.scalars));
        }
        let last = (values + self.ops.len()).saturating_sub(1);
        let _ = writeln!(text, "    return v{last};\n}}");
        text
    }
}

fn write_input(text: &mut String, at: usize, input: Input, place: usize) {
    let start = match input.source {
        Source::Arena | Source::Fixed => format!("params[{place}]"),
        Source::FixedByRow => format!("params[params[{place}] + row]"),
    };
    let element = match input.access {
        Access::Same => "e".to_owned(),
        Access::First => "0u".to_owned(),
        Access::Strided(rank) => {
            let _ = writeln!(text, "    var rest{at} = e;\n    var place{at} = 0u;");
            for axis in (1..rank).rev() {
                let (dim, stride) = (place + axis, place + rank + axis);
                let _ = writeln!(
                    text,
                    "    place{at} += (rest{at} % params[{dim}]) * params[{stride}];
    rest{at} /= params[{dim}];"
                );
            }
            let _ = writeln!(text, "    place{at} += rest{at} * params[{}];", place + rank);
            format!("place{at}")
        }
    };
    let _ = writeln!(text, "    let v{at} = {};", load(input.kind, input.source, &start, &element));
}

fn written_out(op: &Op, scalars: usize) -> String {
    let mut expression = op.expression.to_owned();
    for (at, argument) in op.arguments.iter().enumerate() {
        expression = expression.replace(&format!("${at}"), &format!("v{argument}"));
    }
    if let Some(scalar) = op.scalar {
        let word = format!("bitcast<f32>(params[{}])", scalars + scalar);
        expression = expression.replace("$s", &word);
    }
    expression
}

/// The words of an expression, of which some are functions.
fn called(expression: &str) -> impl Iterator<Item = &str> {
    expression.split(|it: char| !it.is_ascii_alphanumeric() && it != '_')
}
