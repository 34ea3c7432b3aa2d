//! Convolutions.

use std::ops::Range;

use tract_onnx::{
    prelude::{OutletId, TDim, TypedNode},
    tract_core::ops::cnn::{Conv, KernelFormat},
};

use super::Geometry;
use crate::{
    lower::{
        Weights,
        einsum::permuted,
        graph::{Because, Lowering},
        views::View,
    },
    plan::{Along, Binary, Kind, Step, Tap, Windowed},
};

/// Groups beyond this are too many products.
const MOST_GROUPS: usize = 64;

/// A convolution's input with its channels behind everything else, and what becomes of it.
pub(super) struct Convolved {
    node: usize,
    input: u32,
    pub(super) geometry: Geometry,
    /// The dimensions of the input but the channels: how the window moves along them.
    outer: Vec<Along>,
    /// As many dimensions of the output.
    pub(super) shape: Vec<TDim>,
}

/// The operands of a convolution that are constant.
pub(super) struct Kernel<'m> {
    /// Of the kernel: outputs, the inputs of a group, and the window's.
    pub(super) dims: &'m [usize],
    pub(super) numbers: &'m [f32],
    pub(super) bias: Option<Vec<f32>>,
}

impl<'m> Lowering<'m> {
    pub(in crate::lower) fn conv(&mut self, node: &TypedNode, op: &Conv) -> Because<()> {
        let outlet = OutletId::new(node.id, 0);
        if op.q_params.is_some() {
            return Err("of another kind than 32-bit floats".to_owned());
        }
        let (input, kernel) = self.kernel(node, op.kernel_fmt)?;
        let Kernel { dims, numbers, bias } = &kernel;
        let [outputs, inputs, window @ ..] = dims else {
            return Err("a kernel without dimensions".to_owned());
        };
        let geometry = Geometry::of(&op.pool_spec, &self.shape_of(input)?)?;
        let of = self.convolved(input, node, geometry, &self.shape_of(outlet)?)?;
        if of.geometry.kernel != *window {
            return Err("a kernel of another shape than its window".to_owned());
        }
        let size = window.iter().product::<usize>();
        let last = (2..dims.len()).collect::<Vec<_>>();
        let order = [&*last, &[1, 0]].concat();
        if op.group > 1 && *inputs == 1 && *outputs == op.group {
            let weights = permuted(numbers, dims, &order);
            return self.depthwise(outlet, of, &weights, kernel.bias);
        }
        let columns = outputs.checked_div(op.group).unwrap_or(0);
        let in_group = [&[columns], dims.get(1..).unwrap_or_default()].concat();
        let (made, relu) = self.made_with_relu(node);
        let products = self.products(&of, op.group, *inputs, relu, |group| {
            let (first, each) = (group * columns, inputs * size);
            let numbers = numbers.get(first * each..(first + columns) * each).unwrap_or_default();
            Weights {
                inner: each,
                columns,
                numbers: permuted(numbers, &in_group, &order),
                bias: bias.as_ref().and_then(|it| Some(it.get(first..first + columns)?.to_vec())),
            }
        })?;
        let value = self.beside(products, &of.shape, columns)?;
        self.is_view(made, View { value, axes: of.geometry.channels_last() });
        Ok(())
    }

    /// What a convolution reads, and its operands that are constant.
    pub(super) fn kernel(
        &self,
        node: &TypedNode,
        format: KernelFormat,
    ) -> Because<(OutletId, Kernel<'m>)> {
        let [input, kernel, bias] = &*node.inputs else {
            return Err("other inputs than three".to_owned());
        };
        if self.kind_of(*input)? != Kind::F32 {
            return Err("of another kind than 32-bit floats".to_owned());
        }
        let Some((dims, numbers)) = self.constant_numbers(*kernel) else {
            return Err("a kernel that is computed".to_owned());
        };
        if format != KernelFormat::OIHW {
            return Err("a kernel in another order".to_owned());
        }
        let bias = self.bias(*bias, dims.first().copied().unwrap_or(0))?;
        Ok((*input, Kernel { dims, numbers, bias }))
    }

    /// The product of each group, of `inputs` channels.
    pub(super) fn products(
        &mut self,
        of: &Convolved,
        groups: usize,
        inputs: usize,
        relu: bool,
        weights: impl Fn(usize) -> Weights,
    ) -> Because<Vec<u32>> {
        if groups > MOST_GROUPS {
            return Err(format!("more than {MOST_GROUPS} groups"));
        }
        let product = |group| {
            let matrix = self.matrix_of((of.node, group), || weights(group));
            let channels = group * inputs..(group + 1) * inputs;
            self.product_of(of, channels, (matrix, self.columns_of(matrix)), relu)
        };
        (0..groups).map(product).collect()
    }

    /// Values of so many channels each, beside each other; `shape` is what they have before those.
    pub(super) fn beside(
        &mut self,
        values: Vec<u32>,
        shape: &[TDim],
        channels: usize,
    ) -> Because<u32> {
        if let [only] = &*values {
            return Ok(*only);
        }
        let all = TDim::Val((values.len() * channels) as i64);
        let output = self.in_slot(Kind::F32, &[shape, &[all]].concat())?;
        self.step(Step::Concat { axis: shape.len() as u32, inputs: values, output });
        Ok(output)
    }

