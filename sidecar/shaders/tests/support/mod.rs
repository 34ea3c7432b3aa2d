//! Plans of a few steps with everything in its place, and naga's word on what comes of them.
#![allow(dead_code, reason = "each test uses a part")]

use inference::plan::{
    ArchivedPlan, Dimension, Kind, Layout, Matrix, PLAN_VERSION, Place, Plan, Rows, Step,
    SymbolSource, Term, Value, WeightKind, rows,
};
use shaders::{Dispatch, Features, Group, Limits, Part, Run, Shader, Unsupported, Weights};

/// A dimension: the batch, so many times the batch, or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dim {
    Batch,
    Times(i64),
    Is(i64),
}
pub use Dim::{Batch, Is, Times};

/// A plan that is being made.
#[derive(Debug, Clone, Default)]
pub struct Case {
    pub plan: Plan,
    constants: u64,
}

/// Words of a slot: enough for what tests have.
pub const SLOT_WORDS: u64 = 1 << 20;
const CONSTANTS: u64 = 1 << 16;
const MATRIX_WORDS: u64 = 1 << 17;

impl Case {
    pub fn new() -> Self {
        let symbols = vec![SymbolSource { input: 0, axis: 0 }];
        Self { plan: Plan { version: PLAN_VERSION, symbols, ..Plan::default() }, constants: 0 }
    }

    fn value(&mut self, kind: Kind, shape: &[Dim], place: Place) -> u32 {
        let shape = shape.iter().map(|dim| {
            let terms = match dim {
                Batch => vec![Term::Symbol(0)],
                Times(by) => vec![Term::Number(*by), Term::Symbol(0), Term::Mul],
                Is(number) => vec![Term::Number(*number)],
            };
            self.dimension(Dimension { terms })
        });
        let shape = shape.collect();
        self.plan.values.push(Value { kind, shape, place });
        self.plan.values.len() as u32 - 1
    }

    pub fn dimension(&mut self, dimension: Dimension) -> u32 {
        let dimensions = &mut self.plan.dimensions;
        let at = dimensions.iter().position(|it| *it == dimension).unwrap_or_else(|| {
            dimensions.push(dimension);
            dimensions.len() - 1
        });
        at as u32
    }

    pub fn input(&mut self, kind: Kind, shape: &[Dim]) -> u32 {
        let at = self.plan.values.iter().filter(|it| matches!(it.place, Place::Input(_))).count();
        self.value(kind, shape, Place::Input(at as u32))
    }

    pub fn slot(&mut self, kind: Kind, shape: &[Dim]) -> u32 {
        self.plan.slots += 1;
        self.in_slot(kind, shape, self.plan.slots - 1)
    }

    pub fn in_slot(&mut self, kind: Kind, shape: &[Dim], slot: u32) -> u32 {
        self.value(kind, shape, Place::Slot(slot))
    }

    pub fn constant(&mut self, kind: Kind, shape: &[i64]) -> u32 {
        let place = Place::Constant(self.constants);
        let bytes = shape.iter().product::<i64>() as u64 * 8;
        self.constants += bytes.next_multiple_of(64);
        let shape: Vec<Dim> = shape.iter().map(|it| Is(*it)).collect();
        self.value(kind, &shape, place)
    }

    pub fn matrix(&mut self, inner: u64, columns: u64, has_bias: bool, element: WeightKind) -> u32 {
        self.plan.matrices.push(Matrix { inner, columns, has_bias, element });
        self.plan.matrices.len() as u32 - 1
    }

    pub fn step(&mut self, step: Step) {
        self.plan.steps.push(step);
    }

    /// Ends the plan with this value as its answer.
    pub fn answer(mut self, value: u32) -> Archived {
        self.plan.outputs.push(value);
        let layout =
            Layout { lanes: 16, key: "16".to_owned(), offsets: vec![0; self.plan.matrices.len()] };
        self.plan.layouts.push(layout);
        Archived {
            bytes: rkyv::to_bytes::<rkyv::rancor::Error>(&self.plan).unwrap(),
            plan: self.plan,
        }
    }
}

/// A plan as it is read.
pub struct Archived {
    bytes: rkyv::util::AlignedVec,
    pub plan: Plan,
}

/// A run of a plan.
pub struct Shape<'a> {
    pub batch: u32,
    pub lanes: usize,
    pub parts: Vec<Part<'a>>,
    pub slab_words: u64,
}

pub fn alone(batch: u32) -> Shape<'static> {
    let parts = vec![Part { rows: batch, ..Part::default() }];
    Shape { batch, lanes: 16, parts, slab_words: SLOT_WORDS }
}

