//! Products of few rows: a workgroup computes a panel's columns, its invocations a part of each sum.

use std::fmt::Write;

use super::Product;
use crate::chain::bindings;

/// How many rows' sums are added up at a time.
const TOGETHER: u32 = 2;

pub(super) fn text(product: &Product, rows: u32, threads: u32) -> String {
    let packing = product.packing;
    let lanes = packing.lanes;
    let (mut start, mut step, mut end) = (String::new(), String::new(), String::new());
    for row in 0..rows {
        let _ = writeln!(
            start,
            "    let left{row} = params[0] + min(first_row + {row}u, end_row - 1u) * inner;
    var sum{row} = vec4<f32>();"
        );
        let _ = writeln!(step, "        sum{row} += bitcast<f32>(memory[left{row} + k]) * right;");
    }
    for first in (0..rows).step_by(TOGETHER as usize) {
        let some = first..(first + TOGETHER).min(rows);
        for row in some.clone() {
            let _ = writeln!(end, "    parts[{}u + t] = sum{row};", (row - first) * threads);
        }
        let _ = writeln!(end, "    workgroupBarrier();");
        let _ = writeln!(end, "    for (var half = SLOTS / 2u; half > 0u; half /= 2u) {{");
        let _ = writeln!(end, "        if (slot < half) {{");
        for row in some.clone() {
            let at = (row - first) * threads;
            let _ =
                writeln!(end, "            parts[{at}u + t] += parts[{at}u + t + half * FOURS];");
        }
        let _ = writeln!(end, "        }}\n        workgroupBarrier();\n    }}");
        let _ = writeln!(end, "    if (slot == 0u) {{");
        for row in some.clone() {
            let at = (row - first) * threads;
            let _ = writeln!(
                end,
                "        write(first_row + {row}u, end_row, column, scaled(parts[{at}u + t], panel, inner, lane));"
            );
        }
        let _ = writeln!(end, "    }}");
        if some.end < rows {
            let _ = writeln!(end, "    workgroupBarrier();");
        }
    }
    format!(
        "{bindings}{weights}{finish}{write}
const FOURS = {fours}u;
const SLOTS = {slots}u;
var<workgroup> parts: array<vec4<f32>, {parts}>;

@compute @workgroup_size({threads})
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) group: vec3<u32>) {{
    let inner = params[2];
    let tile = params[7] + 3u * group.y;
    let first_row = params[tile];
    let end_row = first_row + params[tile + 1u];
    let panel = params[tile + 2u] + group.x * params[5];
    let lane = (t % FOURS) * 4u;
    let column = group.x * {lanes}u + lane;
    let slot = t / FOURS;
{start}    for (var k = slot; k < inner; k += SLOTS) {{
        let right = weights(panel, k * {lanes}u + lane);
{step}    }}
{end}}}
",
        bindings = bindings(packing.together()),
        weights = packing.text(),
        finish = product.finish_text(),
        write = super::WRITE,
        fours = lanes / 4,
        slots = threads / (lanes / 4),
        parts = threads * TOGETHER.min(rows),
    )
}
