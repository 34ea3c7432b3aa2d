//! Plans of a few steps, as packages, on the CPU and on a device.

use std::sync::Arc;

use artifact::{Header, Mapped, PackageBuilder, SectionKind, Tensor as TensorHeader};
use gpu::{Device, PlacedModel};
use inference::{
    Backend, InferError, Inputs, Model, Outputs, Tensor, TensorData,
    cpu::CpuBackend,
    plan::{
        Dimension, Kind, Layout, Matrix, PLAN_VERSION, Place, Plan, Step, SymbolSource, Term,
        Value, WeightKind,
    },
};
use kernels::{Element, PanelShape};

use crate::llvmpipe::backend;

/// A dimension: the batch, so many times the batch, or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dim {
    Batch,
    Is(i64),
}
pub use Dim::{Batch, Is};

/// A plan that is being made.
#[derive(Default)]
pub struct Case {
    pub plan: Plan,
    inputs: Vec<(Kind, Vec<Dim>)>,
    pub constants: Vec<u8>,
    weights: Vec<(Vec<f32>, Option<Vec<f32>>)>,
    outputs: Vec<u32>,
}

impl Case {
    pub fn new() -> Self {
        let symbols = vec![SymbolSource { input: 0, axis: 0 }];
        Self { plan: Plan { version: PLAN_VERSION, symbols, ..Plan::default() }, ..Self::default() }
    }

    fn value(&mut self, kind: Kind, shape: &[Dim], place: Place) -> u32 {
        let shape = shape.iter().map(|dim| self.dimension(*dim));
        let shape = shape.collect();
        self.plan.values.push(Value { kind, shape, place });
        self.plan.values.len() as u32 - 1
    }

    pub fn dimension(&mut self, dim: Dim) -> u32 {
        let term = match dim {
            Batch => Term::Symbol(0),
            Is(number) => Term::Number(number),
        };
        let dimension = Dimension { terms: vec![term] };
        let dimensions = &mut self.plan.dimensions;
        let at = dimensions.iter().position(|it| *it == dimension).unwrap_or_else(|| {
            dimensions.push(dimension);
            dimensions.len() - 1
        });
        at as u32
    }

    pub fn input(&mut self, kind: Kind, shape: &[Dim]) -> u32 {
        self.inputs.push((kind, shape.to_vec()));
        self.value(kind, shape, Place::Input(self.inputs.len() as u32 - 1))
    }

    pub fn slot(&mut self, kind: Kind, shape: &[Dim]) -> u32 {
        self.plan.slots += 1;
        self.value(kind, shape, Place::Slot(self.plan.slots - 1))
    }

    pub fn in_slot(&mut self, kind: Kind, shape: &[Dim], slot: u32) -> u32 {
        self.value(kind, shape, Place::Slot(slot))
    }

    /// A constant of numbers as they lie in a package.
    pub fn constant(&mut self, kind: Kind, shape: &[i64], data: &TensorData) -> u32 {
        self.constants.resize(self.constants.len().next_multiple_of(64), 0);
        let place = Place::Constant(self.constants.len() as u64);
        match data {
            TensorData::Bool(it) => self.constants.extend(it.iter().map(|it| u8::from(*it))),
            TensorData::Int32(it) => {
                self.constants.extend(it.iter().flat_map(|it| it.to_le_bytes()));
            }
            TensorData::Int64(it) => {
                self.constants.extend(it.iter().flat_map(|it| it.to_le_bytes()));
            }
            TensorData::Fp32(it) => {
                self.constants.extend(it.iter().flat_map(|it| it.to_le_bytes()));
            }
            other => panic!("a constant of {other:?}"),
        }
        let shape: Vec<Dim> = shape.iter().map(|it| Is(*it)).collect();
        self.value(kind, &shape, place)
    }

    pub fn matrix(
        &mut self,
        size: [usize; 2],
        element: WeightKind,
        weights: Vec<f32>,
        bias: Option<Vec<f32>>,
    ) -> u32 {
        let [inner, columns] = size.map(|it| it as u64);
        self.plan.matrices.push(Matrix { inner, columns, has_bias: bias.is_some(), element });
        self.weights.push((weights, bias));
        self.weights.len() as u32 - 1
    }

    pub fn step(&mut self, step: Step) {
        self.plan.steps.push(step);
    }

    pub fn answer(&mut self, value: u32) {
        self.outputs.push(value);
    }

