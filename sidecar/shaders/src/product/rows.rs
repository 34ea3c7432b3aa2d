//! Products of few rows: a workgroup computes the columns of some panels, each invocation those of a
//! part of a sum, or of a whole one.

use std::fmt::Write;

use super::Product;
use crate::chain::bindings;

/// How many rows' sums are added up at a time.
const TOGETHER: u32 = 2;

pub(super) fn text(product: &Product, rows: u32, threads: u32, panels: u32) -> String {
    let packing = product.packing;
    let lanes = packing.lanes;
    let slots = threads / (panels * lanes / 4);
    let (mut start, mut step, mut end) = (String::new(), String::new(), String::new());
    for row in 0..rows {
        let _ = writeln!(
            start,
            "    let left{row} = params[0] + min(first_row + {row}u, end_row - 1u) * inner;
    var sum{row} = vec4<f32>();"
        );
        let _ = writeln!(step, "        sum{row} += bitcast<f32>(memory[left{row} + k]) * right;");
    }
    // Sums that no invocation shares need not be added up.
    let (shared, whole) = if slots > 1 { (rows, 0) } else { (0, rows) };
    for row in 0..whole {
        let _ = writeln!(
            end,
            "    write(first_row + {row}u, end_row, column, scaled(sum{row}, panel, inner, lane));"
        );
    }
    for first in (0..shared).step_by(TOGETHER as usize) {
        let some = first..(first + TOGETHER).min(shared);
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
        if some.end < shared {
            let _ = writeln!(end, "    workgroupBarrier();");
        }
    }
    let parts = format!(
        "var<workgroup> parts: array<vec4<f32>, {}>;
",
        threads * TOGETHER.min(rows)
    );
    format!(
        "{bindings}{weights}{finish}{write}
const FOURS = {fours}u;
const SLOTS = {slots}u;
{parts}
@compute @workgroup_size({threads})
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) group: vec3<u32>) {{
    let inner = params[2];
    let tile = params[7] + 3u * group.y;
    let first_row = params[tile];
    let end_row = first_row + params[tile + 1u];
    let which = group.x * {panels}u + t / (FOURS * SLOTS);
    let panel = params[tile + 2u] + which * params[5];
    let lane = (t % FOURS) * 4u;
    let column = which * {lanes}u + lane;
    let slot = t / FOURS % SLOTS;
{leave}{start}    for (var k = slot; k < inner; k += SLOTS) {{
        let right = weights(panel, k * {lanes}u + lane);
{step}    }}
{end}}}
",
        bindings = bindings(packing.together()),
        weights = packing.text(),
        finish = product.finish_text(),
        write = super::WRITE,
        fours = lanes / 4,
        parts = if slots > 1 { &parts } else { "" },
        // Where nobody waits for it, who has no column is done.
        leave = if slots > 1 {
            ""
        } else {
            "    if (column >= params[4]) {
        return;
    }
"
        },
    )
}
