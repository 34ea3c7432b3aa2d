//! Whether the rows of a batch keep to themselves.
//!
//! Requests are joined along the batch, and so may be those of several models that differ in their
//! weights alone. Then each step must compute a row of what it writes from the same row of what it
//! reads, and the rows of a value must lie one behind the other, so that those of one model are one
//! piece of it. What is found here holds for every plan that was checked, whoever made it: shapes are
//! compared as expressions, and what cannot be shown is taken for mixed.

mod keeps;
#[cfg(test)]
mod tests;

use super::{
    ArchivedPlace, ArchivedPlan, ArchivedStep,
    extent::{Extent, Extents},
};

/// Plans of more values are taken for mixed.
const MOST_VALUES: usize = 1 << 16;

/// How the elements of a value depend on the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Major {
    /// They do not: constants, and what is computed of them and of the shape of the other dimensions.
    Fixed,
    /// They lie row after row, as many for each row of the batch: all dimensions before the one that
    /// is a multiple of the batch are 1. Each row depends on the same row of the inputs alone.
    Batch,
    /// Otherwise, or it is not known.
    Mixed,
}

/// Where rows of a batch do not keep to themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mixing {
    /// This input does not have the batch in its first dimension.
    Input(u32),
    /// This step, by its place among all steps.
    Step(usize),
    /// This output, by its place among all outputs, has not one row for each of the batch.
    Output(usize),
    /// There are too many values to tell.
    TooLarge,
}

/// How the values of a plan depend on the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    values: Vec<Major>,
    mixing: Option<Mixing>,
}

impl Rows {
    /// How a value depends on the batch. One that no step reads or writes is mixed.
    pub fn of(&self, value: u32) -> Major {
        self.values.get(value as usize).copied().unwrap_or(Major::Mixed)
    }

    /// Whether rows of several models of this plan may be run as one batch.
    pub const fn is_joinable(&self) -> bool {
        self.mixing.is_none()
    }

    /// The first thing that keeps them from it.
    pub const fn mixing(&self) -> Option<Mixing> {
        self.mixing
    }
}

/// Finds how the values of `plan`, which was checked, depend on the batch. Takes time by the number of
/// its values.
pub fn rows(plan: &ArchivedPlan) -> Rows {
    if plan.values.len() > MOST_VALUES {
        return Rows { values: vec![], mixing: Some(Mixing::TooLarge) };
    }
    let mut tracing = Tracing::new(plan);
    let mut mixing = None;
    for (at, value) in plan.values.iter().enumerate() {
        if let ArchivedPlace::Input(input) = &value.place
            && tracing.read(at as u32) != Major::Batch
        {
            mixing = mixing.or(Some(Mixing::Input(input.to_native())));
        }
    }
    for (at, step) in plan.steps.iter().enumerate() {
        if tracing.step(step) == Major::Mixed {
            mixing = mixing.or(Some(Mixing::Step(at)));
        }
    }
    for (at, output) in plan.outputs.iter().enumerate() {
        if !tracing.answers_rows(output.to_native()) {
            mixing = mixing.or(Some(Mixing::Output(at)));
        }
    }
    let values = tracing.values.into_iter().map(|it| it.unwrap_or(Major::Mixed)).collect();
    Rows { values, mixing }
}

/// A value's shape, as far as it is understood.
struct Shape {
    dims: Vec<Extent>,
    layout: Layout,
}

#[derive(Clone, PartialEq, Eq)]
enum Layout {
    /// So many elements, whatever the batch.
    Fixed(Extent),
    /// The dimension that is a multiple of the batch, how many elements there are for each row, and
    /// how many along that dimension.
    Batch {
        axis: usize,
        per_row: Extent,
        along: Extent,
    },
    Unknown,
}

/// What a slot holds.
#[derive(Clone, PartialEq, Eq)]
enum Content {
    Fixed(Extent),
    Batch(Extent),
    Unknown,
}

struct Tracing<'a> {
    plan: &'a ArchivedPlan,
    extents: Extents,
    shapes: Vec<Shape>,
    slots: Vec<Content>,
    values: Vec<Option<Major>>,
}

