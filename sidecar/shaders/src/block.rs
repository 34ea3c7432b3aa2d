//! A block of a product that a workgroup computes, from numbers that its invocations share.

use std::fmt::Write;

/// How many numbers of the inner dimension are shared at a time.
const DEPTH: u32 = 16;

/// Invocations of a workgroup, and bytes that they share.
pub(crate) const fn needs([rows, columns]: [u32; 2], each: [u32; 2]) -> [u32; 2] {
    let threads = (rows / each[0]) * (columns / each[1]);
    [threads, DEPTH * (rows / 4 + 1 + columns / 4 + 1) * 16]
}

/// A workgroup's block of a product, however its numbers are fetched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    /// Rows and columns.
    pub(crate) size: [u32; 2],
    /// Rows and columns of an invocation: multiples of 4.
    pub(crate) each: [u32; 2],
    /// How many columns lie together where the right side is fetched from: a multiple of 4.
    pub(crate) width: u32,
    /// Whether numbers of the right side that follow one another along the inner dimension lie
    /// together, and not those of a row.
    pub(crate) by_depth: bool,
}

impl Block {
    /// The text of something for each row of an invocation, which is given as where it is in the block,
    /// and for its columns four by four where they are and their sums.
    pub(crate) fn rows(&self, of_row: impl Fn(&str, Vec<(String, String)>) -> String) -> String {
        let across = self.size[1] / self.each[1];
        let [rows, columns] = self.each;
        let fours = |row: u32| {
            let four = |four: u32| {
                (format!("(own_column + {}u) * 4u", four * across), format!("sum{row}_{four}"))
            };
            (0..columns / 4).map(four).collect()
        };
        (0..rows).map(|row| of_row(&format!("own_row * {rows}u + {row}u"), fours(row))).collect()
    }

    /// The entry point. `start` says what `first_row`, `end_row` and `first_panel` are. It calls
    /// `left_four(row, at, end_row)`, numbers of four rows, and `right_four(first_panel, at, column)`,
    /// those of four columns, each from place `at` of the inner dimension, of which `params[2]` are.
    pub(crate) fn main(&self, start: &str, end: &str) -> String {
        let [rows, columns] = self.size;
        let [threads, _] = needs(self.size, self.each);
        let (left, right) = (rows / 4 + 1, columns / 4 + u32::from(self.by_depth));
        let across = columns / self.each[1];
        let items = |count: u32| 0..(count * DEPTH).div_ceil(threads);
        let (mut share, mut fetch, mut next) = (String::new(), String::new(), String::new());
        for item in items(rows / 4) {
            let t = format!("(t + {}u)", item * threads);
            let _ = writeln!(next, "    var left{item} = vec4<f32>();");
            let _ = writeln!(
                share,
                "            shared_left[({t} % DEPTH) * {left}u + {t} / DEPTH] = left{item};"
            );
            let _ = writeln!(
                fetch,
                "            left{item} = left_four(first_row + {t} / DEPTH * 4u, base + {t} % DEPTH, end_row);"
            );
        }
        let fours = self.width / 4;
        for item in items(columns / 4) {
            let t = format!("(t + {}u)", item * threads);
            let (place, depth) = if self.by_depth {
                (format!("{t} / DEPTH"), format!("{t} % DEPTH"))
            } else {
                let place = format!("{t} % {fours}u + {t} / {}u * {fours}u", fours * DEPTH);
                (place, format!("{t} / {fours}u % DEPTH"))
            };
            let _ = writeln!(next, "    var right{item} = vec4<f32>();");
            let _ = writeln!(
                share,
                "            shared_right[({depth}) * {right}u + {place}] = right{item};"
            );
            let _ = writeln!(
                fetch,
                "            right{item} = right_four(first_panel, base + {depth}, first_column + ({place}) * 4u);"
            );
        }
        let (sums, multiply) = self.multiply(left, right);
        format!(
            "const DEPTH = {DEPTH}u;
// A four more than there are, so that what is written at once lies in different banks.
var<workgroup> shared_left: array<vec4<f32>, {left_size}>;
var<workgroup> shared_right: array<vec4<f32>, {right_size}>;

@compute @workgroup_size({threads})
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) group: vec3<u32>) {{
    let inner = params[2];
    let first_column = group.x * {columns}u;
{start}    let own_row = t / {across}u;
    let own_column = t % {across}u;
{next}{sums}    for (var base = 0u; base < inner + DEPTH; base += DEPTH) {{
        if (base > 0u) {{
{share}            workgroupBarrier();
        }}
        // The next numbers are under way while those before are multiplied.
        if (base < inner) {{
{fetch}        }}
        if (base > 0u) {{
            for (var k = 0u; k < DEPTH; k++) {{
{multiply}            }}
            workgroupBarrier();
        }}
    }}
{end}}}
",
            left_size = DEPTH * left,
            right_size = DEPTH * right,
        )
    }

    fn multiply(&self, left: u32, right: u32) -> (String, String) {
        let [rows, columns] = self.each;
        let across = self.size[1] / columns;
        let (mut sums, mut text) = (String::new(), String::new());
        for j in 0..columns / 4 {
            let _ = writeln!(
                text,
                "                let b{j} = shared_right[k * {right}u + own_column + {}u];",
                j * across
            );
        }
        for i in 0..rows / 4 {
            let _ = writeln!(
                text,
                "                let a{i} = shared_left[k * {left}u + own_row * {}u + {i}u];",
                rows / 4
            );
        }
        for row in 0..rows {
            let part = ["x", "y", "z", "w"].get(row as usize % 4).copied().unwrap_or_default();
            for j in 0..columns / 4 {
                let _ = writeln!(sums, "    var sum{row}_{j} = vec4<f32>();");
                let _ =
                    writeln!(text, "                sum{row}_{j} += a{}.{part} * b{j};", row / 4);
            }
        }
        (sums, text)
    }
}
