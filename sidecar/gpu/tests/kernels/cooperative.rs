//! Products by cooperative matrices, where a device has them. Mesa's llvmpipe has since its release 26.

use gpu::Settings;
use half::f16;
use inference::{
    TensorData,
    plan::{Kind, Step, WeightKind},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::{
    case::{Batch, Case, Is},
    compare::{assert_near, plain},
    llvmpipe::{Own, open, settings},
};

fn device() -> Option<Own> {
    let device = open(Settings { cooperative_matrices: true, ..settings() })?;
    if !device.adapter().has_cooperative_matrices {
        eprintln!("SKIPPED: {} has no cooperative matrices", device.adapter());
        return None;
    }
    Some(device)
}

fn product([inner, columns]: [usize; 2], weights: Vec<f32>, has_bias: bool, relu: bool) -> Case {
    let mut case = Case::new();
    let bias = has_bias.then(|| plain(9, columns));
    let matrix = case.matrix([inner, columns], WeightKind::F16, weights, bias);
    let input = case.input(Kind::F32, &[Batch, Is(inner as i64)]);
    let output = case.slot(Kind::F32, &[Batch, Is(columns as i64)]);
    case.step(Step::Product { input, matrix, output, relu });
    case.answer(output);
    case
}

#[test]
fn products_are_the_cpus_of_rows_rounded_to_16_bits() {
    let Some(device) = device() else { return };
    let sizes = (1_usize..200, 1_usize..200, 9_i64..200, any::<bool>(), any::<bool>());
    let mut runner =
        TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    let check = |inner: usize, columns: usize, batch: i64, has_bias: bool, relu: bool| {
        let weights = plain(inner, inner * columns);
        let case = product([inner, columns], weights, has_bias, relu);
        let given = plain(columns, inner * batch as usize);
        let rounded: Vec<f32> = given.iter().map(|it| f16::from_f32(*it).to_f32()).collect();
        let [given, rounded] = [given, rounded]
            .map(|data| case.both(&device, &case.request(batch, vec![TensorData::Fp32(data)])));
        let what = format!("{batch} x {inner} x {columns} bias {has_bias} relu {relu}");
        let tolerance = 1e-5 * (1.0 + inner as f32).sqrt();
        assert_near(&rounded, tolerance, &what);
        // No other kernel rounds.
        assert_eq!(given[1].tensors(), rounded[1].tensors(), "{what}");
    };
    runner
        .run(&sizes, |(inner, columns, batch, has_bias, relu)| {
            check(inner, columns, batch, has_bias, relu);
            Ok(())
        })
        .unwrap();
    check(16, 64, 64, true, false);
    check(300, 520, 260, true, true);
}

#[test]
fn what_is_beyond_16_bits_becomes_infinite() {
    let Some(device) = device() else { return };
    let case = product([1, 16], vec![1.0; 16], false, false);
    let given = [65_504.0, 1e6, -1e6, f32::INFINITY, f32::NAN, 1.0, 0.0, -0.0, 1e-9];
    let request = case.request(9, vec![TensorData::Fp32(given.to_vec())]);
    let [_, found] = case.both(&device, &request);
    let TensorData::Fp32(found) = found.tensors()[0].data() else { panic!("no floats") };
    let firsts: Vec<f32> = found.chunks(16).map(|row| row[0]).collect();
    let infinite = f32::INFINITY;
    assert_eq!(firsts[..4], [65_504.0, infinite, -infinite, infinite]);
    assert!(firsts[4].is_nan());
    assert_eq!(firsts[5..], [1.0, 0.0, 0.0, 0.0]);
}
