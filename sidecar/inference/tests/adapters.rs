//! Fine-tuned models as changes of a base.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod onnx;
mod tuned;

use std::ops::Range;

use artifact::{Identity, Mapped, Package, SectionKind};
use inference::{
    Backend, LoadError, Model, Pack, PackError, PackOver, TensorData, Wider,
    changes::{ArchivedChanges, CHANGES, CHANGES_VERSION, ChangesError, NUMBERS, PairKind},
    cpu::CpuBackend,
    pack, pack_over,
    plan::WeightKind,
};
use onnx::{Is, Named};
use proptest::prelude::*;
use tuned::{MODELS, Noise, base_of, family, inputs, options};

fn numbers(model: &dyn Model, seed: u64, rows: u64) -> Vec<f32> {
    let answer = model.infer(inputs(model, rows, 5, &mut Noise::of(seed))).unwrap();
    let TensorData::Fp32(numbers) = answer.tensors()[0].data() else { panic!("expected FP32") };
    numbers.clone()
}

fn open(bytes: &[u8]) -> Package {
    Package::open(Mapped::copied(bytes).unwrap()).unwrap()
}

#[test]
fn an_adapter_answers_as_the_whole_fine_tuned_model_does() {
    let backend = CpuBackend::default();
    for model in MODELS {
        let family = family(model, 3);
        for (adapter, tuned) in family.iter().skip(1).zip(1..) {
            let whole = pack(&onnx::bytes(&model(tuned)), &Pack::default()).unwrap();
            let whole = backend.load(&Mapped::copied(&whole.bytes).unwrap()).unwrap();
            let base = numbers(&*family[0], tuned, 9);
            let (own, expected) = (numbers(&**adapter, tuned, 9), numbers(&*whole, tuned, 9));
            let far = |a: &[f32], b: &[f32]| {
                a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
            };
            let (_, near) = tuned::pairs_of(tuned);
            assert!(far(&own, &expected) < near, "{own:?} is not {expected:?}");
            assert!(far(&own, &base) > 1e-2, "it answers as its base");
        }
    }
}

#[test]
fn an_adapter_is_small_and_says_whose_it_is_and_of_what_base() {
    let base = base_of(tuned::mlp);
    let identity = Identity {
        tenant: Some("org_aa".to_owned()),
        name: "delays".to_owned(),
        version: "7".to_owned(),
        trained_on: vec!["org_aa".to_owned()],
    };
    let tuned = onnx::bytes(&tuned::mlp(1));
    let packed = pack_over(&base, &tuned, &PackOver { identity, ..options() }).unwrap();
    let package = open(&packed.bytes);
    package.verify().unwrap();
    let header = package.header();
    assert_eq!(header.base.as_ref(), Some(base.file().digest().as_bytes()));
    assert_eq!(header.identity.tenant.as_deref(), Some("org_aa"));
    assert_eq!(header.source, *tenancy::Digest::of(&tuned).as_bytes());
    assert!(package.section(SectionKind::Source).is_none());
    assert!(package.section(SectionKind::Plan).is_none());
    // The head is as small whole; the first matrix, the gated ones and the scale are changed.
    let changed = packed.changed;
    assert_eq!((changed.thin, changed.rank, changed.whole, changed.constants), (3, 2, 1, 1));
    let weights = 4 * (7 * 40 + 2 * 40 * 70 + 70 * 3);
    assert!(changed.bytes < weights / 3, "{changed}");
    assert_eq!((changed.wide, changed.because), (0, None));
    assert!(changed.to_string().contains("3 matrices changed by rank 2 at most in f16, "));
    let model = CpuBackend::default();
    let model = model.load_over(package.file(), &model.load(base.file()).unwrap()).unwrap();
    assert_eq!(model.signature().metadata["trained_on"], "org_aa");

    let with = pack_over(&base, &tuned, &PackOver { with_source: true, ..options() }).unwrap();
    assert_eq!(open(&with.bytes).section(SectionKind::Source), Some(&*tuned));
    let again = pack_over(&base, &tuned, &PackOver { with_source: true, ..options() }).unwrap();
    assert_eq!(again.bytes, with.bytes, "packing is not repeatable");
}

