//! Rows of several models of one base in one request: each answered as by its own model alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod onnx;
mod tuned;

use std::sync::{Arc, LazyLock};

use artifact::{Mapped, Package, SectionKind};
use inference::{
    Backend, Inputs, Model, Outputs, Part, TensorData, changes::NUMBERS, cpu::CpuBackend, pack_over,
};
use proptest::prelude::*;
use tuned::{MODELS, Noise, base_of, family, inputs, options};

static FAMILIES: LazyLock<Vec<Vec<Arc<dyn Model>>>> =
    LazyLock::new(|| MODELS.iter().map(|model| family(*model, 4)).collect());

/// The numbers of an answer, bit by bit, a row after another.
fn bits(outputs: &Outputs) -> Vec<u32> {
    let TensorData::Fp32(numbers) = outputs.tensors()[0].data() else { panic!("expected FP32") };
    numbers.iter().map(|it| it.to_bits()).collect()
}

/// Whether a row's answer is the same to the bit whatever rows are beside it. Without tiles, one row
/// alone is computed by a kernel of its own.
fn is_exact() -> bool {
    kernels::kernel_names().any(|it| it == kernels::TILES)
}

fn assert_alike(found: &[u32], alone: &[u32]) {
    if is_exact() {
        assert_eq!(found, alone);
        return;
    }
    for (found, alone) in found.iter().zip(alone) {
        let (found, alone) = (f32::from_bits(*found), f32::from_bits(*alone));
        let near = (found - alone).abs() <= 1e-5 * alone.abs().max(1.0);
        assert!(near || (found.is_nan() && alone.is_nan()), "{found} is not {alone}");
    }
}

fn together(parts: &[(&Arc<dyn Model>, Inputs)]) -> Vec<Vec<u32>> {
    let joined = Inputs::join(parts.iter().map(|(_, inputs)| inputs)).unwrap();
    let of = |(model, inputs): &(&Arc<dyn Model>, Inputs)| (Arc::clone(model), inputs.batch());
    let owned: Vec<_> = parts.iter().map(of).collect();
    let each: Vec<Part<'_>> =
        owned.iter().map(|(model, rows)| Part { model: &**model, rows: *rows }).collect();
    let mut outputs = Outputs::default();
    parts[0].0.infer_together(&joined, &each, &mut outputs).unwrap();
    let rows: Vec<u64> = owned.iter().map(|(_, rows)| *rows).collect();
    outputs.split(&rows).unwrap().iter().map(bits).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_row_is_answered_as_by_its_own_model_alone(
        which in 0..MODELS.len(),
        parts in prop::collection::vec((0_usize..5, 1_u64..6), 1..12),
        length in 1_u64..9,
        seed in any::<u64>(),
    ) {
        let family = &FAMILIES[which];
        let mut noise = Noise::of(seed);
        let parts: Vec<_> = parts
            .iter()
            .map(|(model, rows)| {
                let model = &family[*model];
                (model, inputs(&**model, *rows, length, &mut noise))
            })
            .collect();
        for (found, (model, given)) in together(&parts).iter().zip(&parts) {
            assert_alike(found, &bits(&model.infer(given.clone()).unwrap()));
        }
    }

    /// NaN, infinity and what overflows stay in the rows of who sent them.
    #[test]
    fn what_is_no_number_in_ones_rows_changes_no_bit_of_anothers(
        which in prop::sample::select(vec![0_usize, 2, 3, 4]),
        models in prop::collection::vec(0_usize..5, 2..8),
        bad in any::<prop::sample::Index>(),
        poison in prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e38]),
        seed in any::<u64>(),
    ) {
        let family = &FAMILIES[which];
        let mut noise = Noise::of(seed);
        let mut parts: Vec<_> = models
            .iter()
            .map(|model| (&family[*model], inputs(&*family[*model], 2, 3, &mut noise)))
            .collect();
        let clean = together(&parts);
        let bad = bad.index(parts.len());
        let tensor = parts[bad].1.tensors()[0].clone();
        let TensorData::Fp32(mut numbers) = tensor.data().clone() else { panic!("expected FP32") };
        numbers.iter_mut().step_by(2).for_each(|it| *it = poison);
        let shape = tensor.shape().to_vec();
        let tensor = inference::Tensor::new("x", shape, TensorData::Fp32(numbers)).unwrap();
        parts[bad].1 = Inputs::new(vec![tensor]).unwrap();
        for (at, (dirty, clean)) in together(&parts).iter().zip(&clean).enumerate() {
            if at != bad {
                assert_eq!(dirty, clean, "part {at} saw part {bad}");
            }
        }
    }
}

