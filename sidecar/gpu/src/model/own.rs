//! What an adapter has of its own, beside its base's weights.

use inference::{
    DeviceError,
    changes::{PackedChanges, WeightsRef},
    plan::{ArchivedPlan, ArchivedWeightKind},
};
use kernels::LowRank;
use shaders::{Delta, Part, Replaced, Weight};
use zerocopy::IntoBytes;

use crate::memory::{GRAIN_WORDS, Store, WORD_BYTES};

/// The changes of a model to its base, where they lie in a slab.
#[derive(Default)]
pub(super) struct Own {
    replaced: Vec<Replaced>,
    deltas: Vec<Delta>,
}

impl Own {
    /// Whether kernels read the changes as they are: a matrix of its own has to be packed as the base's
    /// is there.
    pub(super) fn are_read(changes: &PackedChanges, plan: &ArchivedPlan, lanes: usize) -> bool {
        changes.matrices().iter().all(|change| {
            let WeightsRef::Whole(panels) = change.weights else { return true };
            let matrix = plan.matrices.get(change.matrix as usize);
            panels.shape().lanes == lanes
                && matrix.is_some_and(|it| matches!(it.element, ArchivedWeightKind::F32))
        })
    }

    /// So many rows of a model with these changes, whose base lies at `slot`.
    pub(super) fn part(&self, rows: u32, slot: u64) -> Part<'_> {
        Part { rows, slot, replaced: &self.replaced, deltas: &self.deltas }
    }
}

/// What is copied of changes, each to a multiple of 64 bytes. Kernels read thin matrices as 32-bit floats,
/// so those of a file with narrower ones take more of a device than of the file.
#[derive(Default)]
pub(super) struct Copied<'a> {
    pieces: Vec<(u64, Piece<'a>)>,
    own: Own,
    words: u64,
}

enum Piece<'a> {
    Bytes(&'a [u8]),
    /// The first, and the second behind it.
    Pair(LowRank<'a>),
}

impl<'a> Copied<'a> {
    /// What is copied of `changes`, and where it lies when it begins at word `start`.
    pub(super) fn of(changes: &'a PackedChanges, start: u64) -> Self {
        let mut copied = Self::default();
        for change in changes.matrices() {
            let at = change.matrix;
            let (rank, down, up) = match change.weights {
                WeightsRef::Whole(panels) => {
                    let word = start + copied.bytes(panels.bytes());
                    copied.own.replaced.push(Replaced { weight: Weight::Matrix(at), word });
                    continue;
                }
                WeightsRef::LowRank(pair) => {
                    let [down, up] = copied.pair(pair);
                    (pair.rank() as u32, start + down, start + up)
                }
                WeightsRef::Same => (0, start, start),
            };
            let bias = change.bias.map(|bias| start + copied.bytes(bias.as_bytes()));
            copied.own.deltas.push(Delta { matrix: at, rank, down, up, bias });
        }
        for change in changes.changes().constants.iter() {
            let at = change.start.to_native();
            let Some(bytes) = changes.constant(at) else { continue };
            let word = start + copied.bytes(bytes);
            copied.own.replaced.push(Replaced { weight: Weight::Constant(at), word });
        }
        copied
    }

    /// The words that it takes.
    pub(super) fn words(&self) -> u64 {
        self.words.max(GRAIN_WORDS)
    }

    /// Copies it to word `start` and on.
    pub(super) fn write(&self, store: &Store, start: u64) -> Result<(), DeviceError> {
        for (word, piece) in &self.pieces {
            let word = start + word;
            match piece {
                Piece::Bytes(bytes) => store.write(word, bytes)?,
                Piece::Pair(pair) => {
                    let [down, up] = pair.unpack();
                    store.write(word, down.as_bytes())?;
                    store.write(word + words(size_of_val(&*down)), up.as_bytes())?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn own(self) -> Own {
        self.own
    }

    fn bytes(&mut self, bytes: &'a [u8]) -> u64 {
        let word = self.words;
        self.pieces.push((word, Piece::Bytes(bytes)));
        self.words = word.saturating_add(words(bytes.len()));
        word
    }

    fn pair(&mut self, pair: LowRank<'a>) -> [u64; 2] {
        let [down, up] = pair.lengths().map(|numbers| words(numbers * size_of::<f32>()));
        let word = self.words;
        self.pieces.push((word, Piece::Pair(pair)));
        self.words = word.saturating_add(down).saturating_add(up);
        [word, word.saturating_add(down)]
    }
}

/// The words of so many bytes, before others begin.
fn words(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(WORD_BYTES).next_multiple_of(GRAIN_WORDS)
}
