//! Looking up in a table.

use super::{for_each, moved};
use crate::{
    Dispatch, Limits, Run, Shader, Unsupported,
    chain::{Source, load, push_start, source, store},
    dispatch::{Kernel, groups_in_line},
    operand::{At, Fixed, Kind, Operand},
    params::Params,
    window::Window,
};

/// A look-up as a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Gather {
    kind: Kind,
    table: Source,
    indices: Source,
}

impl Gather {
    pub(crate) fn name(&self) -> String {
        format!("gather {:?}", self.kind)
    }

    pub(crate) fn wgsl(&self) -> String {
        let start = |source: Source, at: u32| match source {
            Source::FixedByRow => format!("params[params[{at}] + row]"),
            Source::Arena | Source::Fixed => format!("params[{at}]"),
        };
        let index = load(Kind::I64, self.indices, &start(self.indices, 4), "i");
        let found = load(self.kind, self.table, &start(self.table, 3), "place");
        let each = format!(
            "        let row = e / params[8];
        let i = e / inner % indices;
        let index = {index};
        // One from the end has all bits of its high word set, and its low word wraps around.
        let wanted = select(index.x, index.x + along, index.y != 0u);
        let is_there = wanted < along && (index.y == 0u || (index.y == 0xffffffffu && index.x >= 0u - along));
        if (!is_there) {{
            memory[1] = index.x;
            memory[2] = index.y;
            memory[3] = along;
            memory[4] = row;
            memory[0] = 1u;
            continue;
        }}
        let place = (e / inner / indices * along + wanted) * inner + e % inner;
        {store}",
            store = store(self.kind, "params[2]", "e", &found),
        );
        let lets = "    let along = params[5];
    let inner = params[6];
    let indices = params[7];";
        for_each("", lets, &each)
    }
}

pub(super) fn dispatches(
    run: &Run<'_>,
    axis: usize,
    [table, indices]: [u32; 2],
    output: u32,
    limits: &Limits,
) -> Result<Vec<Dispatch>, Unsupported> {
    let unfit = || Unsupported::new("a look-up that does not fit");
    let (table, indices) = (run.operand(table)?, run.operand(indices)?);
    let to = run.operand(output)?;
    let [outer, along, inner] = table.around(axis, 1).ok_or_else(unfit)?;
    let count = outer.checked_mul(indices.count).and_then(|it| it.checked_mul(inner));
    if indices.kind != Kind::I64 || table.kind != to.kind || count != Some(to.count) {
        return Err(unfit());
    }
    if to.count == 0 {
        return Ok(vec![]);
    }
    let At::Arena(start) = to.at else {
        return Err(Unsupported::new("a step that writes a weight"));
    };
    let operands = [&table, &indices];
    let starts = |operand: &Operand| match &operand.at {
        At::Arena(_) => vec![],
        At::Fixed(fixed) => fixed.starts().to_vec(),
    };
    let ranges = operands.into_iter().flat_map(|operand| {
        let words = operand.fixed_words();
        starts(operand).into_iter().map(move |start| start..start + words)
    });
    let window = Window::over_all(run, limits, ranges)?;
    let is_by_row = |it: &&Operand| matches!(it.at, At::Fixed(Fixed::ByPart(_)));
    let row_elements = if operands.iter().any(is_by_row) || run.parts.len() > 1 {
        run.row_elements(output, &to)?
    } else {
        to.count
    };
    let [groups, stride] = groups_in_line(to.count, limits)?;
    let mut params = Params::default();
    params.push(to.count)?;
    params.push(stride)?;
    params.push(start)?;
    push_start(run, &window, &table.at, &mut params)?;
    push_start(run, &window, &indices.at, &mut params)?;
    for number in [along, inner, indices.count, row_elements] {
        params.push(number)?;
    }
    let kernel =
        Gather { kind: moved(&table), table: source(&table.at), indices: source(&indices.at) };
    Ok(vec![Dispatch {
        shader: Shader::new(Kernel::Gather(kernel)),
        params: params.finish()?,
        workgroups: [groups, 1, 1],
        fixed: window.range(),
    }])
}