    /// The panels of each matrix.
    pub fn panels(&self, lanes: usize) -> Vec<Vec<u8>> {
        let packed =
            self.plan.matrices.iter().zip(&self.weights).map(|(matrix, (weights, bias))| {
                let shape = PanelShape {
                    inner: matrix.inner as usize,
                    columns: matrix.columns as usize,
                    has_bias: matrix.has_bias,
                    element: match matrix.element {
                        WeightKind::F32 => Element::F32,
                        WeightKind::F16 => Element::F16,
                        WeightKind::I8 => Element::I8,
                    },
                    lanes,
                };
                let mut bytes = vec![];
                shape.pack(weights, bias.as_deref(), &mut bytes).unwrap();
                bytes
            });
        packed.collect()
    }

    /// The package.
    pub fn packed(&self) -> Mapped {
        let mut plan = self.plan.clone();
        plan.outputs.clone_from(&self.outputs);
        let mut panels = vec![];
        let mut lanes: Vec<usize> = vec![kernels::lanes(), 16];
        lanes.dedup();
        for lanes in lanes.into_iter().filter(|_| !plan.matrices.is_empty()) {
            let (mut bytes, mut offsets) = (vec![], vec![]);
            for matrix in self.panels(lanes) {
                offsets.push(bytes.len() as u64);
                bytes.extend(matrix);
            }
            let key = format!("lanes={lanes}");
            plan.layouts.push(Layout { lanes: lanes as u32, key: key.clone(), offsets });
            panels.push((key, bytes));
        }
        let tensor = |name: String, kind: Kind, shape: &[Dim]| TensorHeader {
            name,
            datatype: datatype(kind).to_owned(),
            shape: shape
                .iter()
                .map(|dim| if let Is(number) = dim { *number } else { -1 })
                .collect(),
            names: shape
                .iter()
                .map(|dim| if *dim == Batch { "N" } else { "" }.to_owned())
                .collect(),
        };
        let inputs = self.inputs.iter().enumerate();
        let outputs = self.outputs.iter().enumerate().map(|(at, value)| {
            let value = &self.plan.values[*value as usize];
            let dim = |at: &u32| match self.plan.dimensions[*at as usize].terms[..] {
                [Term::Number(number)] => Is(number),
                _ => Batch,
            };
            let shape: Vec<Dim> = value.shape.iter().map(dim).collect();
            tensor(format!("y{at}"), value.kind, &shape)
        });
        let mut builder = PackageBuilder::new(Header {
            inputs: inputs
                .map(|(at, (kind, shape))| tensor(format!("x{at}"), *kind, shape))
                .collect(),
            outputs: outputs.collect(),
            ..Header::default()
        });
        let archive = rkyv::to_bytes::<rkyv::rancor::Error>(&plan).unwrap();
        builder.section(SectionKind::Plan, "", archive.into_vec());
        if !self.constants.is_empty() {
            builder.section(SectionKind::Constants, "", self.constants.clone());
        }
        for (key, bytes) in panels {
            builder.section(SectionKind::Panels, key, bytes);
        }
        Mapped::copied(&builder.finish().unwrap()).unwrap()
    }

    /// The request with these elements.
    pub fn request(&self, batch: i64, data: Vec<TensorData>) -> Inputs {
        let tensors = self.inputs.iter().zip(data).enumerate().map(|(at, ((_, shape), data))| {
            let shape = shape.iter().map(|dim| match dim {
                Batch => batch as u64,
                Is(number) => *number as u64,
            });
            Tensor::new(format!("x{at}"), shape.collect(), data).unwrap()
        });
        Inputs::new(tensors.collect()).unwrap()
    }

    /// What the CPU answers, and the device, which has to be the one that does.
    pub fn both(&self, device: &Device, inputs: &Inputs) -> [Outputs; 2] {
        let file = self.packed();
        let on_cpu = CpuBackend::default().load(&file).unwrap();
        let on_device = backend(device).load(&file).unwrap();
        let any: &dyn std::any::Any = &*on_device;
        let placed = any.downcast_ref::<PlacedModel>().expect("a model with steps on the device");
        let answers =
            [on_cpu.infer(inputs.clone()).unwrap(), on_device.infer(inputs.clone()).unwrap()];
        assert_eq!(placed.answered_by_device(), 1, "answered by the CPU");
        answers
    }

    /// Why either fails.
    pub fn both_fail(&self, device: &Device, inputs: &Inputs) -> [InferError; 2] {
        let file = self.packed();
        let on_cpu = CpuBackend::default().load(&file).unwrap();
        let on_device: Arc<dyn Model> = backend(device).load(&file).unwrap();
        [on_cpu.infer(inputs.clone()).unwrap_err(), on_device.infer(inputs.clone()).unwrap_err()]
    }
}

const fn datatype(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "BOOL",
        Kind::I32 => "INT32",
        Kind::I64 => "INT64",
        Kind::F32 => "FP32",
        Kind::F64 => "FP64",
        Kind::Text => "BYTES",
    }
}