#[test]
fn weights_that_are_no_numbers_stay_with_their_model() {
    let backend = CpuBackend::default();
    for model in MODELS {
        let base = base_of(model);
        let loaded = backend.load(base.file()).unwrap();
        let packed = pack_over(&base, &onnx::bytes(&model(1)), &options()).unwrap();
        let good = backend.load_over(&Mapped::copied(&packed.bytes).unwrap(), &loaded).unwrap();
        let mut bytes = packed.bytes.clone();
        let package = Package::open(Mapped::copied(&bytes).unwrap()).unwrap();
        let mut sections = package.header().sections.iter();
        let numbers =
            sections.find(|it| it.kind() == Some(SectionKind::Delta) && it.key.as_str() == NUMBERS);
        let numbers = numbers.unwrap();
        let start = numbers.offset.to_native() as usize;
        for at in (start..start + numbers.length.to_native() as usize).step_by(4) {
            bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        }
        let bad = backend.load_over(&Mapped::copied(&bytes).unwrap(), &loaded).unwrap();
        let mut noise = Noise::of(3);
        let parts: Vec<_> = [&good, &bad, &loaded, &bad, &good]
            .into_iter()
            .map(|model| (model, inputs(&**model, 2, 3, &mut noise)))
            .collect();
        let answers = together(&parts);
        for (answer, (model, given)) in answers.iter().zip(&parts) {
            if Arc::ptr_eq(model, &bad) {
                assert!(answer.iter().all(|it| f32::from_bits(*it).is_nan()), "{answer:?}");
            } else {
                assert_alike(answer, &bits(&model.infer(given.clone()).unwrap()));
            }
        }
    }
}

#[test]
fn a_base_and_its_adapters_are_one_family_and_others_are_none_of_it() {
    let families: Vec<_> = FAMILIES
        .iter()
        .map(|family| {
            let digest = family[0].family().unwrap();
            assert!(family.iter().all(|it| it.family() == Some(digest)));
            digest
        })
        .collect();
    assert!(families[0] != families[1] && families[1] != families[2]);

    // Who asks for models of several families as one gets each answered, one after another.
    let other = onnx::bytes(&onnx::mlp(onnx::Named("N")));
    let other = inference::pack(&other, &inference::Pack::default()).unwrap();
    let other = CpuBackend::default().load(&Mapped::copied(&other.bytes).unwrap()).unwrap();
    let given = inputs(&*other, 3, 1, &mut Noise::of(1));
    let parts = [Part { model: &*other, rows: 1 }, Part { model: &*other, rows: 2 }];
    let mut outputs = Outputs::default();
    FAMILIES[0][1].infer_together(&given, &parts, &mut outputs).unwrap();
    assert_alike(&bits(&outputs), &bits(&other.infer(given).unwrap()));
}

#[test]
fn a_model_that_mixes_its_rows_has_no_family() {
    use onnx::{Element, Is, Named};
    let mixing = onnx::model(
        vec![onnx::value("x", Element::Float, &[Named("N"), Is(3)])],
        vec![],
        vec![onnx::node("Softmax", &["x"], "y", vec![onnx::int("axis", 0)])],
        vec![onnx::value("y", Element::Float, &[Named("N"), Is(3)])],
    );
    let packed = inference::pack(&onnx::bytes(&mixing), &inference::Pack::default()).unwrap();
    let model = CpuBackend::default().load(&Mapped::copied(&packed.bytes).unwrap()).unwrap();
    assert_eq!(model.family(), None);
}

#[test]
fn parts_that_are_not_all_rows_are_refused() {
    let model = &FAMILIES[0][1];
    let given = inputs(&**model, 3, 1, &mut Noise::of(1));
    for rows in [[1, 1], [3, 1], [u64::MAX, 1]] {
        let parts = rows.map(|rows| Part { model: &**model, rows });
        assert!(model.infer_together(&given, &parts, &mut Outputs::default()).is_err());
    }
}
