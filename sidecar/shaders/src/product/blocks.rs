//! Products of many rows: a workgroup computes a block, from numbers that its invocations share.

use std::fmt::Write;

use super::Product;
use crate::{block::Block, chain::bindings};

pub(super) fn text(product: &Product, size: [u32; 2], each: [u32; 2]) -> String {
    let packing = product.packing;
    let lanes = packing.lanes;
    // Panels can be wider than a block.
    let width = lanes.min(size[1]);
    let fetch = format!(
        "fn left_number(row: u32, at: u32, rows: u32) -> f32 {{
    if (row >= rows || at >= params[2]) {{
        return 0.0;
    }}
    return bitcast<f32>(memory[params[0] + row * params[2] + at]);
}}
fn left_four(row: u32, at: u32, rows: u32) -> vec4<f32> {{
    return vec4<f32>(
        left_number(row, at, rows), left_number(row + 1u, at, rows),
        left_number(row + 2u, at, rows), left_number(row + 3u, at, rows));
}}
fn right_four(first: u32, at: u32, column: u32) -> vec4<f32> {{
    if (at >= params[2] || column >= params[4]) {{
        return vec4<f32>();
    }}
    let panel = first + (column / {lanes}u) * params[5];
    return weights(panel, at * {lanes}u + column % {lanes}u);
}}
"
    );
    let start = "    let tile = params[7] + 3u * group.y;
    let first_row = params[tile];
    let end_row = first_row + params[tile + 1u];
    let first_panel = params[tile + 2u];
";
    let block = Block { size, each, width, by_depth: false };
    let end = block.rows(|row, fours| {
        let mut text = String::new();
        for (four, sum) in fours {
            let _ = writeln!(
                text,
                "    if (first_column + {four} < params[4]) {{
        let column = first_column + {four};
        let panel = first_panel + (column / {lanes}u) * params[5];
        write(first_row + {row}, end_row, column, scaled({sum}, panel, inner, column % {lanes}u));
    }}"
            );
        }
        text
    });
    format!(
        "{bindings}{weights}{finish}{write}{fetch}{main}",
        bindings = bindings(packing.together()),
        weights = packing.text(),
        finish = product.finish_text(),
        write = super::WRITE,
        main = block.main(start, &end),
    )
}
