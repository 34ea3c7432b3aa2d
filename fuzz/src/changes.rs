//! Changes of a base, as a package carries them.

use std::sync::{Arc, LazyLock};

use artifact::{Header, Mapped, Package, PackageBuilder, SectionKind, Tensor as Declared};
use inference::{
    Backend, Inputs, Model, Outputs, Part, Tensor, TensorData,
    changes::{
        CHANGES, CHANGES_VERSION, Changes, ConstantChange, MatrixChange, NUMBERS, PairKind,
        WeightChange,
    },
    cpu::CpuBackend,
    plan::{
        Binary, Dimension, Kind, Layout, Matrix, PLAN_VERSION, Place, Plan, Step, SymbolSource,
        Term, Value, WeightKind,
    },
};
use kernels::{Element, PanelShape};

const WIDTH: usize = 8;
/// All the numbers that a change can take, in bytes.
const NUMBERS_BYTES: usize = 4096;

struct Base {
    backend: CpuBackend,
    package: Package,
    model: Arc<dyn Model>,
}

static BASE: LazyLock<Base> = LazyLock::new(|| {
    let backend = CpuBackend::default();
    let file = Mapped::copied(&base()).expect("memory");
    let package = Package::open(file).expect("a package");
    let model = backend.load(package.file()).expect("a model");
    Base { backend, package, model }
});

/// Takes the bytes for what a package changes of a base, loads it over that, and runs it alone and
/// beside the base, whose rows have to come out as they do alone.
pub fn changes(bytes: &[u8]) -> bool {
    let Base { backend, package, model } = &*BASE;
    let mut builder =
        PackageBuilder::new(Header { base: Some(*package.file().digest().as_bytes()), ..header() });
    builder.section(SectionKind::Delta, CHANGES, bytes.to_vec());
    builder.section(SectionKind::Delta, NUMBERS, numbers(NUMBERS_BYTES / 4));
    let file = Mapped::copied(&builder.finish().expect("a package")).expect("memory");
    let Ok(over) = backend.load_over(&file, model) else { return false };
    let given = inputs(4);
    let alone = model.infer(given.clone()).expect("an answer of the base");
    let _ = over.infer(given.clone());
    let parts = [
        Part { model: &**model, rows: 1 },
        Part { model: &*over, rows: 2 },
        Part { model: &**model, rows: 1 },
    ];
    let mut together = Outputs::default();
    if over.family().is_some() && model.infer_together(&given, &parts, &mut together).is_ok() {
        let rows = |outputs: &Outputs| match outputs.tensors().first().map(Tensor::data) {
            Some(TensorData::Fp32(rows)) => rows.clone(),
            other => panic!("expected FP32, found {other:?}"),
        };
        let (alone, together) = (rows(&alone), rows(&together));
        for row in [0..2, 6..8] {
            let (alone, together) = (alone.get(row.clone()), together.get(row));
            let near = alone.into_iter().flatten().zip(together.into_iter().flatten());
            let mut near = near.map(|(a, b)| (a - b).abs() <= 1e-4 * a.abs().max(1.0));
            assert!(near.all(|it| it), "the base's rows depend on who is beside it");
        }
    }
    true
}

/// Changes that are accepted: of each kind one, with thin matrices of `element`.
pub(crate) fn seed(element: PairKind) -> Vec<u8> {
    let low = WeightChange::LowRank { element, rank: 2, down: 64, up: 128 };
    let whole = WeightChange::Whole { lanes: 16, panels: 1024 };
    let changes = Changes {
        version: CHANGES_VERSION,
        matrices: vec![
            MatrixChange { matrix: 0, weights: low, bias: Some(192) },
            MatrixChange { matrix: 1, weights: whole, bias: None },
        ],
        constants: vec![ConstantChange { start: 0, bytes: 32, at: 0 }],
    };
    rkyv::to_bytes::<rkyv::rancor::Error>(&changes).expect("an archive").into_vec()
}

fn numbers(count: usize) -> Vec<u8> {
    (0..count).flat_map(|at| ((at % 13) as f32 * 0.25 - 1.0).to_le_bytes()).collect()
}

fn inputs(rows: usize) -> Inputs {
    let data = (0..rows * WIDTH).map(|at| (at % 7) as f32 * 0.5 - 1.0).collect();
    let tensor = Tensor::new("x", vec![rows as u64, WIDTH as u64], TensorData::Fp32(data));
    Inputs::new(vec![tensor.expect("a tensor")]).expect("inputs")
}

fn header() -> Header {
    let tensor = |name: &str, width: i64| Declared {
        name: name.to_owned(),
        datatype: "FP32".to_owned(),
        shape: vec![-1, width],
        names: vec![String::new(); 2],
    };
    Header {
        inputs: vec![tensor("x", WIDTH as i64)],
        outputs: vec![tensor("y", 2)],
        ..Header::default()
    }
}

/// `y = relu((x * scale) · first + bias) · second`.
fn base() -> Vec<u8> {
    let value = |shape: &[u32], place| Value { kind: Kind::F32, shape: shape.to_vec(), place };
    let matrix = |columns: usize, has_bias| Matrix {
        inner: WIDTH as u64,
        columns: columns as u64,
        has_bias,
        element: WeightKind::F32,
    };
    let (mut panels, mut offsets) = (vec![], vec![]);
    for (columns, has_bias) in [(WIDTH, true), (2, false)] {
        let element = Element::F32;
        let shape = PanelShape { inner: WIDTH, columns, has_bias, element, lanes: 16 };
        let weights: Vec<f32> = (0..WIDTH * columns).map(|at| (at % 5) as f32 * 0.3).collect();
        offsets.push(panels.len() as u64);
        let bias = vec![0.5; columns];
        let packed = shape.pack(&weights, has_bias.then_some(&*bias), &mut panels);
        packed.expect("panels");
    }
    let plan = Plan {
        version: PLAN_VERSION,
        symbols: vec![SymbolSource { input: 0, axis: 0 }],
        dimensions: vec![
            Dimension { terms: vec![Term::Symbol(0)] },
            Dimension::fixed(1),
            Dimension::fixed(2),
            Dimension::fixed(WIDTH as i64),
        ],
        values: vec![
            value(&[0, 3], Place::Input(0)),
            value(&[1, 3], Place::Constant(0)),
            value(&[0, 3], Place::Slot(0)),
            value(&[0, 3], Place::Slot(1)),
            value(&[0, 2], Place::Slot(0)),
        ],
        slots: 2,
        matrices: vec![matrix(WIDTH, true), matrix(2, false)],
        layouts: vec![Layout { lanes: 16, key: "lanes=16".to_owned(), offsets }],
        steps: vec![
            Step::Binary { op: Binary::Mul, left: 0, right: 1, output: 2 },
            Step::Product { input: 2, matrix: 0, output: 3, relu: true },
            Step::Product { input: 3, matrix: 1, output: 4, relu: false },
        ],
        outputs: vec![4],
    };
    let archive = rkyv::to_bytes::<rkyv::rancor::Error>(&plan).expect("an archive");
    let mut builder = PackageBuilder::new(header());
    builder.section(SectionKind::Plan, "", archive.into_vec());
    builder.section(SectionKind::Constants, "", numbers(WIDTH));
    builder.section(SectionKind::Panels, "lanes=16", panels);
    builder.finish().expect("a package")
}