#[test]
fn thin_matrices_are_kept_in_half_the_bytes_unless_they_are_asked_for_or_needed_wide() {
    let base = base_of(tuned::mlp);
    let tuned = onnx::bytes(&tuned::mlp(1));
    let packed = |pairs, largest_deviation| {
        let options = PackOver { pairs, largest_deviation, ..options() };
        pack_over(&base, &tuned, &options).unwrap()
    };
    let (narrow, wide) = (packed(PairKind::F16, 1e-3), packed(PairKind::F32, 1e-3));
    // The pairs of three matrices, without what lies between them.
    let numbers = 2 * (7 + 40 + 2 * (40 + 70));
    let saved = wide.changed.bytes - narrow.changed.bytes;
    assert!(saved.abs_diff(2 * numbers) <= 64 * 6, "{saved} of {numbers}");
    assert_eq!((wide.changed.wide, wide.changed.because), (3, None));
    assert!(wide.changed.to_string().contains("at most in f32, "), "{}", wide.changed);
    assert!(wide.deviation.largest < narrow.deviation.largest, "{:?}", narrow.deviation);

    // With less than 16-bit floats deviate by, they are not used.
    let limit = narrow.deviation.largest / 2.0;
    let again = packed(PairKind::F16, limit);
    assert_eq!(
        (again.changed.wide, again.changed.because),
        (3, Some(Wider::Deviates(PairKind::F16)))
    );
    assert_eq!((again.changed.bytes, again.deviation), (wide.changed.bytes, wide.deviation));
    assert!(again.changed.to_string().contains("f32 (f16 deviates"), "{}", again.changed);
}

#[test]
fn thin_matrices_of_bytes_take_a_quarter_and_become_wider_where_they_deviate() {
    let base = base_of(tuned::mlp);
    let tuned = onnx::bytes(&tuned::mlp(1));
    let packed = |pairs, largest_deviation| {
        let options = PackOver { pairs, largest_deviation, ..options() };
        pack_over(&base, &tuned, &options).unwrap()
    };
    let (bytes, wide) = (packed(PairKind::I8, 0.1), packed(PairKind::F32, 1e-3));
    assert_eq!((bytes.changed.pairs, bytes.changed.because), (Some(PairKind::I8), None));
    assert!(bytes.changed.to_string().contains("at most in i8, "), "{}", bytes.changed);
    let numbers = 2 * (7 + 40 + 2 * (40 + 70));
    let saved = wide.changed.bytes - bytes.changed.bytes;
    // Less the scales, and what lies between.
    assert!(saved.abs_diff(3 * numbers) <= 64 * 9, "{saved} of {numbers}");

    // Narrower ones than answers allow are not used, and no wider ones than they need.
    let halves = packed(PairKind::F16, 1e-3);
    assert!(halves.deviation.largest < bytes.deviation.largest, "{:?}", bytes.deviation);
    let again = packed(PairKind::I8, bytes.deviation.largest / 2.0);
    let because = Some(Wider::Deviates(PairKind::I8));
    assert_eq!((again.changed.pairs, again.changed.because), (Some(PairKind::F16), because));
    assert_eq!(again.changed.bytes, halves.changed.bytes);
    assert!(again.changed.to_string().contains("in f16 (i8 deviates"), "{}", again.changed);
    let again = packed(PairKind::I8, halves.deviation.largest / 2.0);
    assert_eq!((again.changed.pairs, again.changed.because), (Some(PairKind::F32), because));
}

#[test]
fn numbers_that_are_too_large_for_halves_are_kept_wide() {
    let base = base_of(tuned::mlp);
    let mut large = tuned::mlp(1);
    let tensors = &mut large.graph.as_mut().unwrap().initializer;
    let tensor = tensors.iter_mut().find(|it| it.name == "w1").unwrap();
    let count = tensor.raw_data.len() / 4;
    tensor.raw_data = (0..count).flat_map(|_| 2e10_f32.to_le_bytes()).collect();
    let packed = pack_over(&base, &onnx::bytes(&large), &options()).unwrap();
    assert_eq!((packed.changed.wide, packed.changed.because), (1, Some(Wider::OutOfRange)));
    let words = packed.changed.to_string();
    assert!(words.contains("f16 but 1 in f32 (numbers that f16 does not reach)"), "{words}");
}

#[test]
fn an_idle_adapter_takes_little_memory_of_its_own() {
    for model in MODELS {
        for adapter in &family(model, 1)[1..] {
            assert!(adapter.private_bytes() <= 8 << 10, "{} bytes", adapter.private_bytes());
            assert_eq!(adapter.mapped_bytes(), 0);
        }
    }
}

