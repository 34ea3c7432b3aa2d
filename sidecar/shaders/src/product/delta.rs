//! What models of a joint run add to a product that they share: a thin product each.

use crate::{
    chain::{Chain, bindings},
    dispatch::GROUP,
    product::finish_text,
};

/// Additions to the rows of a product, as a kernel: a workgroup adds to some columns of a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Delta {
    pub(crate) relu: bool,
    pub(crate) finish: Option<Chain>,
}

/// Columns of a row that a workgroup adds to. What lies between the two thin matrices is computed anew
/// by each workgroup.
pub(super) const COLUMNS: usize = 2048;
/// Invocations that add up one of the numbers between.
const SHARING: u32 = 16;
/// The words of parameters before those of what is computed last.
pub(super) const HEADER: usize = 9;

impl Delta {
    pub(crate) fn name(&self) -> String {
        let more = self.finish.as_ref().map_or(0, |it| it.ops.len()) + usize::from(self.relu);
        format!("delta +{more}")
    }

    pub(crate) fn wgsl(&self) -> String {
        format!(
            "{bindings}{finish}
var<workgroup> parts: array<f32, {GROUP}>;
var<workgroup> between: array<f32, {at_once}>;

@compute @workgroup_size({GROUP})
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) group: vec3<u32>) {{
    let inner = params[2];
    let columns = params[3];
    let row = params[4] + group.y;
    let own = params[8] + 4u * (row / params[5] - params[6]);
    let rank = params[own];
    let down = params[own + 1u];
    let up = params[own + 2u];
    let bias = params[own + 3u];
    let first = group.x * {COLUMNS}u;
    let end = min(first + {COLUMNS}u, columns);
    let share = t % {SHARING}u;
    let which = t / {SHARING}u;
    var sums: array<f32, {each}>;
    for (var base = 0u; base < rank; base += {at_once}u) {{
        var sum = 0.0;
        if (base + which < rank) {{
            let thin = down + (base + which) * inner;
            for (var k = share; k < inner; k += {SHARING}u) {{
                sum += bitcast<f32>(memory[params[0] + row * inner + k]) * bitcast<f32>(fixed[thin + k]);
            }}
        }}
        parts[t] = sum;
        workgroupBarrier();
        for (var half = {half}u; half > 0u; half /= 2u) {{
            if (share < half) {{
                parts[t] += parts[t + half];
            }}
            workgroupBarrier();
        }}
        if (share == 0u) {{
            between[which] = parts[t];
        }}
        workgroupBarrier();
        for (var i = 0u; i < {each}u; i++) {{
            let column = first + i * {GROUP}u + t;
            if (column < end) {{
                for (var j = 0u; j < min({at_once}u, rank - base); j++) {{
                    sums[i] += between[j] * bitcast<f32>(fixed[up + (base + j) * columns + column]);
                }}
            }}
        }}
        workgroupBarrier();
    }}
    for (var i = 0u; i < {each}u; i++) {{
        let column = first + i * {GROUP}u + t;
        if (column < end) {{
            let e = row * columns + column;
            var sum = bitcast<f32>(memory[params[1] + e]) + sums[i];
            if (bias != 0xffffffffu) {{
                sum += bitcast<f32>(fixed[bias + column]);
            }}
            memory[params[7] + e] = bitcast<u32>(finished(sum, e));
        }}
    }}
}}
",
            bindings = bindings(1),
            finish = finish_text(self.relu, self.finish.as_ref(), HEADER),
            at_once = GROUP / SHARING,
            half = SHARING / 2,
            each = COLUMNS / GROUP as usize,
        )
    }
}
