//! Steps that run as one compute what they compute one after another, whatever slots they share.

use inference::plan::{Binary, Kind, Step, Unary};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use shaders::{Group, Part};

use crate::{
    bare::{Bare, Laid},
    case::{Batch, Case, Is},
    compare::plain,
};

const SLOTS: u32 = 4;

/// A plan of steps over few slots; a step writes no slot that it reads. What each slot holds at the end
/// is answered where `answers` says so. Gives its inputs, of 5 and of 3 · 5 numbers a row, too.
fn plan(steps: &[(u8, u8, u8, u8)], answers: u8) -> (Case, [u32; 2], Vec<u32>) {
    let mut case = Case::new();
    let shapes = [[Batch, Is(5)], [Is(1), Is(5)]];
    let input = case.input(Kind::F32, &shapes[0]);
    let wide = case.input(Kind::F32, &[Batch, Is(3), Is(5)]);
    let starts: Vec<u32> = (0..3).map(|at| case.dimension(Is(at))).collect();
    let row = case.constant(Kind::F32, &[1, 5], &inference::TensorData::Fp32(plain(2, 5)));
    case.plan.slots = SLOTS;
    // What can be read: the value, its shape, and its slot.
    let mut there: Vec<(u32, usize, Option<u32>)> = vec![(input, 0, None), (row, 1, None)];
    for (op, left, right, slot) in steps {
        let left = there[*left as usize % there.len()];
        let right = there[*right as usize % there.len()];
        let is_binary = op % 4 == 1 || op % 4 == 2;
        if op % 4 == 3 {
            // A piece of the wide one, or a row for all, or all as it is.
            let is_wide = right.1 == 0;
            let (from, axes, starts) = match (is_wide, left.1) {
                (true, _) => {
                    (wide, vec![0, 2], vec![starts[0], starts[*slot as usize % 3], starts[0]])
                }
                (false, 1) => (left.0, vec![2, 1], vec![]),
                _ => (left.0, vec![0, 1], vec![]),
            };
            let read = if is_wide { None } else { left.2 };
            let slot =
                (0..SLOTS).filter(|it| read != Some(*it)).cycle().nth(*slot as usize % 7).unwrap();
            let output = case.in_slot(Kind::F32, &shapes[0], slot);
            case.step(Step::Move { input: from, output, axes, starts });
            there.retain(|(_, _, it)| *it != Some(slot));
            there.push((output, 0, Some(slot)));
            continue;
        }
        let reads = [left.2, right.2.filter(|_| is_binary)];
        let free = (0..SLOTS).filter(|it| !reads.contains(&Some(*it)));
        let slot = free.cycle().nth(*slot as usize % 7).unwrap();
        // Both of them a row gives a row.
        let shape = if is_binary { left.1.min(right.1) } else { left.1 };
        let output = case.in_slot(Kind::F32, &shapes[shape], slot);
        case.step(if is_binary {
            let op = [Binary::Add, Binary::Max, Binary::Sub][*op as usize / 4 % 3];
            Step::Binary { op, left: left.0, right: right.0, output }
        } else {
            let op = if op / 4 % 2 == 0 { Unary::Neg } else { Unary::Abs };
            Step::Unary { op, input: left.0, output }
        });
        there.retain(|(_, _, it)| *it != Some(slot));
        there.push((output, shape, Some(slot)));
    }
    let answered =
        there.iter().filter(|(_, _, slot)| slot.is_some_and(|it| answers >> it & 1 == 1));
    let mut answered: Vec<u32> = answered.map(|(value, ..)| *value).collect();
    answered.extend(there.last().map(|(value, ..)| *value));
    case.plan.outputs.clone_from(&answered);
    (case, [input, wide], answered)
}

#[test]
fn fused_steps_compute_what_they_do_one_after_another() {
    let Some(bare) = Bare::get() else { return };
    let strategy = (prop::collection::vec(any::<(u8, u8, u8, u8)>(), 1..14), any::<u8>());
    let config = Config { cases: 60, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&strategy, |(steps, answers)| {
        let (case, [input, wide], answered) = plan(&steps, answers);
        let (mut laid, slab) = Laid::new(&case, 3);
        laid.write(input, &plain(5, 15));
        laid.write(wide, &plain(6, 45));
        let apart: Vec<Group> = (0..steps.len()).map(Group::single).collect();
        let parts = [Part { rows: 3, ..Part::default() }];
        let found = [shaders::fuse(laid.plan(), |_| true), apart].map(|groups| {
            let dispatches =
                laid.dispatches(&groups, &parts, slab.len() as u64, &bare.limits).unwrap();
            let after = bare.run(&dispatches, &laid.arena, &slab);
            // A zero may have another sign where compilers see more at once.
            let number = |it: &u32| f32::from_bits(*it) + 0.0;
            let values = answered.iter().flat_map(|it| laid.words(&after, *it));
            values.map(number).collect::<Vec<f32>>()
        });
        prop_assert_eq!(&found[0], &found[1]);
        Ok(())
    });
    result.unwrap();
}
