//! Where the values of a run are in its arena.

use std::ops::Range;

use inference::{
    DeviceError,
    plan::{ArchivedPlace, Frame, PackedPlan},
};
use shaders::FAULT_WORDS;

use super::words::words_of;
use crate::memory::{GRAIN_WORDS, WORD_BYTES};

/// The words of an arena: first those that faults are told in, then the inputs, then the slots.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// Where each value starts, by value; 0 where it has no place here.
    pub(crate) places: Vec<u32>,
    /// The words of each input, by input: none where no kernel reads it.
    pub(crate) inputs: Vec<Range<u64>>,
    /// How many words there are.
    pub(crate) words: u64,
}

impl Layout {
    pub(crate) fn of(
        plan: &PackedPlan,
        frame: &Frame,
        reads: &[bool],
    ) -> Result<Self, DeviceError> {
        let rows = plan.plan();
        let mut slots = vec![0_u64; rows.slots.to_native() as usize];
        let mut inputs = vec![0_u64; reads.len()];
        for (at, value) in rows.values.iter().enumerate() {
            let elements = frame.bytes(at as u32).unwrap_or(0) / value.kind.bytes().max(1);
            let words = (elements as u64).saturating_mul(words_of(value.kind) as u64);
            let place = match &value.place {
                ArchivedPlace::Slot(slot) => slots.get_mut(slot.to_native() as usize),
                ArchivedPlace::Input(at) => {
                    let at = at.to_native() as usize;
                    inputs.get_mut(at).filter(|_| reads.get(at) == Some(&true))
                }
                ArchivedPlace::Constant(_) => None,
            };
            if let Some(place) = place {
                *place = words.max(*place);
            }
        }
        let mut end = u64::from(FAULT_WORDS);
        let mut place = |words: &u64| {
            let range = end..end.saturating_add(*words);
            end = range.end.checked_next_multiple_of(GRAIN_WORDS).unwrap_or(u64::MAX);
            range
        };
        let inputs: Vec<Range<u64>> = inputs.iter().map(&mut place).collect();
        let slots: Vec<Range<u64>> = slots.iter().map(&mut place).collect();
        // Words are counted by 32 bits in kernels.
        let limit = u64::from(u32::MAX) * WORD_BYTES;
        if end > u64::from(u32::MAX) {
            let found = end.saturating_mul(WORD_BYTES);
            return Err(DeviceError::TooLarge { what: "run", limit, found });
        }
        let start = |range: Option<&Range<u64>>| range.map_or(0, |it| it.start as u32);
        let places = rows.values.iter().map(|value| match &value.place {
            ArchivedPlace::Slot(slot) => start(slots.get(slot.to_native() as usize)),
            ArchivedPlace::Input(at) => start(inputs.get(at.to_native() as usize)),
            ArchivedPlace::Constant(_) => 0,
        });
        Ok(Self { places: places.collect(), inputs, words: end })
    }

    /// The bytes of the arena in which a value's words are.
    pub(crate) fn bytes(&self, plan: &PackedPlan, frame: &Frame, value: u32) -> Option<Range<u64>> {
        let kind = plan.plan().value(value)?.kind;
        let elements = frame.bytes(value)? / kind.bytes().max(1);
        let start = u64::from(*self.places.get(value as usize)?) * WORD_BYTES;
        Some(start..start + (elements * words_of(kind)) as u64 * WORD_BYTES)
    }
}
