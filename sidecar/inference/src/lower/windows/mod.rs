//! Operators that look at their input through a window: convolutions and transposed ones, pools, padding,
//! and slices that leave elements out or go backwards.
//!
//! A convolution is the product of what its window shows, row after row, with its kernel as a matrix. Its
//! channels come out behind everything else, and are left there ([`View`]) for what follows, so that a
//! network for images moves nothing between its layers.

mod conv;
mod deconv;
mod pool;

use std::ops::Range;

use tract_onnx::{
    prelude::{OutletId, TDim, TypedNode},
    tract_core::ops::{
        Downsample,
        array::{Pad, PadMode},
        cnn::{PaddingSpec, PoolSpec},
    },
};

use super::{
    graph::{Because, Lowering},
    views::View,
};
use crate::plan::{Along, Kind, Step, Tap, Windowed};

/// Integers up to this are 32-bit floats.
const LARGEST_EXACT: f64 = 16_777_216.0;

impl Lowering<'_> {
    pub(super) fn pad(&mut self, node: &TypedNode, op: &Pad) -> Because<()> {
        let fill = match &op.mode {
            PadMode::Constant(fill) => fill,
            PadMode::Reflect => return self.padded_with(node, op, reflected),
            PadMode::Edge => return self.padded_with(node, op, at_edge),
        };
        let [from] = &*node.inputs else { return Err("no input".to_owned()) };
        let number = fill.cast_to_scalar::<f64>().map_err(|error| error.to_string())?;
        let is_exact = match self.kind_of(*from)? {
            Kind::F32 => true,
            Kind::F64 => f64::from(number as f32) == number || number.is_nan(),
            Kind::I32 | Kind::I64 => number.fract() == 0.0 && number.abs() <= LARGEST_EXACT,
            Kind::Bool => true,
            Kind::Text => return Err("padding of texts".to_owned()),
        };
        if !is_exact {
            return Err("padding with a number that is no 32-bit float".to_owned());
        }
        let moves = |at: usize, axis: usize| {
            let before = op.pads.get(at).map_or(0, |it| it.0);
            Along { axis: axis as u32, stride: 1, start: -(before as i64) }
        };
        self.copied(node, moves, number as f32)
    }

    /// Padding with elements of the input: `which` says for a place along a dimension of this size.
    fn padded_with(
        &mut self,
        node: &TypedNode,
        op: &Pad,
        which: impl Fn(i64, i64) -> Option<i64>,
    ) -> Because<()> {
        let [from] = &*node.inputs else { return Err("no input".to_owned()) };
        let kind = self.kind_of(*from)?;
        let View { mut value, axes } = self.view(*from)?;
        let mut shape = self.shape_in(*from, &axes)?;
        for (at, pads) in op.pads.iter().enumerate().filter(|(_, pads)| **pads != (0, 0)) {
            let axis = axes.get(at).copied().ok_or("an axis that there is not")?;
            let dim = shape.get_mut(axis).ok_or("a view of other dimensions")?;
            let TDim::Val(size) = *dim else {
                return Err("padding with what is beside it, along an open size".to_owned());
            };
            let [before, after] = [pads.0, pads.1].map(|it| i64::try_from(it).unwrap_or(i64::MAX));
            let end = size.checked_add(after).filter(|_| before < size && after < size);
            let end = end.ok_or("padding that is longer than what is beside it")?;
            let indices = (-before..end).map(|place| which(place, size));
            let indices = indices.collect::<Option<Vec<_>>>().ok_or("padding of nothing")?;
            *dim = TDim::Val(indices.len() as i64);
            let indices = self.indices(&indices)?;
            let output = self.in_slot(kind, &shape)?;
            self.step(Step::Gather { axis: axis as u32, table: value, indices, output });
            value = output;
        }
        self.is_view(OutletId::new(node.id, 0), View { value, axes });
        Ok(())
    }

    pub(super) fn downsample(&mut self, node: &TypedNode, op: &Downsample) -> Because<()> {
        let [from] = &*node.inputs else { return Err("no input".to_owned()) };
        let stride = op.stride as i64;
        let start = if stride > 0 {
            op.modulo as i64
        } else {
            match self.shape_of(*from)?.get(op.axis) {
                Some(TDim::Val(dim)) => dim - 1,
                _ => return Err("an open size that is read backwards".to_owned()),
            }
        };
        let moves = |at: usize, axis: usize| {
            let (stride, start) = if at == op.axis { (stride, start) } else { (1, 0) };
            Along { axis: axis as u32, stride, start }
        };
        self.copied(node, moves, 0.0)
    }

    /// A window of one element, in the order in which the input lies.
    fn copied(
        &mut self,
        node: &TypedNode,
        along: impl Fn(usize, usize) -> Along,
        fill: f32,
    ) -> Because<()> {
        let [from] = &*node.inputs else { return Err("no input".to_owned()) };
        let outlet = OutletId::new(node.id, 0);
        let kind = self.kind_of(*from)?;
        let View { value: input, axes } = self.view(*from)?;
        let shape = self.shape_in(outlet, &axes)?;
        let output = self.in_slot(kind, &shape)?;
        let along = moves(&axes, along)?;
        let (op, weights, taps) = (Windowed::Copy, None, vec![]);
        self.step(Step::Window { op, input, weights, output, along, taps, fill });
        self.is_view(outlet, View { value: output, axes });
        Ok(())
    }
}

