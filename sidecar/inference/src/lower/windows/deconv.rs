//! Transposed convolutions.
//!
//! Which taps of its kernel an element of the output is made of depends on its place within a stride alone,
//! its phase. So a transposed convolution is a convolution of stride 1 that has columns for every phase,
//! whose numbers then go beside each other. No zero is ever put between the elements of the input.

use tract_onnx::{
    prelude::{OutletId, TDim, TypedNode},
    tract_core::ops::cnn::Deconv,
};

use super::{
    Geometry,
    conv::{Convolved, Kernel},
};
use crate::{
    lower::{
        Weights,
        graph::{Because, Lowering},
        views::View,
    },
    plan::{Kind, Step},
};

/// A matrix of phases may have so many times as many numbers as its kernel; the others are zeros.
const MOST_ZEROS: usize = 32;

/// What of a kernel meets a dimension of the input.
struct Phases {
    /// How many there are: the stride.
    count: usize,
    /// Which element of the input the first is, for the first of the output.
    first: i64,
    /// How many elements of the input all of them meet.
    reach: usize,
    kernel: usize,
    /// For each phase, and each of these elements: the tap that meets it.
    taps: Vec<Option<usize>>,
}

impl Phases {
    /// Element `i` of the input goes to `i * stride - pad + tap * dilation` of the output.
    fn of(stride: usize, kernel: usize, dilation: usize, pad: i64) -> Because<Self> {
        let far = || "a window that is too far from its input".to_owned();
        let small = |it: usize| i64::try_from(it).ok().filter(|it| *it < 1 << 31);
        let (wide, dilation) = small(stride).zip(small(dilation)).ok_or_else(far)?;
        if wide == 0 || pad.unsigned_abs() >= 1 << 31 || small(kernel).is_none() {
            return Err(far());
        }
        let met = (0..kernel).map(|tap| {
            let place = tap as i64 * dilation - pad;
            (place.rem_euclid(wide) as usize, -place.div_euclid(wide), tap)
        });
        let offsets = || met.clone().map(|(_, offset, _)| offset);
        let (first, last) = offsets().min().zip(offsets().max()).ok_or("an empty kernel")?;
        let reach = (last - first) as usize + 1;
        let size = stride.checked_mul(reach).filter(|it| *it <= MOST_ZEROS * kernel);
        let mut taps = vec![None; size.ok_or_else(mostly_empty)?];
        for (phase, offset, tap) in met {
            if let Some(to) = taps.get_mut(phase * reach + (offset - first) as usize) {
                *to = Some(tap);
            }
        }
        Ok(Self { count: stride, first, reach, kernel, taps })
    }
}

impl Lowering<'_> {
    pub(in crate::lower) fn deconv(&mut self, node: &TypedNode, op: &Deconv) -> Because<()> {
        let outlet = OutletId::new(node.id, 0);
        let (input, kernel) = self.kernel(node, op.kernel_format)?;
        let [outputs, inputs, window @ ..] = kernel.dims else {
            return Err("a kernel without dimensions".to_owned());
        };
        if !kernel.numbers.iter().all(|it| it.is_finite()) {
            return Err("a kernel of numbers that are not finite".to_owned());
        }
        let (from, to) = (self.shape_of(input)?, self.shape_of(outlet)?);
        let phases = phases(op, &from, window)?;
        let geometry = Geometry {
            kernel: phases.iter().map(|it| it.reach).collect(),
            strides: vec![1; phases.len()],
            dilations: vec![1; phases.len()],
            pads: phases.iter().map(|it| -it.first).collect(),
            ..Geometry::around(&op.pool_spec)
        };
        // How many whole strides there are of each dimension, the last of which may be cut.
        let mut strides = to.clone();
        for (at, phases) in geometry.spatial.clone().zip(&phases) {
            let places = from.get(at).zip(strides.get_mut(at));
            let (from, to) = places.ok_or("other dimensions than its window")?;
            let count = phases.count as i64;
            let TDim::Val(more) = to.clone() - from.clone() * count else {
                return Err("a size that does not follow from that of its input".to_owned());
            };
            *to = from.clone() + (more + count - 1).div_euclid(count);
        }
        let of = self.convolved(input, node, geometry, &strides)?;
        let columns = outputs.checked_div(op.group).unwrap_or(0);
        let (made, relu) = self.made_with_relu(node);
        let products = self.products(&of, op.group, *inputs, relu, |group| {
            phased(&kernel, group, columns, &phases)
        })?;
        let sizes =
            to.get(of.geometry.spatial.clone()).ok_or("other dimensions than its window")?;
        let values =
            products.into_iter().map(|it| self.interleaved(it, &of, &phases, columns, sizes));
        let values = values.collect::<Because<Vec<_>>>()?;
        let (batch, _) = of.shape.split_at(of.shape.len() - phases.len());
        let value = self.beside(values, &[batch, sizes].concat(), columns)?;
        self.is_view(made, View { value, axes: of.geometry.channels_last() });
        Ok(())
    }

    /// Puts what phases are beside each other, and cuts it to these sizes.
    fn interleaved(
        &mut self,
        product: u32,
        of: &Convolved,
        phases: &[Phases],
        columns: usize,
        sizes: &[TDim],
    ) -> Because<u32> {
        let outer = of.shape.len() - phases.len();
        let (batch, places) = of.shape.split_at(outer);
        let counts = phases.iter().map(|it| TDim::Val(it.count as i64)).collect::<Vec<_>>();
        let columns = [TDim::Val(columns as i64)];
        // As they come: all phases of a place together, and their columns within.
        let apart = [batch, places, &*counts, &columns].concat();
        let beside = (outer..of.shape.len()).flat_map(|at| [at, at + phases.len()]);
        let order: Vec<usize> = (0..outer).chain(beside).chain([apart.len() - 1]).collect();
        let mut value = self.reshaped(product, &apart)?;
        let is_one = |at: &usize| apart.get(*at) == Some(&TDim::Val(1));
        if !order.iter().filter(|at| !is_one(at)).is_sorted() {
            let shape: Vec<TDim> = order.iter().filter_map(|at| apart.get(*at).cloned()).collect();
            let output = self.in_slot(Kind::F32, &shape)?;
            let axes = order.iter().map(|at| *at as u32).collect();
            self.step(Step::Move { input: value, output, axes, starts: vec![] });
            value = output;
        }
        let whole = places.iter().zip(&counts).map(|(places, count)| places.clone() * count);
        let whole: Vec<TDim> = batch.iter().cloned().chain(whole).chain(columns.clone()).collect();
        value = self.reshaped(value, &whole)?;
        let cut = [batch, sizes, &columns].concat();
        if cut == whole {
            return Ok(value);
        }
        let zero = self.dimension(&TDim::Val(0))?;
        let (axes, starts) = ((0..cut.len() as u32).collect(), vec![zero; cut.len()]);
        let output = self.in_slot(Kind::F32, &cut)?;
        self.step(Step::Move { input: value, output, axes, starts });
        Ok(output)
    }
}

