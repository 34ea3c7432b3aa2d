//! Whose rows a run has.

use std::ops::Range;

use crate::{
    Part,
    cpu::{adapter::Adapter, planned::PlannedModel},
    plan::Sizes,
};

/// The models whose rows a run has, all of one base.
#[derive(Clone, Copy)]
pub(in crate::cpu) enum Parts<'a> {
    /// All rows, of the base or of an adapter of it.
    All(Own<'a>),
    /// So many rows of each, of so many together. Every model is a planned one of the base.
    Each(&'a [Part<'a>], usize),
}

/// What one model has of its own.
#[derive(Clone, Copy, Default)]
pub(in crate::cpu) struct Own<'a>(pub(in crate::cpu) Option<&'a Adapter>);

impl<'a> Own<'a> {
    /// Whether it does a step otherwise than the base.
    pub(super) fn changes(self, step: usize) -> bool {
        self.0.is_some_and(|it| it.steps().iter().any(|at| *at as usize == step))
    }

    /// What stands for the constant of the base that starts at `start`, where something does.
    pub(super) fn constant(self, start: u64) -> Option<&'a [u8]> {
        self.0?.changes().constant(start)
    }
}

/// Some rows of a run, and what their model has of its own.
#[derive(Clone)]
pub(super) struct Rows<'a> {
    pub(super) range: Range<usize>,
    pub(super) own: Own<'a>,
}

impl<'a> Parts<'a> {
    /// How many rows there are, as far as they are told apart.
    pub(super) const fn rows(&self) -> usize {
        match self {
            Self::All(_) => 1,
            Self::Each(_, rows) => *rows,
        }
    }

    /// The rows of each model, in order.
    pub(super) fn iter(self) -> impl Iterator<Item = Rows<'a>> {
        let (one, parts) = match self {
            Self::All(own) => (Some(Rows { range: 0..1, own }), &[][..]),
            Self::Each(parts, _) => (None, parts),
        };
        let mut end = 0_usize;
        let each = parts.iter().map(move |part| {
            let start = end;
            end = end.saturating_add(usize::try_from(part.rows).unwrap_or(usize::MAX));
            let adapter = PlannedModel::of(part.model).and_then(PlannedModel::adapter);
            Rows { range: start..end, own: Own(adapter) }
        });
        one.into_iter().chain(each)
    }
}

/// What a step sees of all rows.
#[derive(Clone)]
pub(super) struct Window<'a> {
    /// The sizes of what it sees.
    pub(super) sizes: &'a Sizes,
    /// Which rows, of how many. All where it is not said.
    pub(super) cut: Option<(Range<usize>, usize)>,
    /// What is read in place of the base's constants.
    pub(super) own: Own<'a>,
}

impl Window<'_> {
    /// Which bytes of a value it sees, of so many. A value that is as long for fewer rows is the same
    /// for each of them.
    pub(super) fn of(&self, value: u32, all: usize) -> Option<Range<usize>> {
        if self.cut.is_none() || self.sizes.length(value) == Some(all) {
            return Some(0..all);
        }
        self.rows_of(all)
    }

    /// Which elements it sees, of so many that lie row after row.
    pub(super) fn rows_of(&self, all: usize) -> Option<Range<usize>> {
        let Some((rows, of)) = &self.cut else { return Some(0..all) };
        let each = all.checked_div(*of).filter(|each| each * of == all)?;
        Some(rows.start * each..rows.end * each)
    }
}
