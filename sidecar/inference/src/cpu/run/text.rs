//! Texts into numbers.

use rkyv::{
    rend::{i64_le, u32_le},
    string::ArchivedString,
    vec::ArchivedVec,
};

use super::{Fault, Operands, memory::written};

pub(super) fn category(
    from: &Operands<'_>,
    input: &u32_le,
    (texts, codes): (&ArchivedVec<ArchivedString>, &ArchivedVec<i64_le>),
    otherwise: i64,
    output: &mut [u8],
) -> Result<(), Fault> {
    let output = written::<i64>(output)?;
    let input = from.text(input.to_native())?;
    if input.len() != output.len() {
        return Err(Fault::Plan { what: "categories of another number than texts" });
    }
    for (to, text) in output.iter_mut().zip(input) {
        let found = texts.binary_search_by(|it| it.as_bytes().cmp(text)).ok();
        *to = found.and_then(|at| codes.get(at)).map_or(otherwise, |code| code.to_native());
    }
    Ok(())
}
