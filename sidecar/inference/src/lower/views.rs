//! Tensors that are left as a step makes them, with their dimensions in another order.

use tract_onnx::prelude::{OutletId, TDim};

use super::graph::{Because, Lowering};
use crate::plan::Step;

/// A tensor whose dimensions lie in another order: dimension `i` of the outlet is dimension `axes[i]` of
/// the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) value: u32,
    pub(super) axes: Vec<usize>,
}

impl Lowering<'_> {
    /// How an outlet's elements lie: in another order of dimensions, where they were left in one.
    pub(super) fn view(&mut self, outlet: OutletId) -> Because<View> {
        if let Some(view) = self.scope.views.get(&outlet) {
            return Ok(view.clone());
        }
        let axes = (0..self.shape_of(outlet)?.len()).collect();
        Ok(View { value: self.value(outlet)?, axes })
    }

    /// Whether an outlet's elements lie in another order than its dimensions.
    pub(super) fn is_viewed(&self, outlet: OutletId) -> bool {
        self.scope.views.contains_key(&outlet)
    }

    /// Leaves an outlet's elements in another order; they are put in theirs where that is asked for.
    pub(super) fn is_view(&mut self, outlet: OutletId, view: View) {
        if view.axes.is_sorted() {
            self.scope.values.insert(outlet, view.value);
        } else {
            self.scope.views.insert(outlet, view);
        }
    }

    /// The dimensions of an outlet's value in a view.
    pub(super) fn shape_in(&self, outlet: OutletId, axes: &[usize]) -> Because<Vec<TDim>> {
        let shape = self.shape_of(outlet)?;
        let mut within = shape.clone();
        for (dim, at) in shape.into_iter().zip(axes) {
            *within.get_mut(*at).ok_or("a view of other dimensions")? = dim;
        }
        Ok(within)
    }

    pub(super) fn unviewed(&mut self, outlet: OutletId, view: &View) -> Because<u32> {
        let shape = self.shape_of(outlet)?;
        let one = TDim::Val(1);
        let wide = shape.iter().zip(&view.axes).filter(|(dim, _)| **dim != one);
        if wide.map(|(_, axis)| axis).is_sorted() {
            return self.reshaped(view.value, &shape);
        }
        let output = self.in_slot(self.kind_of(outlet)?, &shape)?;
        let axes = view.axes.iter().map(|at| *at as u32).collect();
        self.step(Step::Move { input: view.value, output, axes, starts: vec![] });
        Ok(output)
    }

    /// An outlet's value with its dimensions in the order of a view, where no element need be moved.
    pub(super) fn in_order(&mut self, outlet: OutletId, axes: &[usize]) -> Because<Option<u32>> {
        if self.scope.views.get(&outlet).is_some_and(|it| it.axes == axes) {
            return Ok(self.scope.views.get(&outlet).map(|it| it.value));
        }
        let shape = self.shape_of(outlet)?;
        let one = TDim::Val(1);
        let wide = shape.iter().zip(axes).filter(|(dim, _)| **dim != one);
        if self.is_viewed(outlet)
            || shape.len() != axes.len()
            || !wide.map(|(_, axis)| axis).is_sorted()
        {
            return Ok(None);
        }
        let shape = self.shape_in(outlet, axes)?;
        let value = self.value(outlet)?;
        self.reshaped(value, &shape).map(Some)
    }

    /// As [`Lowering::written`], in the order of a view.
    pub(super) fn written_in(&mut self, outlet: OutletId, axes: &[usize]) -> Because<u32> {
        let (kind, shape) = (self.kind_of(outlet)?, self.shape_in(outlet, axes)?);
        let value = self.in_slot(kind, &shape)?;
        self.is_view(outlet, View { value, axes: axes.to_vec() });
        Ok(value)
    }

    /// The values of some operands and the order in which they lie: that of the first that lies in
    /// another than its dimensions, where none need be moved for it.
    pub(super) fn alike(
        &mut self,
        outlets: &[OutletId],
    ) -> Because<(Vec<u32>, Option<Vec<usize>>)> {
        let viewed =
            outlets.iter().find_map(|it| self.scope.views.get(it)).map(|it| it.axes.clone());
        if let Some(axes) = viewed {
            let mut values = vec![];
            for outlet in outlets {
                values.extend(self.in_order(*outlet, &axes)?);
            }
            if values.len() == outlets.len() {
                return Ok((values, Some(axes)));
            }
        }
        let values = outlets.iter().map(|it| self.value(*it)).collect::<Because<_>>()?;
        Ok((values, None))
    }
}
