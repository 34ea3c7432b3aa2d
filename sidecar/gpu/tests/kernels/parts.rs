//! Rows of several models in one run, and weights that are not bound at once.

use inference::{
    TensorData,
    plan::{Binary, Kind, Step, WeightKind},
};
use shaders::{Delta, Group, Limits, Part, Replaced, Weight};

use crate::{
    bare::{Bare, Laid},
    case::{Batch, Case, Is},
    compare::{near, plain},
};

const INNER: usize = 37;
const COLUMNS: usize = 53;
/// Rows of the product for each of the batch.
const EACH: usize = 3;

/// A product, a constant of numbers added to it, and what comes out. The seed is the model's.
fn model(seed: usize, element: WeightKind) -> (Case, [u32; 2]) {
    let mut case = Case::new();
    let bias = Some(plain(seed + 100, COLUMNS));
    let matrix = case.matrix([INNER, COLUMNS], element, plain(seed, INNER * COLUMNS), bias);
    let input = case.input(Kind::F32, &[Batch, Is(EACH as i64), Is(INNER as i64)]);
    let shape = [Batch, Is(EACH as i64), Is(COLUMNS as i64)];
    let (product, output) = (case.slot(Kind::F32, &shape), case.slot(Kind::F32, &shape));
    let added = TensorData::Fp32(plain(seed + 50, COLUMNS));
    let added = case.constant(Kind::F32, &[1, 1, COLUMNS as i64], &added);
    case.step(Step::Product { input, matrix, output: product, relu: true });
    case.step(Step::Binary { op: Binary::Add, left: product, right: added, output });
    case.plan.outputs.push(output);
    (case, [input, output])
}

/// What a model answers, computed plainly. `delta` is added to its weights and its bias.
fn answer(
    seed: usize,
    input: &[f32],
    delta: Option<&(Vec<f32>, Vec<f32>)>,
    added: &[f32],
) -> Vec<f32> {
    let (weights, bias) = (plain(seed, INNER * COLUMNS), plain(seed + 100, COLUMNS));
    let mut output = vec![];
    for row in input.chunks_exact(INNER) {
        for column in 0..COLUMNS {
            let more = |at: usize| delta.map_or(0.0, |(weights, _)| weights[at * COLUMNS + column]);
            let sum: f64 = (0..INNER)
                .map(|at| f64::from(row[at]) * f64::from(weights[at * COLUMNS + column] + more(at)))
                .sum();
            let bias = bias[column] + delta.map_or(0.0, |(_, bias)| bias[column]);
            output.push((sum as f32 + bias).max(0.0) + added[column]);
        }
    }
    output
}

fn assert_all_near(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(near(*found, *expected, 1e-4), "{what}: {at}: found {found}, expected {expected}");
    }
}

fn both_ways() -> [Vec<Group>; 2] {
    let (case, _) = model(0, WeightKind::F32);
    let (laid, _) = Laid::new(&case, 1);
    let fused = shaders::fuse(laid.plan(), |_| true);
    assert_eq!(fused.len(), 1);
    [fused, vec![Group::single(0), Group::single(1)]]
}

#[test]
fn rows_of_several_models_are_each_multiplied_with_their_own_weights() {
    let Some(bare) = Bare::get() else { return };
    for groups in both_ways() {
        for rows in [[1, 1, 1], [2, 0, 1], [20, 3, 30], [1, 40, 2]] {
            let batch: u32 = rows.iter().sum();
            let (case, [input, output]) = model(0, WeightKind::F32);
            let (mut laid, _) = Laid::new(&case, i64::from(batch));
            let slots: Vec<Vec<u32>> =
                (0..3).map(|seed| Laid::new(&model(seed, WeightKind::F32).0, 1).1).collect();
            let slot_words = slots[0].len() as u64;
            let slab = slots.concat();
            let parts = rows.iter().zip(0..).map(|(rows, at)| Part {
                rows: *rows,
                slot: at * slot_words,
                ..Part::default()
            });
            let parts: Vec<Part<'_>> = parts.collect();
            let numbers = plain(7, batch as usize * EACH * INNER);
            laid.write(input, &numbers);
            let mut expected = vec![];
            let mut first = 0;
            for (seed, rows) in rows.iter().enumerate() {
                let end = first + *rows as usize * EACH * INNER;
                expected.extend(answer(
                    seed,
                    &numbers[first..end],
                    None,
                    &plain(seed + 50, COLUMNS),
                ));
                first = end;
            }
            // With a binding for all, and with one that holds no more than a model; with subgroups as
            // those of graphics cards, and as those of devices that compute on the CPU.
            let bindings = [bare.limits.binding_bytes, slot_words * 4];
            for (binding_bytes, subgroup_size) in
                bindings.into_iter().flat_map(|it| [(it, 32), (it, 8)])
            {
                let limits = Limits { binding_bytes, subgroup_size, ..bare.limits };
                let dispatches = laid.dispatches(&groups, &parts, slab.len() as u64, &limits);
                let dispatches = match dispatches {
                    // A constant of each model is not split.
                    Err(_) if binding_bytes < bare.limits.binding_bytes => continue,
                    found => found.unwrap(),
                };
                let after = bare.run(&dispatches, &laid.arena, &slab);
                let found = laid.read(&after, &[output, output - 1], output);
                assert_all_near(&found, &expected, &format!("{rows:?} {binding_bytes}"));
            }
        }
    }
}

