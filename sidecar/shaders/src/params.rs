//! The words of a dispatch's parameters.

use crate::Unsupported;

/// Words that a shader reads: first those at places that its text knows, then tables, whose places
/// are among the former.
#[derive(Debug, Default)]
pub(crate) struct Params {
    words: Vec<u32>,
    tables: Vec<(usize, Vec<u32>)>,
}

impl Params {
    /// How many words there are before the tables.
    pub(crate) const fn len(&self) -> usize {
        self.words.len()
    }

    pub(crate) fn push(&mut self, number: impl TryInto<u32>) -> Result<(), Unsupported> {
        let word = number.try_into();
        self.words.push(word.map_err(|_| Unsupported::new("a number beyond 32 bits"))?);
        Ok(())
    }

    pub(crate) fn push_float(&mut self, number: f32) {
        self.words.push(number.to_bits());
    }

    /// The place of a table, which lies behind everything else.
    pub(crate) fn push_table(&mut self, table: Vec<u32>) {
        self.tables.push((self.words.len(), table));
        self.words.push(0);
    }

    pub(crate) fn finish(mut self) -> Result<Vec<u32>, Unsupported> {
        for (at, table) in std::mem::take(&mut self.tables) {
            let place = u32::try_from(self.words.len());
            let place = place.map_err(|_| Unsupported::new("parameters beyond 32 bits"))?;
            if let Some(word) = self.words.get_mut(at) {
                *word = place;
            }
            self.words.extend(table);
        }
        Ok(self.words)
    }
}
