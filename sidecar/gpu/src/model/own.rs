//! What an adapter has of its own, beside its base's weights.

use inference::{
    changes::{ArchivedWeightChange, PackedChanges},
    plan::ArchivedWeightKind,
};
use shaders::{Delta, Part, Replaced, Weight};

use crate::memory::{GRAIN_WORDS, WORD_BYTES};

/// The changes of a model to its base, where they lie in a slab.
#[derive(Default)]
pub(super) struct Own {
    replaced: Vec<Replaced>,
    deltas: Vec<Delta>,
}

impl Own {
    /// Those of `changes`, whose numbers start at word `start`.
    pub(super) fn at(changes: &PackedChanges, start: u64) -> Self {
        let word = |byte: u64| start + byte / WORD_BYTES;
        let mut own = Self::default();
        for change in changes.changes().matrices.iter() {
            let matrix = change.matrix.to_native();
            let bias = change.bias.as_ref().map(|bias| word(bias.to_native()));
            let (rank, down, up) = match &change.weights {
                ArchivedWeightChange::Whole { panels, .. } => {
                    let (weight, word) = (Weight::Matrix(matrix), word(panels.to_native()));
                    own.replaced.push(Replaced { weight, word });
                    continue;
                }
                ArchivedWeightChange::LowRank { rank, down, up } => {
                    (rank.to_native(), word(down.to_native()), word(up.to_native()))
                }
                ArchivedWeightChange::Same => (0, start, start),
            };
            own.deltas.push(Delta { matrix, rank, down, up, bias });
        }
        for change in changes.changes().constants.iter() {
            let weight = Weight::Constant(change.start.to_native());
            own.replaced.push(Replaced { weight, word: word(change.at.to_native()) });
        }
        own
    }

    /// Whether kernels read the changes as they are: a matrix of its own has to be packed as the base's
    /// is there.
    pub(super) fn are_read(
        changes: &PackedChanges,
        plan: &inference::plan::ArchivedPlan,
        lanes: usize,
    ) -> bool {
        changes.changes().matrices.iter().all(|change| {
            let ArchivedWeightChange::Whole { lanes: own, .. } = &change.weights else {
                return true;
            };
            let matrix = plan.matrices.get(change.matrix.to_native() as usize);
            own.to_native() as usize == lanes
                && matrix.is_some_and(|it| matches!(it.element, ArchivedWeightKind::F32))
        })
    }

    /// The words that the numbers take.
    pub(super) fn words(changes: &PackedChanges) -> u64 {
        let words = (changes.numbers().len() as u64).div_ceil(WORD_BYTES);
        words.next_multiple_of(GRAIN_WORDS).max(GRAIN_WORDS)
    }

    /// So many rows of a model with these changes, whose base lies at `slot`.
    pub(super) fn part(&self, rows: u32, slot: u64) -> Part<'_> {
        Part { rows, slot, replaced: &self.replaced, deltas: &self.deltas }
    }
}