    /// A number for each channel; none where all are 0 whatever they are added to.
    fn bias(&self, outlet: OutletId, channels: usize) -> Because<Option<Vec<f32>>> {
        match self.constant_numbers(outlet) {
            Some(([], [only])) if *only == 0.0 => Ok(None),
            Some((_, [only])) => Ok(Some(vec![*only; channels])),
            Some((_, numbers)) if numbers.len() == channels => Ok(Some(numbers.to_vec())),
            _ => Err("a bias that is computed".to_owned()),
        }
    }

    /// What a window that moves so makes of an input: an output of this shape, but for its channels.
    pub(super) fn convolved(
        &mut self,
        from: OutletId,
        node: &TypedNode,
        geometry: Geometry,
        shape: &[TDim],
    ) -> Because<Convolved> {
        let input = self.with_channels_last(from, &geometry)?;
        let mut outer: Vec<usize> = (0..geometry.spatial.start).collect();
        outer.extend(geometry.spatial.clone());
        outer.retain(|at| *at != geometry.channels);
        let shape = outer.iter().filter_map(|at| shape.get(*at).cloned()).collect();
        let outer = outer.iter().enumerate();
        let outer = outer.map(|(axis, at)| geometry.along(*at, axis)).collect();
        Ok(Convolved { node: node.id, input, geometry, outer, shape })
    }

    /// The value of an outlet with its channels behind everything else. Its elements stay so.
    fn with_channels_last(&mut self, outlet: OutletId, geometry: &Geometry) -> Because<u32> {
        let axes = geometry.channels_last();
        if let Some(value) = self.in_order(outlet, &axes)? {
            return Ok(value);
        }
        let shape = self.shape_in(outlet, &axes)?;
        let view = self.view(outlet)?;
        let output = self.in_slot(Kind::F32, &shape)?;
        let mut moved = vec![0; axes.len()];
        for (to, from) in axes.iter().zip(&view.axes) {
            *moved.get_mut(*to).ok_or("an axis that there is not")? = *from as u32;
        }
        self.step(Step::Move { input: view.value, output, axes: moved, starts: vec![] });
        self.is_view(outlet, View { value: output, axes });
        Ok(output)
    }

    /// The product of what the window shows of some channels.
    fn product_of(
        &mut self,
        of: &Convolved,
        channels: Range<usize>,
        (matrix, columns): (u32, usize),
        relu: bool,
    ) -> Because<u32> {
        let kernel = of.geometry.kernel.iter().map(|it| TDim::Val(*it as i64)).collect::<Vec<_>>();
        let shown = [&*of.shape, &*kernel, &[TDim::Val(channels.len() as i64)]].concat();
        let shown = self.in_slot(Kind::F32, &shown)?;
        let mut along = of.outer.clone();
        for tap in of.taps()? {
            along.push(Along { axis: tap.axis, stride: tap.stride, start: 0 });
        }
        let axis = of.outer.len() as u32;
        along.push(Along { axis, stride: 1, start: channels.start as i64 });
        self.step(Step::Window {
            op: Windowed::Copy,
            input: of.input,
            weights: None,
            output: shown,
            along,
            taps: vec![],
            fill: 0.0,
        });
        let output = [&*of.shape, &[TDim::Val(columns as i64)]].concat();
        let output = self.in_slot(Kind::F32, &output)?;
        self.step(Step::Product { input: shown, matrix, output, relu });
        Ok(output)
    }

    /// A convolution of each channel by itself.
    fn depthwise(
        &mut self,
        outlet: OutletId,
        of: Convolved,
        weights: &[f32],
        bias: Option<Vec<f32>>,
    ) -> Because<()> {
        let kernel = of.geometry.kernel.iter().map(|it| TDim::Val(*it as i64)).collect::<Vec<_>>();
        let channels = weights.len() / of.geometry.kernel.iter().product::<usize>().max(1);
        let channels = TDim::Val(channels as i64);
        let shape = [&*kernel, std::slice::from_ref(&channels)].concat();
        let weights = self.made_constant((of.node, 0), &shape, weights)?;
        let axes = of.geometry.channels_last();
        let output = [&*of.shape, std::slice::from_ref(&channels)].concat();
        let mut value = self.in_slot(Kind::F32, &output)?;
        let taps = of.taps()?;
        let mut along = of.outer;
        along.push(Along { axis: along.len() as u32, stride: 1, start: 0 });
        self.step(Step::Window {
            op: Windowed::Sum,
            input: of.input,
            weights: Some(weights),
            output: value,
            along,
            taps,
            fill: 0.0,
        });
        if let Some(bias) = bias {
            let mut shape = vec![TDim::Val(1); output.len()];
            if let Some(last) = shape.last_mut() {
                *last = channels;
            }
            let right = self.made_constant((of.node, 1), &shape, &bias)?;
            let sum = self.in_slot(Kind::F32, &output)?;
            self.step(Step::Binary { op: Binary::Add, left: value, right, output: sum });
            value = sum;
        }
        self.is_view(outlet, View { value, axes });
        Ok(())
    }
}

impl Convolved {
    /// The dimensions of the window along those of the input.
    fn taps(&self) -> Because<Vec<Tap>> {
        let last = self.geometry.channels_last();
        let none = || "an axis that there is not".to_owned();
        self.geometry.taps(|at| last.get(at).copied().ok_or_else(none))
    }
}
