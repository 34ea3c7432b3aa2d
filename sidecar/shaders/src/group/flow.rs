//! Which step reads what which step wrote.

use inference::plan::{ArchivedPlace, ArchivedPlan};

/// Values share slots, and one slot's contents are read under several shapes. What is read is what
/// was written there last.
pub(super) struct Flow {
    /// For each step, who wrote each of its operands; none for what no step did.
    writers: Vec<Vec<Option<usize>>>,
    readers: Vec<Vec<usize>>,
    answered: Vec<bool>,
    sizes: Vec<Option<Size>>,
}

/// How many elements there are under some choices of symbols. Equal ones are taken for equal under all:
/// where they are not, a run is refused.
pub(super) type Size = [usize; CHOICES];

const CHOICES: usize = 3;

impl Flow {
    pub(super) fn of(plan: &ArchivedPlan) -> Self {
        let count = plan.steps.len();
        let mut flow = Self {
            writers: vec![],
            readers: vec![vec![]; count],
            answered: vec![false; count],
            sizes: sizes(plan),
        };
        let mut last: Vec<Option<usize>> = vec![None; plan.slots.to_native() as usize];
        for (at, step) in plan.steps.iter().enumerate() {
            let (inputs, output) = step.operands();
            let wrote = |value: u32| *last.get(slot(plan, value)? as usize)?;
            let writers: Vec<Option<usize>> = inputs.map(wrote).collect();
            for writer in writers.iter().flatten() {
                if let Some(readers) = flow.readers.get_mut(*writer) {
                    readers.push(at);
                }
            }
            flow.writers.push(writers);
            if let Some(entry) = slot(plan, output).and_then(|it| last.get_mut(it as usize)) {
                *entry = Some(at);
            }
        }
        for output in plan.outputs.iter() {
            let writer = slot(plan, output.to_native()).and_then(|it| *last.get(it as usize)?);
            if let Some(answered) = writer.and_then(|it| flow.answered.get_mut(it)) {
                *answered = true;
            }
        }
        flow
    }

    /// Who wrote an operand of a step, by its place among them.
    pub(super) fn writer(&self, step: usize, argument: usize) -> Option<usize> {
        *self.writers.get(step)?.get(argument)?
    }

    /// Who reads what a step wrote.
    pub(super) fn readers(&self, step: usize) -> &[usize] {
        self.readers.get(step).map_or(&[], Vec::as_slice)
    }

    /// Whether what a step wrote is answered.
    pub(super) fn is_answered(&self, step: usize) -> bool {
        self.answered.get(step).is_some_and(|it| *it)
    }

    /// How many elements a step writes.
    pub(super) fn size(&self, step: usize) -> Option<Size> {
        *self.sizes.get(step)?
    }
}

/// The slot that a value is in.
pub(super) fn slot(plan: &ArchivedPlan, value: u32) -> Option<u32> {
    match plan.value(value)?.place {
        ArchivedPlace::Slot(slot) => Some(slot.to_native()),
        _ => None,
    }
}

fn sizes(plan: &ArchivedPlan) -> Vec<Option<Size>> {
    let mut dimensions: Vec<Option<Size>> = vec![Some([0; CHOICES]); plan.dimensions.len()];
    for choice in 0..CHOICES {
        // Numbers that have no factor in common with what models are made of.
        let symbols =
            (0..plan.symbols.len()).map(|at| (127 + 102 * choice + 44 * (at % 97)) as i64);
        let symbols: Vec<i64> = symbols.collect();
        for (dimension, found) in plan.dimensions.iter().zip(&mut dimensions) {
            let value = dimension.evaluate(&symbols);
            match (value, found.as_mut().and_then(|it| it.get_mut(choice))) {
                (Some(value), Some(to)) => *to = value,
                _ => *found = None,
            }
        }
    }
    let of = |value: u32| {
        plan.value(value)?.shape.iter().try_fold([1; CHOICES], |mut size: Size, at| {
            let dimension = (*dimensions.get(at.to_native() as usize)?)?;
            for (size, dim) in size.iter_mut().zip(dimension) {
                *size = size.checked_mul(dim)?;
            }
            Some(size)
        })
    };
    plan.steps.iter().map(|step| of(step.operands().1)).collect()
}
