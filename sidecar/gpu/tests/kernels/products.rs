//! Products.

use inference::{
    TensorData,
    plan::{Binary, Kind, Step, Unary, WeightKind},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use shaders::{Group, Limits, Part};

use crate::{
    bare::{Bare, Laid},
    case::{Batch, Case, Is},
    compare::{assert_near, near, plain},
    llvmpipe::device,
};

fn product(
    size: [usize; 2],
    [batch, each]: [i64; 2],
    element: WeightKind,
    has_bias: bool,
    relu: bool,
) {
    let Some(device) = device() else { return };
    let [inner, columns] = size;
    let mut case = Case::new();
    let bias = has_bias.then(|| plain(9, columns));
    let matrix = case.matrix(size, element, plain(inner, inner * columns), bias);
    let input = case.input(Kind::F32, &[Batch, Is(each), Is(inner as i64)]);
    let output = case.slot(Kind::F32, &[Batch, Is(each), Is(columns as i64)]);
    case.step(Step::Product { input, matrix, output, relu });
    case.answer(output);
    let data = plain(columns, inner * (batch * each) as usize);
    let answers = case.both(device, &case.request(batch, vec![TensorData::Fp32(data)]));
    let what =
        format!("{batch} x {each} x {inner} x {columns} {element:?} bias {has_bias} relu {relu}");
    assert_near(&answers, 1e-5 * (1.0 + inner as f32).sqrt(), &what);
}

#[test]
fn products_are_the_cpus_whatever_their_size() {
    let strategy =
        (1_usize..140, 1_usize..140, 1_i64..140, 0_usize..3, any::<bool>(), any::<bool>());
    let mut runner =
        TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let elements = [WeightKind::F32, WeightKind::F16, WeightKind::I8];
    runner
        .run(&strategy, |(inner, columns, batch, element, has_bias, relu)| {
            product([inner, columns], [batch, 1], elements[element], has_bias, relu);
            Ok(())
        })
        .unwrap();
}

#[test]
fn products_of_every_tile_are_the_cpus() {
    for batch in 1..=9 {
        product([300, 70], [batch, 1], WeightKind::F32, true, false);
    }
    // Tiles of 32, 64 and 128 rows.
    product([65, 100], [4, 10], WeightKind::F32, true, false);
    product([33, 520], [52, 10], WeightKind::F32, true, true);
    product([17, 1040], [103, 10], WeightKind::F32, false, false);
    product([18, 1040], [103, 10], WeightKind::F16, true, false);
    product([20, 1040], [103, 10], WeightKind::I8, true, false);
}

#[test]
fn few_rows_are_multiplied_alike_whether_or_not_invocations_share_a_sum() {
    let Some(bare) = Bare::get() else { return };
    let elements = [WeightKind::F32, WeightKind::F16, WeightKind::I8];
    for (element, inner) in elements.into_iter().flat_map(|it| [(it, 40), (it, 300)]) {
        let mut case = Case::new();
        let bias = Some(plain(9, 53));
        let matrix = case.matrix([inner, 53], element, plain(inner, inner * 53), bias);
        let input = case.input(Kind::F32, &[Batch, Is(inner as i64)]);
        let output = case.slot(Kind::F32, &[Batch, Is(53)]);
        case.step(Step::Product { input, matrix, output, relu: false });
        case.plan.outputs.push(output);
        for rows in [1, 3, 8] {
            let (mut laid, slab) = Laid::new(&case, i64::from(rows));
            laid.write(input, &plain(7, rows as usize * inner));
            let part = [Part { rows, ..Part::default() }];
            let [alone, shared] = [8, 32].map(|subgroup_size| {
                let limits = Limits { subgroup_size, ..bare.limits };
                let words = slab.len() as u64;
                let dispatches = laid.dispatches(&[Group::single(0)], &part, words, &limits);
                let after = bare.run(&dispatches.unwrap(), &laid.arena, &slab);
                laid.read(&after, &[output], output)
            });
            for (alone, shared) in alone.iter().zip(&shared) {
                assert!(
                    near(*alone, *shared, 1e-4),
                    "{element:?} {inner} {rows}: {alone} {shared}"
                );
            }
        }
    }
}

#[test]
fn what_follows_a_product_is_computed_with_it() {
    let Some(device) = device() else { return };
    for batch in [1, 3, 50] {
        let mut case = Case::new();
        let matrix = case.matrix([30, 20], WeightKind::F32, plain(1, 600), Some(plain(2, 20)));
        let input = case.input(Kind::F32, &[Batch, Is(30)]);
        let beside = case.input(Kind::F32, &[Batch, Is(20)]);
        let shape = [Batch, Is(20)];
        let fixed = case.constant(Kind::F32, &[1, 20], &TensorData::Fp32(plain(3, 20)));
        let slots: Vec<u32> = (0..5).map(|_| case.slot(Kind::F32, &shape)).collect();
        case.step(Step::Product { input, matrix, output: slots[0], relu: false });
        case.step(Step::Binary { op: Binary::Mul, left: slots[0], right: fixed, output: slots[1] });
        case.step(Step::Unary { op: Unary::Sigmoid, input: slots[1], output: slots[2] });
        case.step(Step::Binary {
            op: Binary::Mul,
            left: slots[1],
            right: slots[2],
            output: slots[3],
        });
        case.step(Step::Binary {
            op: Binary::Add,
            left: beside,
            right: slots[3],
            output: slots[4],
        });
        case.answer(slots[4]);
        let data = [30, 20].map(|width| TensorData::Fp32(plain(width, width * batch as usize)));
        assert_near(
            &case.both(device, &case.request(batch, data.to_vec())),
            1e-5,
            &format!("{batch}"),
        );
    }
}

#[test]
fn products_of_two_tensors_are_the_cpus() {
    let Some(device) = device() else { return };
    let strategy = (1_i64..4, 1_i64..70, 1_i64..70, 1_i64..70, any::<bool>());
    let mut runner =
        TestRunner::new(Config { cases: 30, failure_persistence: None, ..Config::default() });
    let check = |batch: i64, rows: i64, inner: i64, columns: i64, transposed: bool| {
        let mut case = Case::new();
        let left = case.input(Kind::F32, &[Batch, Is(rows), Is(inner)]);
        let shape = if transposed {
            [Batch, Is(columns), Is(inner)]
        } else {
            [Batch, Is(inner), Is(columns)]
        };
        let right = case.input(Kind::F32, &shape);
        let output = case.slot(Kind::F32, &[Batch, Is(rows), Is(columns)]);
        let dimensions = [Batch, Is(rows), Is(inner), Is(columns)].map(|it| case.dimension(it));
        case.step(Step::MatMul { left, right, output, dimensions, transposed });
        case.answer(output);
        let data = [rows, columns]
            .map(|it| TensorData::Fp32(plain(it as usize, (batch * it * inner) as usize)));
        let what = format!("{batch} x {rows} x {inner} x {columns} {transposed}");
        assert_near(&case.both(device, &case.request(batch, data.to_vec())), 1e-4, &what);
    };
    runner
        .run(&strategy, |(batch, rows, inner, columns, transposed)| {
            check(batch, rows, inner, columns, transposed);
            Ok(())
        })
        .unwrap();
    for transposed in [false, true] {
        check(8, 200, 30, 300, transposed);
        check(2, 1000, 18, 1000, transposed);
    }
}
