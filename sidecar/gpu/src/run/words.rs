//! Elements as they lie in memory, and as the words that kernels read.

use inference::plan::ArchivedKind;

/// Words of an element on a device; 64-bit floats and texts are never there.
pub(crate) const fn words_of(kind: ArchivedKind) -> usize {
    match kind {
        ArchivedKind::Text => 0,
        ArchivedKind::Bool | ArchivedKind::I32 | ArchivedKind::F32 => 1,
        ArchivedKind::I64 | ArchivedKind::F64 => 2,
    }
}

/// Writes elements as words, and zeros behind them. Of everything but Bool they are the same bytes.
pub(crate) fn widen(kind: ArchivedKind, elements: &[u8], mut write: impl FnMut(usize, &[u8])) {
    if kind != ArchivedKind::Bool {
        write(0, elements);
        return;
    }
    const AT_ONCE: usize = 256;
    let mut words = [0_u8; 4 * AT_ONCE];
    for (at, some) in elements.chunks(AT_ONCE).enumerate() {
        for (word, element) in words.chunks_exact_mut(4).zip(some) {
            word.copy_from_slice(&u32::from(*element != 0).to_le_bytes());
        }
        write(at * words.len(), words.get(..4 * some.len()).unwrap_or_default());
    }
}

/// Writes words as elements.
pub(crate) fn narrow(kind: ArchivedKind, words: &[u8], elements: &mut [u8]) {
    if kind == ArchivedKind::Bool {
        let words = words.chunks_exact(4);
        elements.iter_mut().zip(words).for_each(|(to, word)| {
            *to = u8::from(word.iter().any(|byte| *byte != 0));
        });
    } else {
        elements.iter_mut().zip(words).for_each(|(to, from)| *to = *from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_widened_and_narrowed_is_what_it_was() {
        let bools: Vec<u8> = (0..600).map(|at| u8::from(at % 3 == 0)).collect();
        for (kind, elements) in [(ArchivedKind::Bool, &bools[..]), (ArchivedKind::F32, &[1; 8])] {
            let mut words = vec![0; elements.len() * 4];
            widen(kind, elements, |at, bytes| words[at..at + bytes.len()].copy_from_slice(bytes));
            let mut back = vec![0; elements.len()];
            narrow(kind, &words, &mut back);
            assert_eq!(back, elements);
        }
    }
}
