//! Single windows, against what they say, element by element.

use artifact::{Header, Mapped, PackageBuilder, SectionKind, Tensor as Declared};
use inference::{
    Backend, Inputs, Tensor, TensorData,
    cpu::CpuBackend,
    plan::{Along, Dimension, Kind, PLAN_VERSION, Place, Plan, Step, Tap, Value, Windowed},
};
use proptest::prelude::*;

/// A window over an input, and what it multiplies by.
#[derive(Debug, Clone)]
struct Case {
    from: Vec<usize>,
    to: Vec<usize>,
    op: Windowed,
    along: Vec<Along>,
    taps: Vec<Tap>,
    is_weighted: bool,
    fill: f32,
}

fn count(dims: &[usize]) -> usize {
    dims.iter().product()
}

/// Every index of a shape, in order.
fn indices(dims: &[usize]) -> Vec<Vec<i64>> {
    let mut all = vec![vec![]];
    for dim in dims {
        let longer = |index: &Vec<i64>| {
            let next = |at: usize| index.iter().copied().chain([at as i64]).collect();
            (0..*dim).map(next).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

impl Case {
    fn weights(&self) -> Vec<usize> {
        let taps = self.taps.iter().map(|it| it.count as usize);
        taps.chain(self.to.last().copied()).collect()
    }

    /// The element that is read for an element of the output and of the window.
    fn read(&self, input: &[f32], index: &[i64], tap: &[i64]) -> Option<f32> {
        let mut places = vec![0_i64; self.from.len()];
        for (it, at) in self.along.iter().zip(index) {
            if let Some(place) = places.get_mut(it.axis as usize) {
                *place += it.start + it.stride * at;
            }
        }
        for (it, at) in self.taps.iter().zip(tap) {
            places[it.axis as usize] += it.stride * at;
        }
        let mut element = 0;
        for (place, dim) in places.iter().zip(&self.from) {
            let place = usize::try_from(*place).ok().filter(|it| it < dim)?;
            element = element * dim + place;
        }
        Some(input[element])
    }

    fn expected(&self, input: &[f32], weights: &[f32]) -> Vec<f32> {
        let counts: Vec<usize> = self.taps.iter().map(|it| it.count as usize).collect();
        let taps = indices(&counts);
        let last = self.to.last().copied().unwrap_or(1);
        let of = |index: &Vec<i64>| {
            let shown = taps.iter().enumerate().map(|(at, tap)| {
                let number = self.read(input, index, tap)?;
                let column = index.last().map_or(0, |it| *it as usize);
                let weight = if self.is_weighted { weights[at * last + column] } else { 1.0 };
                Some(number * weight)
            });
            match self.op {
                Windowed::Copy => self.read(input, index, &[]).unwrap_or(self.fill),
                Windowed::Max => shown.flatten().fold(f32::NEG_INFINITY, f32::max),
                Windowed::Sum => shown.flatten().fold(0.0, |a, b| a + b),
            }
        };
        indices(&self.to).iter().map(of).collect()
    }

    /// A package of a plan with this window alone.
    fn package(&self, weights: &[f32]) -> Mapped {
        let mut dimensions = vec![];
        let mut shape = |dims: &[usize]| -> Vec<u32> {
            let at = |dim: &usize| {
                let found = dimensions.iter().position(|it| it == dim).unwrap_or_else(|| {
                    dimensions.push(*dim);
                    dimensions.len() - 1
                });
                found as u32
            };
            dims.iter().map(at).collect()
        };
        let value = |shape: Vec<u32>, place| Value { kind: Kind::F32, shape, place };
        let mut values =
            vec![value(shape(&self.from), Place::Input(0)), value(shape(&self.to), Place::Slot(0))];
        if self.is_weighted {
            values.push(value(shape(&self.weights()), Place::Constant(0)));
        }
        let step = Step::Window {
            op: self.op,
            input: 0,
            weights: self.is_weighted.then_some(2),
            output: 1,
            along: self.along.clone(),
            taps: self.taps.clone(),
            fill: self.fill,
        };
        let plan = Plan {
            version: PLAN_VERSION,
            symbols: vec![],
            dimensions: dimensions.iter().map(|it| Dimension::fixed(*it as i64)).collect(),
            values,
            slots: 1,
            steps: vec![step],
            outputs: vec![1],
            ..Plan::default()
        };
        let tensor = |name: &str, dims: &[usize]| Declared {
            name: name.to_owned(),
            datatype: "FP32".to_owned(),
            shape: dims.iter().map(|it| *it as i64).collect(),
            names: vec![String::new(); dims.len()],
        };
        let header = Header {
            inputs: vec![tensor("x", &self.from)],
            outputs: vec![tensor("y", &self.to)],
            ..Header::default()
        };
        let mut builder = PackageBuilder::new(header);
        let archive = rkyv::to_bytes::<rkyv::rancor::Error>(&plan).unwrap();
        builder.section(SectionKind::Plan, "", archive.into_vec());
        if self.is_weighted {
            let bytes = weights.iter().flat_map(|it| it.to_le_bytes()).collect();
            builder.section(SectionKind::Constants, "", bytes);
        }
        Mapped::copied(&builder.finish().unwrap()).unwrap()
    }
}

fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let number = |at: usize| match (at as u64 * 31 + seed * 7) % 23 {
        0 => f32::NAN,
        1 => f32::INFINITY,
        2 => f32::NEG_INFINITY,
        other => other as f32 * 0.25 - 3.0,
    };
    (0..count).map(number).collect()
}

/// A window of any shape: several dimensions along one, forwards and backwards, beyond both ends.
fn cases() -> impl Strategy<Value = Case> {
    let from = prop::collection::vec(1_usize..6, 1..4);
    let op = prop::sample::select(vec![Windowed::Copy, Windowed::Max, Windowed::Sum]);
    (from, op, any::<bool>()).prop_flat_map(|(from, op, is_weighted)| {
        let rank = from.len();
        let along = (0..=rank as u32, -2_i64..4, -3_i64..4, 1_usize..5);
        let taps = (0..rank as u32, -2_i64..3, 0_u32..4);
        let most = if op == Windowed::Copy { 1 } else { 4 };
        let parts = (
            prop::collection::vec(along, 1..5),
            prop::collection::vec(taps, 0..most),
            prop::sample::select(vec![0.0, -1.5, f32::NEG_INFINITY]),
        );
        parts.prop_map(move |(along, taps, fill)| Case {
            from: from.clone(),
            to: along.iter().map(|it| it.3).collect(),
            op,
            along: along
                .iter()
                .map(|(axis, stride, start, _)| Along {
                    axis: *axis,
                    stride: *stride,
                    start: *start,
                })
                .collect(),
            taps: taps
                .iter()
                .map(|(axis, stride, count)| Tap { axis: *axis, stride: *stride, count: *count })
                .collect(),
            is_weighted: is_weighted && op == Windowed::Sum,
            fill,
        })
    })
}

/// What convolutions and slices read: dimensions of the input in order, each along with its window's.
fn regular_cases() -> impl Strategy<Value = Case> {
    let one = (1_usize..9, 1_i64..4, -3_i64..3, 1_usize..6, 1_i64..3, 1_u32..4);
    let op = prop::sample::select(vec![Windowed::Copy, Windowed::Max, Windowed::Sum]);
    (prop::collection::vec(one, 1..3), 1_usize..5, op, any::<bool>()).prop_map(
        |(dims, channels, op, is_weighted)| {
            let axes = || dims.iter().enumerate().map(|(at, it)| (at as u32, *it));
            let mut along: Vec<Along> =
                axes().map(|(axis, it)| Along { axis, stride: it.1, start: it.2 }).collect();
            let mut to: Vec<usize> = dims.iter().map(|it| it.3).collect();
            let mut taps: Vec<Tap> =
                axes().map(|(axis, it)| Tap { axis, stride: it.4, count: it.5 }).collect();
            if op == Windowed::Copy {
                to.extend(taps.iter().map(|it| it.count as usize));
                let shown = taps.drain(..);
                along.extend(shown.map(|it| Along { axis: it.axis, stride: it.stride, start: 0 }));
            }
            along.push(Along { axis: dims.len() as u32, stride: 1, start: 0 });
            to.push(channels);
            Case {
                from: dims.iter().map(|it| it.0).chain([channels]).collect(),
                to,
                op,
                along,
                taps,
                is_weighted: is_weighted && op == Windowed::Sum,
                fill: 0.5,
            }
        },
    )
}

fn check(case: &Case, seed: u64) {
    let weights: Vec<f32> =
        (0..count(&case.weights())).map(|it| (it % 7) as f32 * 0.5 - 1.0).collect();
    let input = numbers(seed, count(&case.from));
    let model = CpuBackend::default().load(&case.package(&weights)).unwrap();
    let shape = case.from.iter().map(|it| *it as u64).collect();
    let given = Tensor::new("x", shape, TensorData::Fp32(input.clone())).unwrap();
    let answer = model.infer(Inputs::new(vec![given]).unwrap()).unwrap();
    let TensorData::Fp32(found) = answer.tensors()[0].data() else { panic!("expected FP32") };
    for (at, (found, expected)) in found.iter().zip(case.expected(&input, &weights)).enumerate() {
        let near = *found == expected
            || (found.is_nan() && expected.is_nan())
            || (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
        assert!(near, "{case:?}: {at}: {found} is not {expected}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_window_shows_what_it_says(case in cases(), seed in 0_u64..100) {
        check(&case, seed);
    }

    #[test]
    fn windows_of_convolutions_show_what_they_say(case in regular_cases(), seed in 0_u64..100) {
        check(&case, seed);
    }

    /// Whatever a plan says of a window, it is refused, fails, or answers something.
    #[test]
    fn a_hostile_window_ends_nothing_but_itself(
        case in cases(),
        axis in any::<u32>(),
        far in prop::sample::select(vec![
            i64::MIN, i64::MAX, -(1 << 31), 1 << 31, (1 << 31) - 1, 1 - (1 << 31), 0, -1,
        ]),
        counted in prop::sample::select(vec![0, 1, 1 << 20, u32::MAX]),
        at in 0_usize..3,
        what in 0_usize..6,
    ) {
        let mut case = case;
        let weights = vec![0.5; 4096];
        let last = case.along.len() - 1;
        match what {
            0 => case.along[at.min(last)].axis = axis,
            1 => case.along[at.min(last)].stride = far,
            2 => case.along[at.min(last)].start = far,
            3 => case.taps.push(Tap { axis: axis % 5, stride: far, count: counted }),
            4 => case.along.truncate(at),
            _ => case.is_weighted = !case.is_weighted,
        }
        let backend = CpuBackend::default();
        if let Ok(model) = backend.load(&case.package(&weights)) {
            let input = numbers(1, count(&case.from));
            let shape = case.from.iter().map(|it| *it as u64).collect();
            let given = Tensor::new("x", shape, TensorData::Fp32(input)).unwrap();
            let _ = model.infer(Inputs::new(vec![given]).unwrap());
        }
    }
}

#[test]
fn a_window_in_a_plan_of_version_1_is_refused() {
    let case = Case {
        from: vec![3],
        to: vec![3],
        op: Windowed::Copy,
        along: vec![Along { axis: 0, stride: -1, start: 2 }],
        taps: vec![],
        is_weighted: false,
        fill: 0.0,
    };
    check(&case, 1);
    let mut bytes = case.package(&[]).to_vec();
    let package = artifact::Package::open(Mapped::copied(&bytes).unwrap()).unwrap();
    let plan = inference::plan::PackedPlan::open(package).unwrap();
    let (start, version) = {
        let at = std::ptr::from_ref(&plan.plan().version).addr();
        (at - plan.package().file().as_ptr().addr(), plan.plan().version.to_native())
    };
    assert_eq!(version, 2);
    for (version, expected) in [(1_u32, "a version that has none"), (3, "version 2 at most")] {
        bytes[start..start + 4].copy_from_slice(&version.to_le_bytes());
        let refused = CpuBackend::default().load(&Mapped::copied(&bytes).unwrap());
        let refused = refused.map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}