/// So many rows each for parts in slots of their own.
pub fn together(rows: &[u32]) -> Shape<'static> {
    let part = |(at, rows): (usize, &u32)| Part {
        rows: *rows,
        slot: at as u64 * SLOT_WORDS,
        ..Part::default()
    };
    Shape {
        batch: rows.iter().sum(),
        lanes: 16,
        parts: rows.iter().enumerate().map(part).collect(),
        slab_words: SLOT_WORDS * rows.len() as u64,
    }
}

impl Archived {
    pub fn archived(&self) -> &ArchivedPlan {
        rkyv::access::<ArchivedPlan, rkyv::rancor::Error>(&self.bytes).unwrap()
    }

    pub fn rows(&self) -> Rows {
        rows(self.archived())
    }

    /// What these groups come to in such a run.
    pub fn run(
        &self,
        shape: &Shape<'_>,
        groups: &[Group],
        limits: &Limits,
    ) -> Result<Vec<Dispatch>, Unsupported> {
        let plan = self.archived();
        let dimensions =
            plan.dimensions.iter().map(|it| it.evaluate(&[i64::from(shape.batch)]).unwrap());
        let dimensions: Vec<usize> = dimensions.collect();
        let elements = |value: &Value| {
            value.shape.iter().map(|at| dimensions[*at as usize]).product::<usize>()
        };
        let mut slots = vec![0_usize; self.plan.slots as usize];
        for value in &self.plan.values {
            if let Place::Slot(slot) = value.place {
                let words = &mut slots[slot as usize];
                *words = (*words).max(2 * elements(value));
            }
        }
        let mut next = 64_usize;
        let mut take = |words: usize| {
            let start = next;
            next = (start + words).next_multiple_of(64);
            start as u32
        };
        let slots: Vec<u32> = slots.iter().map(|words| take(*words)).collect();
        let places = self.plan.values.iter().map(|value| match value.place {
            Place::Slot(slot) => slots[slot as usize],
            Place::Input(_) => take(2 * elements(value)),
            Place::Constant(_) => 0,
        });
        let places: Vec<u32> = places.collect();
        let matrices =
            (0..self.plan.matrices.len() as u64).map(|at| at * MATRIX_WORDS + 2 * CONSTANTS);
        let matrices: Vec<u64> = matrices.collect();
        let rows = self.rows();
        let run = Run {
            plan,
            rows: &rows,
            dimensions: &dimensions,
            places: &places,
            arena_words: next as u32,
            weights: Weights {
                lanes: shape.lanes,
                matrices: &matrices,
                constants: CONSTANTS,
                slot_words: SLOT_WORDS,
            },
            slab_words: shape.slab_words,
            parts: &shape.parts,
        };
        let dispatches = groups.iter().map(|group| shaders::dispatches(&run, group, limits));
        Ok(dispatches.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// Every step for itself.
    pub fn steps(&self, shape: &Shape<'_>) -> Result<Vec<Dispatch>, Unsupported> {
        let groups: Vec<Group> = (0..self.plan.steps.len()).map(Group::single).collect();
        self.run(shape, &groups, &roomy())
    }

    /// Steps that can be one as one.
    pub fn fused(&self, shape: &Shape<'_>) -> Result<Vec<Dispatch>, Unsupported> {
        self.run(shape, &shaders::fuse(self.archived(), |_| true), &roomy())
    }
}

/// What most devices have.
pub fn roomy() -> Limits {
    Limits { workgroup_storage_bytes: 32 << 10, ..Limits::default() }
}

/// Has naga read a shader, and say what is wrong.
pub fn validate(shader: &Shader) {
    let text = shader.wgsl();
    let Features { subgroups, f16, cooperative_matrix } = shader.features();
    let mut capabilities = naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    for (wanted, capability) in [
        (subgroups, naga::valid::Capabilities::SUBGROUP),
        (f16, naga::valid::Capabilities::SHADER_FLOAT16),
        (cooperative_matrix, naga::valid::Capabilities::COOPERATIVE_MATRIX),
    ] {
        if wanted {
            capabilities |= capability;
        }
    }
    let mut frontend = naga::front::wgsl::Frontend::new_with_options(naga::front::wgsl::Options {
        parse_doc_comments: false,
        capabilities,
    });
    let module = frontend.parse(&text).unwrap_or_else(|error| {
        panic!("{}\n{text}", error.emit_to_string(&text));
    });
    let mut validator =
        naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities);
    validator
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(naga::valid::SubgroupOperationSet::all());
    if let Err(error) = validator.validate(&module) {
        panic!("{}\n{text}", error.emit_to_string(&text));
    }
    assert!(module.entry_points.iter().any(|it| it.name == Shader::ENTRY_POINT));
}

/// Has naga read every shader.
pub fn validate_all(dispatches: &[Dispatch]) {
    for dispatch in dispatches {
        validate(&dispatch.shader);
        assert!(dispatch.workgroups.iter().all(|it| *it > 0), "{dispatch:?}");
    }
}