#[test]
fn what_models_add_to_a_base_is_added_to_their_rows() {
    let Some(bare) = Bare::get() else { return };
    for groups in both_ways() {
        for ranks in [[0, 1, 5], [16, 17, 40]] {
            let rows = [2_u32, 3, 1, 2];
            let batch: u32 = rows.iter().sum();
            let (case, [input, output]) = model(0, WeightKind::F32);
            let (mut laid, mut slab) = Laid::new(&case, i64::from(batch));
            let numbers = plain(7, batch as usize * EACH * INNER);
            laid.write(input, &numbers);
            let mut put = |numbers: &[f32]| {
                let start = slab.len() as u64;
                slab.extend(numbers.iter().map(|it| it.to_bits()));
                slab.resize(slab.len().next_multiple_of(16), 0);
                start
            };
            // The first three add something, the last has a constant of its own.
            let (mut deltas, mut sums) = (vec![], vec![]);
            for (at, rank) in ranks.into_iter().enumerate() {
                let (down, up) = (plain(at + 1, rank * INNER), plain(at + 2, rank * COLUMNS));
                let bias = if at == 1 { vec![0.0; COLUMNS] } else { plain(at + 3, COLUMNS) };
                let sum = (0..INNER * COLUMNS).map(|it| {
                    let (k, column) = (it / COLUMNS, it % COLUMNS);
                    (0..rank).map(|r| down[r * INNER + k] * up[r * COLUMNS + column]).sum::<f32>()
                });
                sums.push((sum.collect::<Vec<f32>>(), bias.clone()));
                let (down, up) = (put(&down), put(&up));
                let bias = (at != 1).then(|| put(&bias));
                deltas.push([Delta { matrix: 0, rank: rank as u32, down, up, bias }]);
            }
            let own = plain(77, COLUMNS);
            let replaced = [Replaced { weight: Weight::Constant(0), word: put(&own) }];
            slab.resize(slab.len().next_multiple_of(64), 0);
            let mut parts: Vec<Part<'_>> =
                rows.iter().map(|rows| Part { rows: *rows, ..Part::default() }).collect();
            for (part, delta) in parts.iter_mut().zip(&deltas) {
                part.deltas = delta;
            }
            parts[3].replaced = &replaced;
            let dispatches =
                laid.dispatches(&groups, &parts, slab.len() as u64, &bare.limits).unwrap();
            let after = bare.run(&dispatches, &laid.arena, &slab);
            let mut expected = vec![];
            let mut first = 0;
            for (at, rows) in rows.iter().enumerate() {
                let end = first + *rows as usize * EACH * INNER;
                let added = if at == 3 { own.clone() } else { plain(50, COLUMNS) };
                expected.extend(answer(0, &numbers[first..end], sums.get(at), &added));
                first = end;
            }
            let found = laid.read(&after, &[output, output - 1], output);
            assert_all_near(&found, &expected, &format!("{ranks:?}"));
        }
    }
}

#[test]
fn a_matrix_in_pieces_is_the_same_product() {
    let Some(bare) = Bare::get() else { return };
    for element in [WeightKind::F32, WeightKind::F16, WeightKind::I8] {
        for batch in [1, 15] {
            let (case, [input, output]) = model(3, element);
            let (mut laid, slab) = Laid::new(&case, batch);
            laid.write(input, &plain(7, batch as usize * EACH * INNER));
            let part = [Part { rows: batch as u32, ..Part::default() }];
            let whole = Limits { binding_bytes: slab.len() as u64 * 4, ..bare.limits };
            let narrow = Limits { binding_bytes: 3584, ..bare.limits };
            let answers = [whole, narrow].map(|limits| {
                let groups = [Group::single(0), Group::single(1)];
                let dispatches =
                    laid.dispatches(&groups, &part, slab.len() as u64, &limits).unwrap();
                let after = bare.run(&dispatches, &laid.arena, &slab);
                (dispatches.len(), laid.read(&after, &[output, output - 1], output))
            });
            assert_eq!(answers[0].0, 2);
            assert!(answers[1].0 > 2 || element == WeightKind::I8, "{element:?}");
            assert_eq!(answers[0].1, answers[1].1, "{element:?} {batch}");
        }
    }
}