/// What of the kernel meets each dimension that its window moves along.
fn phases(op: &Deconv, from: &[TDim], window: &[usize]) -> Because<Vec<Phases>> {
    let spec = &op.pool_spec;
    let around = Geometry::around(spec);
    let dims = from.get(around.spatial).ok_or("other dimensions than its window")?;
    let (strides, dilations) = (spec.strides(), spec.dilations());
    let pads = spec
        .padding
        .compute_for_deconv(dims, window, &dilations, &strides, &op.adjustments)
        .map_err(|error| error.to_string())?;
    let all = window.iter().zip(&*strides).zip(&*dilations).zip(&pads);
    let all = all.map(|(((kernel, stride), dilation), pad)| match pad.pad_before {
        TDim::Val(pad) => Phases::of(*stride, *kernel, *dilation, pad),
        _ => Err("padding that follows from an open size".to_owned()),
    });
    let all = all.collect::<Because<Vec<_>>>()?;
    if all.len() != spec.rank() {
        return Err("a kernel of another shape than its window".to_owned());
    }
    let met = all.iter().try_fold(1_usize, |met, it| met.checked_mul(it.taps.len()));
    let size = window.iter().product::<usize>().saturating_mul(MOST_ZEROS);
    if met.is_none_or(|met| met > size) { Err(mostly_empty()) } else { Ok(all) }
}

fn mostly_empty() -> String {
    "a stride that leaves most of its output empty".to_owned()
}

/// The matrix of a group of so many columns: a row for each element that a window shows and each input,
/// a column for each phase and each output.
fn phased(kernel: &Kernel<'_>, group: usize, columns: usize, phases: &[Phases]) -> Weights {
    let inputs = kernel.dims.get(1).copied().unwrap_or(0);
    let window = phases.iter().map(|it| it.kernel).product::<usize>();
    let shown = phases.iter().map(|it| it.reach).product::<usize>();
    let count = phases.iter().map(|it| it.count).product::<usize>();
    let (first, mut numbers) = (group * columns, vec![]);
    for place in 0..shown {
        for input in 0..inputs {
            for phase in 0..count {
                let tap = tap(phases, place, phase);
                numbers.extend((first..first + columns).map(|output| {
                    let at = tap.map(|tap| (output * inputs + input) * window + tap);
                    at.and_then(|at| kernel.numbers.get(at).copied()).unwrap_or(0.0)
                }));
            }
        }
    }
    let bias = kernel.bias.as_ref().and_then(|it| it.get(first..first + columns));
    Weights {
        inner: shown * inputs,
        columns: count * columns,
        numbers,
        bias: bias.map(|it| it.repeat(count)),
    }
}

/// The tap of the kernel, of all its dimensions, that meets a place of what is shown in a phase.
fn tap(phases: &[Phases], mut place: usize, mut phase: usize) -> Option<usize> {
    let (mut tap, mut stride) = (0, 1);
    for it in phases.iter().rev() {
        let at = phase % it.count * it.reach + place % it.reach;
        tap += (*it.taps.get(at)?)? * stride;
        stride *= it.kernel;
        (place, phase) = (place / it.reach, phase / it.count);
    }
    Some(tap)
}
