//! A packed model answers what its ONNX file answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod onnx;
mod tuned;

use std::sync::Arc;

use artifact::{Identity, Mapped, Package, SectionKind};
use inference::{
    Backend, DataType, Inputs, Limits, Model, Pack, Path, RUNS, Tensor, TensorData,
    cpu::CpuBackend, pack, plan::WeightKind,
};
use onnx::{Element, Is, Named};
use proptest::prelude::*;
use tract_onnx::pb::ModelProto;

fn load(bytes: &[u8]) -> Arc<dyn Model> {
    CpuBackend::default().load(&Mapped::copied(bytes).unwrap()).unwrap()
}

/// The model as its package runs it; the package has to have a plan.
fn planned(model: &ModelProto) -> Arc<dyn Model> {
    let packed = pack(&onnx::bytes(model), &Pack::default()).unwrap();
    assert!(matches!(packed.path, Path::Plan { .. }), "{:?}", packed.path);
    load(&packed.bytes)
}

fn some(seed: usize, count: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 37 + seed * 17 + 11) % 101) as f32 * 0.07 - 3.5).collect()
}

/// Inputs of the shape that a model takes, with `rows` for each open dimension.
fn inputs(model: &dyn Model, rows: u64) -> Inputs {
    let tensors = model.signature().inputs.iter().enumerate().map(|(at, spec)| {
        let shape: Vec<u64> =
            spec.shape.iter().map(|dim| u64::try_from(*dim).unwrap_or(rows)).collect();
        let count = shape.iter().product::<u64>() as usize;
        let data = match spec.datatype {
            DataType::Fp32 => TensorData::Fp32(some(at, count)),
            DataType::Int64 => TensorData::Int64((0..count as i64).map(|it| it % 5).collect()),
            other => panic!("a test with {other}"),
        };
        Tensor::new(&spec.name, shape, data).unwrap()
    });
    Inputs::new(tensors.collect()).unwrap()
}