#[test]
fn a_base_with_narrow_weights_has_adapters_too() {
    let narrow = Pack { weights: WeightKind::F16, largest_deviation: 0.1, ..Pack::default() };
    let base = open(&pack(&onnx::bytes(&tuned::mlp(0)), &narrow).unwrap().bytes);
    let packed = pack_over(&base, &onnx::bytes(&tuned::mlp(1)), &options()).unwrap();
    assert!(packed.deviation.largest <= 1e-3, "{:?}", packed.deviation);
}

#[test]
fn panels_of_another_processor_are_packed_again() {
    let foreign = Pack { lanes: vec![kernels::lanes() / 2], ..Pack::default() };
    let base = open(&pack(&onnx::bytes(&tuned::mlp(0)), &foreign).unwrap().bytes);
    let packed = pack_over(&base, &onnx::bytes(&tuned::mlp(1)), &options()).unwrap();
    assert!(packed.changed.whole > 0);
    let backend = CpuBackend::default();
    let loaded = backend.load(base.file()).unwrap();
    let file = Mapped::copied(&packed.bytes).unwrap();
    let over = backend.load_over(&file, &loaded).unwrap();
    let own = &family(tuned::mlp, 1)[1];
    assert_eq!(numbers(&*over, 3, 4), numbers(&**own, 3, 4));
    assert!(over.private_bytes() > own.private_bytes());
}

fn refused(base: &Package, onnx: &[u8], options: &PackOver) -> PackError {
    pack_over(base, onnx, options).map(|it| it.changed).unwrap_err()
}

#[test]
fn what_is_no_fine_tuned_model_of_the_base_is_refused_with_the_difference() {
    let base = base_of(tuned::mlp);
    // Another graph, by its first step that differs.
    let mut other = tuned::mlp(1);
    other.graph.as_mut().unwrap().node[6].op_type = "Sigmoid".to_owned();
    let error = refused(&base, &onnx::bytes(&other), &options());
    assert!(matches!(error, PackError::OtherPlan { .. }), "{error}");
    assert!(error.to_string().contains("step 3 is Unary { op: Sigmoid"), "{error}");
    // Another signature.
    let error = refused(&base, &onnx::bytes(&tuned::lookup(1)), &options());
    assert!(error.to_string().contains("inputs"), "{error}");
    // Nothing that a plan computes.
    let by_tract = onnx::bytes(&onnx::largest(Named("N")));
    let error = refused(&base, &by_tract, &options());
    assert!(error.to_string().contains("Topk"), "{error}");
    let tract_base = open(&pack(&by_tract, &Pack::default()).unwrap().bytes);
    let error = refused(&tract_base, &by_tract, &options());
    assert!(matches!(error, PackError::Load(LoadError::NoBasePlan)), "{error}");
    for rank in [0, 100_000] {
        let error = refused(&base, &onnx::bytes(&tuned::mlp(1)), &PackOver { rank, ..options() });
        assert!(matches!(error, PackError::Rank { .. }), "{error}");
    }
}

