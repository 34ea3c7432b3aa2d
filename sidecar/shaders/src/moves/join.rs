//! Many pieces of one length, one behind the other, at once.

use super::{for_each, moved};
use crate::{
    Dispatch, Limits, Run, Shader, Unsupported,
    chain::{Source, load, store},
    dispatch::{Kernel, groups_in_line},
    operand::{At, Kind, Operand},
    params::Params,
    window::Window,
};

/// So many pieces are worth a kernel of their own: fewer are copied one after another.
const FEWEST: usize = 3;

/// A join as a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Join {
    kind: Kind,
}

impl Join {
    pub(crate) fn name(&self) -> String {
        format!("join {:?}", self.kind)
    }

    pub(crate) fn wgsl(&self) -> String {
        let start = "params[params[5] + rest / each]";
        let load = load(self.kind, Source::Arena, start, "(e / row * each + rest % each)");
        let store = store(self.kind, "params[2]", "e", &load);
        for_each(
            "",
            "    let row = params[3];
    let each = params[4];",
            &format!(
                "        let rest = e % row;
        {store}"
            ),
        )
    }
}

/// The pieces of one kind and length, with `length` elements of each in a row of what is written. None where
/// they are not worth it, or not all of them lie in the arena.
pub(super) fn dispatch(
    run: &Run<'_>,
    pieces: &[u32],
    to: &Operand,
    [row, length]: [usize; 2],
    limits: &Limits,
) -> Result<Option<Dispatch>, Unsupported> {
    let At::Arena(written) = to.at else { return Ok(None) };
    if pieces.len() < FEWEST || length == 0 || length.checked_mul(pieces.len()) != Some(row) {
        return Ok(None);
    }
    let each = to.count / pieces.len();
    let mut starts = vec![];
    for piece in pieces {
        let from = run.operand(*piece)?;
        match from.at {
            At::Arena(start) if from.kind == to.kind && from.count == each => starts.push(start),
            _ => return Ok(None),
        }
    }
    if to.count == 0 {
        return Ok(None);
    }
    let [groups, stride] = groups_in_line(to.count, limits)?;
    let mut params = Params::default();
    params.push(to.count)?;
    params.push(stride)?;
    params.push(written)?;
    params.push(row)?;
    params.push(length)?;
    params.push_table(starts);
    Ok(Some(Dispatch {
        shader: Shader::new(Kernel::Join(Join { kind: moved(to) })),
        params: params.finish()?,
        workgroups: [groups, 1, 1],
        fixed: Window::NONE.range(),
    }))
}