fn assert_same(model: &ModelProto, batches: impl IntoIterator<Item = u64>) {
    let (planned, plain) = (planned(model), load(&onnx::bytes(model)));
    assert_eq!(planned.signature(), plain.signature());
    for rows in batches {
        let given = inputs(&*plain, rows);
        let expected = plain.infer(given.clone()).unwrap();
        let found = planned.infer(given).unwrap();
        assert_eq!(found.batch(), expected.batch());
        for (found, expected) in found.tensors().iter().zip(expected.tensors()) {
            assert_eq!((found.name(), found.shape()), (expected.name(), expected.shape()));
            let (TensorData::Fp32(found), TensorData::Fp32(expected)) =
                (found.data(), expected.data())
            else {
                assert_eq!(found.data(), expected.data());
                continue;
            };
            for (found, expected) in found.iter().zip(expected) {
                let near = (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
                assert!(near, "batch {rows}: {found} is not {expected}");
            }
        }
    }
}

#[test]
fn every_batch_from_1_to_64_is_answered_as_by_the_file() {
    assert_same(&onnx::mlp(Named("N")), 1..=64);
    assert_same(&onnx::lookup(Named("N"), Named("N")), 1..=64);
    assert_same(&onnx::convolution(Named("N")), 1..=64);
}

#[test]
fn fixed_shapes_and_bare_inputs_are_answered() {
    assert_same(&onnx::fixed(), [2]);
    assert_same(&onnx::identity(Element::Float, &[Named("N"), Is(3)]), [1, 7]);
}

#[test]
fn functions_of_elements_are_answered() {
    let functions = [
        "Abs",
        "Ceil",
        "Cos",
        "Exp",
        "Floor",
        "Neg",
        "Reciprocal",
        "Sigmoid",
        "Sign",
        "Sin",
        "Tanh",
    ];
    for function in functions {
        let model = onnx::model(
            vec![onnx::value("x", Element::Float, &[Named("N"), Is(3)])],
            vec![],
            vec![onnx::node(function, &["x"], "y", vec![])],
            vec![onnx::value("y", Element::Float, &[Named("N"), Is(3)])],
        );
        assert_same(&model, [1, 5]);
    }
}

#[test]
fn sums_products_and_softmax_over_every_axis_are_answered() {
    for axis in 0..3 {
        let model = onnx::model(
            vec![onnx::value("x", Element::Float, &[Named("N"), Is(4), Is(3)])],
            vec![onnx::floats("scale", &[4, 1], &[0.5, -1.0, 2.0, 0.25])],
            vec![
                onnx::node("Mul", &["x", "scale"], "scaled", vec![]),
                onnx::node("Softmax", &["scaled"], "soft", vec![onnx::int("axis", axis)]),
                onnx::node("ReduceMax", &["x"], "max", vec![onnx::ints("axes", &[axis])]),
                onnx::node("Sub", &["soft", "max"], "y", vec![]),
            ],
            vec![onnx::value("y", Element::Float, &[Named("N"), Is(4), Is(3)])],
        );
        assert_same(&model, [1, 2, 9]);
    }
}

#[test]
fn products_of_computed_tensors_are_answered() {
    let model = onnx::model(
        vec![
            onnx::value("x", Element::Float, &[Named("N"), Is(4), Is(3)]),
            onnx::value("y", Element::Float, &[Named("N"), Is(5), Is(3)]),
        ],
        vec![],
        vec![
            onnx::node("Transpose", &["y"], "yt", vec![onnx::ints("perm", &[0, 2, 1])]),
            onnx::node("MatMul", &["x", "yt"], "z", vec![]),
        ],
        vec![onnx::value("z", Element::Float, &[Named("N"), Is(4), Is(5)])],
    );
    assert_same(&model, [1, 2, 17]);
}

#[test]
fn a_model_without_a_plan_runs_from_its_package_all_the_same() {
    // No step for string outputs.
    let model = onnx::identity(Element::String, &[Named("N")]);
    let packed = pack(&onnx::bytes(&model), &Pack::default()).unwrap();
    let Path::Tract { because } = &packed.path else { panic!("{:?}", packed.path) };
    assert!(because.contains("text"), "{because}");
    let text = TensorData::Bytes(vec![b"a".to_vec(), b"b".to_vec()]);
    let given = Tensor::new("x", vec![2], text.clone()).unwrap();
    let answer = load(&packed.bytes).infer(Inputs::new(vec![given]).unwrap()).unwrap();
    assert_eq!(answer.tensors()[0].data(), &text);
}

#[test]
fn narrow_weights_are_packed_where_answers_stay_near_and_refused_where_not() {
    // Thirds are no 16-bit floats.
    let weights: Vec<f32> = some(7, 8 * 5).iter().map(|it| it / 3.0).collect();
    let onnx = onnx::bytes(&onnx::model(
        vec![onnx::value("x", Element::Float, &[Named("N"), Is(8)])],
        vec![onnx::floats("w", &[8, 5], &weights)],
        vec![onnx::node("MatMul", &["x", "w"], "y", vec![])],
        vec![onnx::value("y", Element::Float, &[Named("N"), Is(5)])],
    ));
    let narrow = |weights, largest_deviation| {
        pack(&onnx, &Pack { weights, largest_deviation, ..Pack::default() })
    };
    for (weights, near) in [(WeightKind::F16, 1e-3), (WeightKind::I8, 2e-2)] {
        let packed = narrow(weights, near).unwrap();
        let deviation = packed.deviation.unwrap();
        assert!(deviation.largest > 0.0 && deviation.largest <= near, "{deviation:?}");
        assert!(deviation.mean <= deviation.largest && deviation.numbers > 0);
        let refused = narrow(weights, deviation.largest / 2.0).unwrap_err();
        assert!(matches!(refused, inference::PackError::Deviates { .. }), "{refused}");
        let (wide, narrow) = (load(&onnx), load(&packed.bytes));
        let given = inputs(&*wide, 33);
        let (wide, narrow) = (wide.infer(given.clone()).unwrap(), narrow.infer(given).unwrap());
        let (TensorData::Fp32(wide), TensorData::Fp32(narrow)) =
            (wide.tensors()[0].data(), narrow.tensors()[0].data())
        else {
            panic!("expected FP32");
        };
        for (wide, narrow) in wide.iter().zip(narrow) {
            assert!((wide - narrow).abs() <= 0.5, "{narrow} is not near {wide}");
        }
    }
}

#[test]
fn a_package_gives_its_source_back_and_names_it() {
    let bytes = onnx::bytes(&onnx::mlp(Named("N")));
    let packed = pack(&bytes, &Pack::default()).unwrap();
    let package = Package::open(Mapped::copied(&packed.bytes).unwrap()).unwrap();
    package.verify().unwrap();
    assert_eq!(package.section(SectionKind::Source), Some(&*bytes));
    assert_eq!(package.header().source, *tenancy::Digest::of(&bytes).as_bytes());
    assert_eq!(
        pack(&bytes, &Pack::default()).unwrap().bytes,
        packed.bytes,
        "packing is not repeatable"
    );
    let bare = pack(&bytes, &Pack { with_source: false, ..Pack::default() }).unwrap();
    assert!(bare.bytes.len() < packed.bytes.len());
    load(&bare.bytes);
}

/// Packages of earlier releases are mapped as they are, and these map what is packed now.
#[test]
fn plans_lie_in_packages_as_in_those_of_version_1() {
    for (model, expected) in [
        (tuned::mlp(0), "d89c8f49dae730b976ce6e561de70fafa2de00ef63d193fa1ad5ba44926a0cff"),
        (tuned::lookup(0), "58f36c0f4a7181609e6505db0412e9b6c221be7e5d607e3dc7d989dbfc55a11d"),
        (tuned::attention(0), "b534f0b44807cfab1d7bf6b855cc5eb9d78acf75e64e4ebaa00cf5d83c779f11"),
    ] {
        let packed = pack(&onnx::bytes(&model), &Pack::default()).unwrap();
        let package = Package::open(Mapped::copied(&packed.bytes).unwrap()).unwrap();
        let found = tenancy::Digest::of(package.section(SectionKind::Plan).unwrap());
        assert_eq!(found.to_string(), format!("sha256:{expected}"));
    }
}

#[test]
fn an_idle_model_takes_little_memory_of_its_own() {
    let model = planned(&onnx::mlp(Named("N")));
    assert!(model.private_bytes() <= 8 << 10, "{} bytes", model.private_bytes());
}

#[test]
fn what_does_not_fit_the_signature_is_refused_as_by_the_file() {
    let model = onnx::lookup(Named("N"), Named("N"));
    let (planned, plain) = (planned(&model), load(&onnx::bytes(&model)));
    let carriers = |rows: u64| {
        Tensor::new("carrier", vec![rows], TensorData::Int64(vec![1; rows as usize])).unwrap()
    };
    let distances = |rows: u64| {
        Tensor::new("distance", vec![rows, 1], TensorData::Fp32(vec![1.0; rows as usize])).unwrap()
    };
    for tensors in [
        vec![carriers(2)],
        vec![carriers(2), distances(3)],
        vec![carriers(2000), distances(2000)],
        vec![distances(1), distances(1)],
    ] {
        let refusal = |model: &dyn Model| {
            Inputs::new(tensors.clone()).and_then(|it| model.infer(it)).unwrap_err()
        };
        assert_eq!(refusal(&*planned), refusal(&*plain));
    }
    // A category that the table has not is the model's failure, not the process's.
    let wild = Tensor::new("carrier", vec![1], TensorData::Int64(vec![99])).unwrap();
    let failure = planned.infer(Inputs::new(vec![wild, distances(1)]).unwrap()).unwrap_err();
    assert!(failure.to_string().contains("99"), "{failure}");
}

#[test]
fn what_a_package_says_that_it_was_trained_on_is_in_the_metadata_of_its_model() {
    for model in [onnx::mlp(Named("N")), onnx::identity(Element::String, &[Named("N")])] {
        let trained_on = vec!["org_aa".to_owned(), "org_dl".to_owned()];
        let identity = Identity { trained_on, ..Identity::default() };
        let packed = pack(&onnx::bytes(&model), &Pack { identity, ..Pack::default() }).unwrap();
        let metadata = &load(&packed.bytes).signature().metadata.clone();
        assert_eq!(metadata["trained_on"], "org_aa,org_dl");
    }
}

#[test]
fn a_package_with_a_base_is_refused() {
    let bytes = onnx::bytes(&onnx::mlp(Named("N")));
    let header = artifact::Header { base: Some([7; 32]), ..artifact::Header::default() };
    let mut builder = artifact::PackageBuilder::new(header);
    builder.section(SectionKind::Source, "onnx", bytes);
    let file = Mapped::copied(&builder.finish().unwrap()).unwrap();
    let refused = CpuBackend::default().load(&file).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("base"), "{refused}");
}