#[test]
fn changes_that_do_not_give_the_models_answers_are_refused() {
    let base = base_of(tuned::mlp);
    let tuned = onnx::bytes(&tuned::mlp(1));
    // Rank two changed the matrices: rank one does not do.
    let error = refused(&base, &tuned, &PackOver { rank: 1, ..options() });
    let PackError::DeviatesFromTuned { found, .. } = error else { panic!("{error}") };
    let enough = PackOver { rank: 1, largest_deviation: found, ..options() };
    assert!(pack_over(&base, &tuned, &enough).is_ok());
    // Weights that are no numbers give no answer that is near.
    let mut broken = tuned::mlp(1);
    let tensors = &mut broken.graph.as_mut().unwrap().initializer;
    let tensor = tensors.iter_mut().find(|it| it.name == "w3").unwrap();
    tensor.raw_data[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let error = refused(&base, &onnx::bytes(&broken), &options());
    assert!(matches!(error, PackError::DeviatesFromTuned { .. }), "{error}");
}

#[test]
fn an_adapter_runs_over_its_own_base_and_no_other() {
    let (base, backend) = (base_of(tuned::mlp), CpuBackend::default());
    let packed = pack_over(&base, &onnx::bytes(&tuned::mlp(1)), &options()).unwrap();
    let file = Mapped::copied(&packed.bytes).unwrap();
    let refusal = |file: &Mapped, base: &Mapped| {
        let base = backend.load(base).unwrap();
        backend.load_over(file, &base).map(|_| ()).unwrap_err()
    };
    assert_eq!(backend.load(&file).map(|_| ()).unwrap_err(), LoadError::Base);
    let other = base_of(tuned::lookup);
    let error = refusal(&file, other.file());
    let expected =
        ChangesError::OtherBase { expected: *base.file().digest(), found: *other.file().digest() };
    assert_eq!(error, LoadError::Changes(expected));
    assert!(error.to_string().contains(&base.file().digest().to_string()), "{error}");
    assert_eq!(refusal(base.file(), base.file()), LoadError::Changes(ChangesError::NoBase));
    let by_tract = pack(&onnx::bytes(&onnx::largest(Is(2))), &Pack::default()).unwrap();
    let by_tract = Mapped::copied(&by_tract.bytes).unwrap();
    assert_eq!(refusal(&file, &by_tract), LoadError::NoBasePlan);
    let loaded = backend.load(base.file()).unwrap();
    let over = backend.load_over(&file, &loaded).unwrap();
    let twice = backend.load_over(&file, &over).map(|_| ()).unwrap_err();
    assert_eq!(twice, LoadError::NoBasePlan);
}

#[test]
fn changes_of_another_release_are_refused_with_what_to_do() {
    let (base, backend) = (base_of(tuned::mlp), CpuBackend::default());
    let mut bytes = pack_over(&base, &onnx::bytes(&tuned::mlp(1)), &options()).unwrap().bytes;
    // An archive ends with what it is of, which says its version first.
    let version = section(&bytes, CHANGES).end - size_of::<ArchivedChanges>();
    let version = &mut bytes[version..version + 4];
    assert_eq!(version, CHANGES_VERSION.to_le_bytes());
    version.copy_from_slice(&(CHANGES_VERSION - 1).to_le_bytes());
    let base = backend.load(base.file()).unwrap();
    let file = Mapped::copied(&bytes).unwrap();
    let error = backend.load_over(&file, &base).map(|_| ()).unwrap_err();
    let expected = ChangesError::Version { expected: CHANGES_VERSION, found: CHANGES_VERSION - 1 };
    assert!(error.to_string().contains("pack the model again"), "{error}");
    assert_eq!(error, LoadError::Changes(expected));
}

/// Where a part of an adapter lies.
fn section(packed: &[u8], key: &str) -> Range<usize> {
    let package = open(packed);
    let sections = &package.header().sections;
    let section = sections
        .iter()
        .find(|it| it.kind() == Some(SectionKind::Delta) && it.key.as_str() == key)
        .unwrap();
    let start = section.offset.to_native() as usize;
    start..start + section.length.to_native() as usize
}

/// An adapter whose changes are altered while its header is right, as whoever packs can make it.
fn hostile(packed: &[u8], key: &str, changes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let (mut bytes, section) = (packed.to_vec(), section(packed, key));
    for (at, value) in changes {
        bytes[section.start + at.index(section.len())] = *value;
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Changes are data from outside: whatever they say, they are refused, fail, or answer something.
    #[test]
    fn hostile_changes_end_nothing_but_themselves(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        which in 0..MODELS.len(),
        is_wide in any::<bool>(),
        in_numbers in any::<bool>(),
    ) {
        let backend = CpuBackend::default();
        let base = base_of(MODELS[which]);
        let packed = PACKED.with(|all| all[which][usize::from(is_wide)].clone());
        let key = if in_numbers { NUMBERS } else { CHANGES };
        let file = Mapped::copied(&hostile(&packed, key, &changes)).unwrap();
        let loaded = backend.load(base.file()).unwrap();
        if let Ok(model) = backend.load_over(&file, &loaded) {
            let rows = inputs(&*model, 3, 2, &mut Noise::of(1));
            let _ = model.infer(rows.clone());
            let parts = [
                inference::Part { model: &*loaded, rows: 1 },
                inference::Part { model: &*model, rows: 2 },
            ];
            let _ = loaded.infer_together(&rows, &parts, &mut inference::Outputs::default());
        }
    }
}

thread_local! {
    static PACKED: Vec<[Vec<u8>; 3]> = MODELS
        .iter()
        .map(|model| {
            let tuned = onnx::bytes(&model(1));
            [PairKind::I8, PairKind::F16, PairKind::F32].map(|pairs| {
                let options = PackOver { pairs, largest_deviation: 0.1, ..options() };
                pack_over(&base_of(*model), &tuned, &options).unwrap().bytes
            })
        })
        .collect();
}
