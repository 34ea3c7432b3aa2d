//! Lines as text.

use super::{
    Lines, What, Width,
    reduction::{Joining, MAX, SUM, SUM_OF_SQUARES},
};
use crate::{
    chain::{bindings, load, store, texts, type_name},
    dispatch::GROUP,
    operand::Kind,
};

impl Lines {
    pub(crate) fn wgsl(&self) -> String {
        let (read, calls, joinings, body) = match self.what {
            What::Reduce(reduction) => {
                let [read, wrote] = reduction.kinds();
                let joining = reduction.joining();
                let store = store(wrote, "params[3]", "line", reduction.result());
                let body = format!(
                    "        let all = together_a(t, part_a(at, first, step));
        if (first == 0u) {{
            {store}
        }}
"
                );
                (read, vec![], vec![("a", joining)], body)
            }
            What::Softmax { log } => {
                let write = if log { "x - largest - less" } else { "f_exp(x - largest) * factor" };
                let body = format!(
                    "        let largest = together_a(t, part_a(at, first, step));
        let sum = together_b(t, part_b(at, first, step, largest));
        let factor = 1.0 / sum;
        let less = f_ln(sum);
        for (var i = first; i < along; i += step) {{
            let x = number(at + i * inner);
            memory[params[3] + at + i * inner] = bitcast<u32>({write});
        }}
"
                );
                let sum = Joining { take: "a + f_exp(x - largest)", ..SUM };
                (Kind::F32, vec!["f_exp", "f_ln"], vec![("a", MAX), ("b", sum)], body)
            }
            What::RmsNorm => {
                let body = "        let squares = together_a(t, part_a(at, first, step));
        let factor = 1.0 / sqrt(squares / f32(along) + bitcast<f32>(params[6]));
        for (var i = first; i < along; i += step) {
            memory[params[3] + at + i * inner] = bitcast<u32>(number(at + i * inner) * factor);
        }
"
                .to_owned();
                (Kind::F32, vec![], vec![("a", SUM_OF_SQUARES)], body)
            }
        };
        let calls =
            calls.into_iter().chain(joinings.iter().flat_map(|(_, it)| it.calls.iter().copied()));
        let functions = texts(calls);
        let read_type = type_name(read);
        let load = load(read, self.source, "params[2]", "at");
        let parts: String = joinings.iter().map(|(name, it)| self.part(name, it)).collect();
        format!(
            "{bindings}{functions}{parts}
fn number(at: u32) -> {read_type} {{
    return {load};
}}
{main}",
            bindings = bindings(1),
            main = self.main(&body),
        )
    }

    fn main(&self, body: &str) -> String {
        let (threads, line, own) = match self.width {
            Width::Invocation => (GROUP, "id.x", "let first = 0u;\n    let step = 1u;"),
            Width::Workgroup { threads, .. } => {
                (threads, "group.x", "let first = t.at;\n    let step = THREADS;")
            }
        };
        let subgroups = if self.features().subgroups {
            ",
    @builtin(subgroup_size) subgroup_size: u32, @builtin(subgroup_invocation_id) in_subgroup: u32,
    @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32"
        } else {
            ""
        };
        let thread = if self.features().subgroups {
            "Thread(at, subgroup_size, in_subgroup, subgroup, subgroups)"
        } else {
            "Thread(at)"
        };
        format!(
            "const THREADS = {threads}u;
@compute @workgroup_size({threads})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) at: u32{subgroups}) {{
    let lines = params[0];
    let stride = params[1];
    let along = params[4];
    let inner = params[5];
    let t = {thread};
    {own}
    for (var line = {line}; line < lines; line += stride) {{
        let at = line / inner * along * inner + line % inner;
{body}    }}
}}
"
        )
    }

    /// `part`, what an invocation joins of a line, and `together`, what all of them did.
    fn part(&self, name: &str, joining: &Joining) -> String {
        let Joining { joined, start, take, join, .. } = joining;
        let read = match self.what {
            What::Reduce(reduction) => type_name(reduction.kinds()[0]),
            _ => "f32",
        };
        let more = if take.contains("largest") { ", largest: f32" } else { "" };
        format!(
            "fn take_{name}(a: {joined}, x: {read}, i: u32{more}) -> {joined} {{
    return {take};
}}
fn join_{name}(a: {joined}, b: {joined}) -> {joined} {{
    return {join};
}}
fn part_{name}(at: u32, first: u32, step: u32{more}) -> {joined} {{
    var all = {start};
    for (var i = first; i < params[4]; i += step) {{
        all = take_{name}(all, number(at + i * params[5]), i{pass});
    }}
    return all;
}}
{together}",
            pass = if more.is_empty() { "" } else { ", largest" },
            together = self.together(name, joined),
        )
    }

    fn together(&self, name: &str, joined: &str) -> String {
        let is_first = name == "a";
        match self.width {
            Width::Invocation => {
                let thread = if is_first { "struct Thread {\n    at: u32,\n}\n" } else { "" };
                format!(
                    "{thread}fn together_{name}(t: Thread, own: {joined}) -> {joined} {{
    return own;
}}
"
                )
            }
            Width::Workgroup { threads, subgroups: false } => {
                let thread = if is_first { "struct Thread {\n    at: u32,\n}\n" } else { "" };
                format!(
                    "{thread}var<workgroup> shared_{name}: array<{joined}, {threads}>;
fn together_{name}(t: Thread, own: {joined}) -> {joined} {{
    shared_{name}[t.at] = own;
    workgroupBarrier();
    for (var half = {threads}u / 2u; half > 0u; half /= 2u) {{
        if (t.at < half) {{
            shared_{name}[t.at] = join_{name}(shared_{name}[t.at], shared_{name}[t.at + half]);
        }}
        workgroupBarrier();
    }}
    let all = shared_{name}[0];
    workgroupBarrier();
    return all;
}}
"
                )
            }
            Width::Workgroup { threads, subgroups: true } => {
                let thread = "struct Thread {
    at: u32,
    subgroup_size: u32,
    in_subgroup: u32,
    subgroup: u32,
    subgroups: u32,
}
";
                let thread = if is_first { thread } else { "" };
                format!(
                    "{thread}var<workgroup> shared_{name}: array<{joined}, {threads}>;
fn together_{name}(t: Thread, own: {joined}) -> {joined} {{
    var all = own;
    for (var apart = 1u; apart < t.subgroup_size; apart *= 2u) {{
        all = join_{name}(all, subgroupShuffleXor(all, apart));
    }}
    if (t.in_subgroup == 0u) {{
        shared_{name}[t.subgroup] = all;
    }}
    workgroupBarrier();
    all = shared_{name}[0];
    for (var i = 1u; i < t.subgroups; i++) {{
        all = join_{name}(all, shared_{name}[i]);
    }}
    workgroupBarrier();
    return all;
}}
"
                )
            }
        }
    }
}