/// A package whose sections are changed while its header is right, as whoever packs can make it.
fn hostile(model: &ModelProto, lanes: usize, changes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let options = Pack { lanes: vec![lanes], ..Pack::default() };
    let mut bytes = pack(&onnx::bytes(model), &options).unwrap().bytes;
    let package = Package::open(Mapped::copied(&bytes).unwrap()).unwrap();
    let plan = package.header().sections.iter().find(|it| it.kind() == Some(SectionKind::Plan));
    let plan = plan.unwrap();
    let (start, length) = (plan.offset.to_native() as usize, plan.length.to_native() as usize);
    for (at, value) in changes {
        bytes[start + at.index(length)] = *value;
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A plan is data from outside: whatever it says, it is refused, fails, or answers something.
    #[test]
    fn a_hostile_plan_ends_nothing_but_itself(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        which in 0..3,
        // Panels that are read where they are, and such as are packed again.
        lanes in prop::sample::select(vec![kernels::lanes(), kernels::lanes() / 2]),
    ) {
        let model = match which {
            0 => onnx::mlp(Named("N")),
            1 => onnx::convolution(Named("N")),
            _ => onnx::lookup(Named("N"), Named("N")),
        };
        let limits = Limits { max_tensor_bytes: 1 << 20, ..Limits::default() };
        let bytes = hostile(&model, lanes, &changes);
        if let Ok(model) = CpuBackend::new(limits).load(&Mapped::copied(&bytes).unwrap()) {
            let _ = model.infer(inputs(&*model, 3));
        }
    }
}

#[test]
fn a_package_has_panels_for_each_kind_of_node_and_each_runs_its_own_from_the_file() {
    let model = onnx::bytes(&onnx::mlp(Named("N")));
    let with = |lanes: &[usize]| {
        let options = Pack { lanes: lanes.to_vec(), ..Pack::default() };
        load(&pack(&model, &options).unwrap().bytes)
    };
    let own = kernels::lanes();
    let (one, both, foreign) = (with(&[own]), with(&[own / 2, own]), with(&[own / 2]));
    let answer = |model: &Arc<dyn Model>| model.infer(inputs(&**model, 7)).unwrap().into_tensors();
    assert_eq!(answer(&one), answer(&both));
    assert_eq!(answer(&one), answer(&foreign));
    // Panels that no kernel here reads are packed again, here into memory: there is no other place.
    assert_eq!(one.private_bytes(), both.private_bytes());
    assert!(foreign.private_bytes() > one.private_bytes());
}

#[test]
fn idle_cores_help_and_change_no_bit() {
    let weights: Vec<f32> = (0..1024 * 2048).map(|at| (at % 23) as f32 * 0.01 - 0.1).collect();
    let model = onnx::model(
        vec![onnx::value("x", Element::Float, &[Named("N"), Is(1024)])],
        vec![onnx::floats("w", &[1024, 2048], &weights)],
        vec![onnx::node("MatMul", &["x", "w"], "y", vec![])],
        vec![onnx::value("y", Element::Float, &[Named("N"), Is(2048)])],
    );
    let bytes = pack(&onnx::bytes(&model), &Pack::default()).unwrap().bytes;
    let on = |cores| {
        let backend = CpuBackend::with_cores(Limits::default(), cores);
        backend.load(&Mapped::copied(&bytes).unwrap()).unwrap()
    };
    let (alone, helped) = (on(1), on(4));
    for rows in [1, 2, 33, 64] {
        let given = inputs(&*alone, rows);
        let expected = alone.infer(given.clone()).unwrap();
        assert!(helped.infer(given).unwrap().tensors() == expected.tensors(), "{rows} rows");
    }
}

#[test]
fn a_package_says_how_it_runs_and_why() {
    let said = |model: &ModelProto| {
        let packed = pack(&onnx::bytes(model), &Pack::default()).unwrap();
        let package = Package::open(Mapped::copied(&packed.bytes).unwrap()).unwrap();
        let notes = package.sections(SectionKind::Notes).find(|(key, _)| *key == RUNS).unwrap();
        let said = String::from_utf8(notes.1.to_vec()).unwrap();
        assert_eq!(said, packed.path.to_string());
        said
    };
    assert!(said(&onnx::mlp(Named("N"))).starts_with("from the package: "));
    assert!(said(&onnx::convolution(Named("N"))).starts_with("from the package: "));
    let by_tract = said(&onnx::largest(Named("N")));
    assert!(by_tract.starts_with("by tract") && by_tract.contains("Topk"), "{by_tract}");
}