impl<'a> Tracing<'a> {
    fn new(plan: &'a ArchivedPlan) -> Self {
        let extents = Extents::of(plan);
        let shapes = plan.values.iter().map(|value| {
            let dims = value.shape.iter().map(|at| extents.dimension(at.to_native()).cloned());
            let dims = dims.collect::<Option<Vec<_>>>();
            dims.map_or(Shape { dims: vec![], layout: Layout::Unknown }, |dims| Shape {
                layout: layout(&extents, &dims).unwrap_or(Layout::Unknown),
                dims,
            })
        });
        let shapes = shapes.collect();
        let slots = vec![Content::Unknown; plan.slots.to_native() as usize];
        Self { plan, extents, shapes, slots, values: vec![None; plan.values.len()] }
    }

    fn shape(&self, value: u32) -> Option<&Shape> {
        self.shapes.get(value as usize)
    }

    /// Takes note of how a value is now. One that is sometimes so and sometimes not is mixed.
    fn note(&mut self, value: u32, major: Major) -> Major {
        if let Some(entry) = self.values.get_mut(value as usize) {
            let same = entry.is_none_or(|it| it == major);
            *entry = Some(if same { major } else { Major::Mixed });
        }
        major
    }

    /// How a value depends on the batch where it is read.
    fn read(&mut self, value: u32) -> Major {
        let major = self.found(value).unwrap_or(Major::Mixed);
        self.note(value, major)
    }

    fn found(&self, value: u32) -> Option<Major> {
        let layout = &self.shape(value)?.layout;
        let is_as_shaped = match (&self.plan.value(value)?.place, layout) {
            (ArchivedPlace::Constant(_), Layout::Fixed(_)) => true,
            (ArchivedPlace::Input(_), Layout::Batch { axis: 0, along, .. }) => along.is_one(),
            (ArchivedPlace::Slot(slot), layout) => {
                let content = self.slots.get(slot.to_native() as usize)?;
                match (content, layout) {
                    (Content::Fixed(all), Layout::Fixed(size)) => all == size,
                    (Content::Batch(each), Layout::Batch { per_row, .. }) => each == per_row,
                    _ => false,
                }
            }
            _ => false,
        };
        let major = if matches!(layout, Layout::Fixed(_)) { Major::Fixed } else { Major::Batch };
        is_as_shaped.then_some(major)
    }

    /// Whether a value has a row for each of the batch, and no more.
    fn answers_rows(&mut self, value: u32) -> bool {
        let major = self.read(value);
        let layout = self.shape(value).map(|it| &it.layout);
        let is_by_row =
            matches!(layout, Some(Layout::Batch { axis: 0, along, .. }) if along.is_one());
        major == Major::Batch && is_by_row
    }

    /// Does a step, and gives how what it writes depends on the batch.
    fn step(&mut self, step: &ArchivedStep) -> Major {
        let (inputs, output) = step.operands();
        let inputs: Vec<(u32, Major)> = inputs.map(|it| (it, self.read(it))).collect();
        let is_fixed = inputs.iter().all(|(_, major)| *major == Major::Fixed);
        let is_known = inputs.iter().all(|(_, major)| *major != Major::Mixed);
        let layout = self.shape(output).map_or(Layout::Unknown, |it| it.layout.clone());
        let content = match layout {
            Layout::Fixed(all) if is_fixed => Content::Fixed(all),
            Layout::Batch { per_row, .. }
                if is_known && self.keeps_rows(step, &inputs, output) == Some(true) =>
            {
                Content::Batch(per_row)
            }
            _ => Content::Unknown,
        };
        let major = match &content {
            Content::Fixed(_) => Major::Fixed,
            Content::Batch(_) => Major::Batch,
            Content::Unknown => Major::Mixed,
        };
        if let Some(ArchivedPlace::Slot(slot)) = self.plan.value(output).map(|it| &it.place)
            && let Some(slot) = self.slots.get_mut(slot.to_native() as usize)
        {
            *slot = content;
        }
        self.note(output, major)
    }
}

fn layout(extents: &Extents, dims: &[Extent]) -> Option<Layout> {
    let product = |dims: &[Extent]| {
        dims.iter().try_fold(Extent::number(1), |product, dim| product.times(dim))
    };
    if dims.iter().all(|dim| extents.is_free(dim)) {
        return product(dims).map(Layout::Fixed);
    }
    let axis = dims.iter().position(|dim| !dim.is_one())?;
    let (along, after) = dims.get(axis..)?.split_first()?;
    let along = extents.per_row(along)?;
    if !after.iter().all(|dim| extents.is_free(dim)) {
        return None;
    }
    let per_row = along.times(&product(after)?)?;
    Some(Layout::Batch { axis, per_row, along })
}