/// How a window moves over the dimensions between the batch and the channels, or behind both.
struct Geometry {
    channels: usize,
    spatial: Range<usize>,
    kernel: Vec<usize>,
    strides: Vec<i64>,
    dilations: Vec<i64>,
    pads: Vec<i64>,
}

impl Geometry {
    /// Where an operator's dimensions are, and nothing of its window.
    fn around(spec: &PoolSpec) -> Self {
        let format = spec.data_format;
        let start = format.h_axis();
        let spatial = start..start + spec.rank();
        let channels = if format.c_is_last() { spatial.end } else { start.saturating_sub(1) };
        let (kernel, strides, dilations, pads) = (vec![], vec![], vec![], vec![]);
        Self { channels, spatial, kernel, strides, dilations, pads }
    }

    /// Of an operator over a tensor of this shape.
    fn of(spec: &PoolSpec, shape: &[TDim]) -> Because<Self> {
        let around = Self::around(spec);
        let dims = shape.get(around.spatial.clone()).ok_or("other dimensions than its window")?;
        if let PaddingSpec::ExplicitOnnxPool(_, _, true) = spec.padding
            && dims.iter().any(|dim| !matches!(dim, TDim::Val(_)))
        {
            return Err("a number of windows that is rounded up from an open size".to_owned());
        }
        let pads = spec.computed_padding(dims).into_iter().map(|it| match it.pad_before {
            TDim::Val(pad) => Ok(pad),
            _ => Err("padding that follows from an open size".to_owned()),
        });
        let pads = pads.collect::<Because<Vec<_>>>()?;
        let small = |it: &[usize]| {
            let all = it.iter().map(|it| i64::try_from(*it).map_err(|error| error.to_string()));
            all.collect::<Because<Vec<_>>>()
        };
        Ok(Self {
            kernel: spec.kernel_shape.to_vec(),
            strides: small(&spec.strides())?,
            dilations: small(&spec.dilations())?,
            pads,
            ..around
        })
    }

    /// How the output moves along dimension `at` of the operator's tensor, which is `axis` of a value.
    fn along(&self, at: usize, axis: usize) -> Along {
        let spatial = at.checked_sub(self.spatial.start);
        let of = |all: &[i64]| spatial.and_then(|at| all.get(at).copied());
        let stride = of(&self.strides).unwrap_or(1);
        Along { axis: axis as u32, stride, start: -of(&self.pads).unwrap_or(0) }
    }

    /// How each dimension of the window lies along `axis` of a value, by that of the tensor.
    fn taps(&self, axis: impl Fn(usize) -> Because<usize>) -> Because<Vec<Tap>> {
        let taps = self.kernel.iter().zip(&self.dilations).zip(self.spatial.clone());
        taps.map(|((count, dilation), at)| {
            let count = u32::try_from(*count).map_err(|error| error.to_string())?;
            Ok(Tap { axis: axis(at)? as u32, stride: *dilation, count })
        })
        .collect()
    }

    /// The order in which channels are behind everything else.
    fn channels_last(&self) -> Vec<usize> {
        let last = self.spatial.end.max(self.channels + 1) - 1;
        let axis = |at: usize| match at {
            at if at == self.channels => last,
            at if at > self.channels => at - 1,
            at => at,
        };
        (0..=last).map(axis).collect()
    }
}

/// The element at a place, seen in a mirror at the first and at the last.
fn reflected(place: i64, size: i64) -> Option<i64> {
    let last = size - 1;
    (size > 1).then(|| last - (last - place.abs()).abs())
}

/// The element at a place, and beyond the first and the last those.
fn at_edge(place: i64, size: i64) -> Option<i64> {
    (size > 0).then(|| place.clamp(0, size - 1))
}

/// For each dimension of a value in the order of a view, how it is moved along.
fn moves(axes: &[usize], along: impl Fn(usize, usize) -> Along) -> Because<Vec<Along>> {
    let at = |axis: usize| axes.iter().position(|it| *it == axis);
    let all = (0..axes.len()).map(|axis| at(axis).map(|at| along(at, axis)));
    all.collect::<Option<Vec<_>>>().ok_or("a view of other dimensions".to_owned())
}
