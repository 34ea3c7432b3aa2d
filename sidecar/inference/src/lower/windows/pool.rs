//! Pools: the largest or the mean of what a window shows.

use tract_onnx::{
    prelude::{OutletId, TDim, TypedNode},
    tract_core::ops::cnn::{MaxPool, PaddingSpec, PoolSpec, SumPool},
};

use super::{Geometry, moves};
use crate::{
    lower::{
        graph::{Because, Lowering},
        views::View,
    },
    plan::{Binary, Kind, Step, Windowed},
};

impl Lowering<'_> {
    pub(in crate::lower) fn max_pool(&mut self, node: &TypedNode, op: &MaxPool) -> Because<()> {
        let (largest, _) = self.pool(node, &op.pool_spec, Windowed::Max)?;
        self.is_view(OutletId::new(node.id, 0), largest);
        Ok(())
    }

    pub(in crate::lower) fn sum_pool(&mut self, node: &TypedNode, op: &SumPool) -> Because<()> {
        let outlet = OutletId::new(node.id, 0);
        let (sum, geometry) = self.pool(node, &op.pool_spec, Windowed::Sum)?;
        if !op.normalize {
            self.is_view(outlet, sum);
            return Ok(());
        }
        let factors = self.factors(node, op, &geometry)?;
        let rank = sum.axes.len();
        let (mut shape, mut numbers) = (vec![TDim::Val(1); rank], vec![1.0_f32]);
        for axis in 0..rank {
            let at = sum.axes.iter().position(|it| *it == axis);
            let along = at.and_then(|at| factors.get(at.checked_sub(geometry.spatial.start)?));
            if let Some(along) = along.filter(|it| it.len() > 1) {
                *shape.get_mut(axis).ok_or("an axis that there is not")? =
                    TDim::Val(along.len() as i64);
            }
            let along = along.map_or(&[1.0][..], Vec::as_slice);
            numbers = numbers.iter().flat_map(|it| along.iter().map(move |by| it * by)).collect();
        }
        let numbers: Vec<f32> = numbers.iter().map(|it| it.recip()).collect();
        let right = self.made_constant((node.id, 0), &shape, &numbers)?;
        let shape = self.shape_in(outlet, &sum.axes)?;
        let output = self.in_slot(Kind::F32, &shape)?;
        self.step(Step::Binary { op: Binary::Mul, left: sum.value, right, output });
        self.is_view(outlet, View { value: output, axes: sum.axes });
        Ok(())
    }

    /// What the window shows at each place, in the order in which the input lies.
    fn pool(
        &mut self,
        node: &TypedNode,
        spec: &PoolSpec,
        op: Windowed,
    ) -> Because<(View, Geometry)> {
        let [from] = &*node.inputs else { return Err("no input".to_owned()) };
        if self.kind_of(*from)? != Kind::F32 {
            return Err("of another kind than 32-bit floats".to_owned());
        }
        let geometry = Geometry::of(spec, &self.shape_of(*from)?)?;
        let View { value: input, axes } = self.view(*from)?;
        let shape = self.shape_in(OutletId::new(node.id, 0), &axes)?;
        let output = self.in_slot(Kind::F32, &shape)?;
        let along = moves(&axes, |at, axis| geometry.along(at, axis))?;
        let none = || "an axis that there is not".to_owned();
        let taps = geometry.taps(|at| axes.get(at).copied().ok_or_else(none))?;
        self.step(Step::Window { op, input, weights: None, output, along, taps, fill: 0.0 });
        Ok((View { value: output, axes }, geometry))
    }

    /// How many elements the window shows, at each place along each of its dimensions; one number where
    /// they are always as many.
    fn factors(&self, node: &TypedNode, op: &SumPool, of: &Geometry) -> Because<Vec<Vec<f32>>> {
        let [from] = &*node.inputs else { return Err("no input".to_owned()) };
        let (read, wrote) = (self.shape_of(*from)?, self.shape_of(OutletId::new(node.id, 0))?);
        let (mut ends, is_rounded) = match &op.pool_spec.padding {
            PaddingSpec::ExplicitOnnxPool(_, after, is_rounded) => (after.to_vec(), *is_rounded),
            PaddingSpec::Explicit(_, after) => (after.to_vec(), false),
            PaddingSpec::Valid => (vec![0; of.kernel.len()], false),
            // What follows from the output is not more than a window reaches.
            _ => (of.kernel.clone(), false),
        };
        if !op.count_include_pad {
            ends.fill(0);
        }
        let is_whole = !is_rounded && (op.count_include_pad || is_unpadded(&op.pool_spec.padding));
        let fixed = |shape: &[TDim], at: usize| match shape.get(at) {
            Some(TDim::Val(dim)) => Ok(*dim),
            _ => Err("an average over padding of an open size".to_owned()),
        };
        let axes = of.spatial.clone().enumerate();
        axes.map(|(axis, at)| {
            let kernel = of.kernel.get(axis).copied().unwrap_or(1);
            if is_whole {
                return Ok(vec![kernel as f32]);
            }
            let (size, places) = (fixed(&read, at)?, fixed(&wrote, at)?);
            let get = |all: &[i64]| all.get(axis).copied().unwrap_or(0);
            let (stride, dilation, pad) = (get(&of.strides), get(&of.dilations), get(&of.pads));
            let least = if op.count_include_pad { -pad } else { 0 };
            let end = size + ends.get(axis).copied().unwrap_or(0) as i64;
            let shown = |place: i64| {
                let of_tap =
                    |tap: &i64| (least..end).contains(&(place * stride - pad + tap * dilation));
                (0..kernel as i64).filter(of_tap).count() as f32
            };
            Ok((0..places).map(shown).collect())
        })
        .collect()
    }
}

fn is_unpadded(padding: &PaddingSpec) -> bool {
    match padding {
        PaddingSpec::Valid => true,
        PaddingSpec::Explicit(before, after) | PaddingSpec::ExplicitOnnxPool(before, after, _) => {
            before.iter().chain(after).all(|it| *it == 0)
        }
        _ => false,
    }
}
