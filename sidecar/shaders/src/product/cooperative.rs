//! Products of many rows with 16-bit weights, by cooperative matrices.
//!
//! What they multiply is rounded to 16 bits, so that numbers beyond 65,504 become infinite; sums are of
//! 32 bits.

use std::fmt::Write;

use super::Product;
use crate::{CooperativeMatrix, Limits, chain::bindings};

/// Rows and columns of a workgroup's block.
pub(super) const SIZE: u32 = 64;
/// Subgroups of a workgroup, of which each computes a quarter of the block.
const SUBGROUPS: u32 = 4;
/// Rows and columns of a quarter.
const QUARTER: u32 = SIZE / 2;
/// How many numbers of the inner dimension are shared at a time.
const DEPTH: u32 = 32;
/// Words between two rows of what is shared: some more than there are, so that they lie in different
/// banks.
const LEFT: u32 = DEPTH + 8;
const RIGHT: u32 = SIZE + 8;

/// Bytes that a workgroup shares.
const SHARED_BYTES: u32 = 2 * (SIZE * LEFT + DEPTH * RIGHT) + 4 * SIZE * SIZE;

/// Whether a device multiplies by such matrices.
pub(super) fn is_possible(matrix: CooperativeMatrix, limits: &Limits) -> bool {
    let CooperativeMatrix { side, subgroup } = matrix;
    limits.subgroups
        && limits.f16
        && matches!(side, 8 | 16)
        && subgroup.is_power_of_two()
        && subgroup <= 64
        && limits.check(SUBGROUPS * subgroup, SHARED_BYTES).is_ok()
}

pub(super) fn text(
    product: &Product,
    CooperativeMatrix { side, subgroup }: CooperativeMatrix,
) -> String {
    let packing = product.packing;
    let lanes = packing.lanes;
    let threads = SUBGROUPS * subgroup;
    let matrix = format!("coop_mat{side}x{side}");
    let along = QUARTER / side;
    let pairs = || (0..along).flat_map(|i| (0..along).map(move |j| (i, j)));
    let (mut zero, mut multiply, mut keep) = (String::new(), String::new(), String::new());
    for k in (0..DEPTH).step_by(side as usize) {
        for i in 0..along {
            let at = side * i;
            let _ = writeln!(
                multiply,
                "        let a{k}_{i} = coopLoadT<{matrix}<f16, A>>(&shared_left[(above + {at}u) * {LEFT}u + {k}u], {LEFT}u);
        let b{k}_{i} = coopLoadT<{matrix}<f16, B>>(&shared_right[{k}u * {RIGHT}u + before + {at}u], {RIGHT}u);"
            );
        }
        for (i, j) in pairs() {
            let _ = writeln!(
                multiply,
                "        sum{i}_{j} = coopMultiplyAdd(a{k}_{i}, b{k}_{j}, sum{i}_{j});"
            );
        }
    }
    for (i, j) in pairs() {
        let place = format!(
            "&shared_sums[(above + {}u) * {SIZE}u + before + {}u], {SIZE}u",
            side * i,
            side * j
        );
        let _ = writeln!(zero, "    var sum{i}_{j} = coopLoadT<{matrix}<f32, C>>({place});");
        let _ = writeln!(keep, "    coopStoreT(sum{i}_{j}, {place});");
    }
    format!(
        "enable f16;
enable wgpu_cooperative_matrix;
{bindings}{weights}{finish}{write}
var<workgroup> shared_left: array<f16, {left_size}>;
var<workgroup> shared_right: array<f16, {right_size}>;
var<workgroup> shared_sums: array<f32, {sums}>;

@compute @workgroup_size({threads})
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) group: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32) {{
    let inner = params[2];
    let first_column = group.x * {SIZE}u;
    let tile = params[7] + 3u * group.y;
    let first_row = params[tile];
    let end_row = first_row + params[tile + 1u];
    let first_panel = params[tile + 2u];
    let above = (subgroup / 2u) % 2u * {QUARTER}u;
    let before = subgroup % 2u * {QUARTER}u;
    for (var item = t; item < {sums}u; item += {threads}u) {{
        shared_sums[item] = 0.0;
    }}
    workgroupBarrier();
{zero}    for (var base = 0u; base < inner; base += {DEPTH}u) {{
        for (var item = t; item < {left_items}u; item += {threads}u) {{
            let row = first_row + item / {DEPTH}u;
            let at = base + item % {DEPTH}u;
            var number = 0.0;
            if (row < end_row && at < inner) {{
                number = bitcast<f32>(memory[params[0] + row * inner + at]);
            }}
            shared_left[item / {DEPTH}u * {LEFT}u + item % {DEPTH}u] = f16(number);
        }}
        for (var item = t; item < {right_items}u; item += {threads}u) {{
            let place = item % {fours}u * 4u;
            let at = base + item / {fours}u;
            let column = first_column + place;
            var four = vec4<f32>();
            if (at < inner && column < params[4]) {{
                four = weights(first_panel + column / {lanes}u * params[5], at * {lanes}u + column % {lanes}u);
            }}
            let to = item / {fours}u * {RIGHT}u + place;
            shared_right[to] = f16(four.x);
            shared_right[to + 1u] = f16(four.y);
            shared_right[to + 2u] = f16(four.z);
            shared_right[to + 3u] = f16(four.w);
        }}
        workgroupBarrier();
{multiply}        workgroupBarrier();
    }}
{keep}    workgroupBarrier();
    for (var item = t; item < {sums_fours}u; item += {threads}u) {{
        let row = item / {fours}u;
        let column = first_column + item % {fours}u * 4u;
        if (column < params[4]) {{
            let start = row * {SIZE}u + item % {fours}u * 4u;
            let sum = vec4<f32>(
                shared_sums[start], shared_sums[start + 1u], shared_sums[start + 2u], shared_sums[start + 3u]);
            let panel = first_panel + column / {lanes}u * params[5];
            write(first_row + row, end_row, column, scaled(sum, panel, inner, column % {lanes}u));
        }}
    }}
}}
",
        bindings = bindings(packing.together()),
        weights = packing.text(),
        finish = product.finish_text(),
        write = super::WRITE,
        left_size = SIZE * LEFT,
        right_size = DEPTH * RIGHT,
        sums = SIZE * SIZE,
        sums_fours = SIZE * SIZE / 4,
        left_items = SIZE * DEPTH,
        right_items = DEPTH * SIZE / 4,
        fours = SIZE / 4,
    )
}
