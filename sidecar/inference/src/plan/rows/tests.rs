use super::*;
use crate::plan::{
    Along, Binary, Dimension, Kind, Matrix, PLAN_VERSION, Place, Plan, Step, SymbolSource, Tap,
    Term, Unary, Value, WeightKind, Windowed,
};

const F: Kind = Kind::F32;
/// Dimensions of every plan here, by their places: those numbers, the batch, three for each row, and
/// the length of a sequence.
const BATCH: u32 = 6;
const THREE_EACH: u32 = 7;
const LENGTH: u32 = 8;
const BY_LENGTH: u32 = 9;

fn plan(values: &[(&[u32], Place)], steps: Vec<Step>, output: u32) -> Plan {
    let product = |a: Term, b: Term| Dimension { terms: vec![a, b, Term::Mul] };
    let symbol = |at| Dimension { terms: vec![Term::Symbol(at)] };
    let mut dimensions: Vec<Dimension> = (0..6).map(Dimension::fixed).collect();
    dimensions.extend([
        symbol(0),
        product(Term::Number(3), Term::Symbol(0)),
        symbol(1),
        product(Term::Symbol(1), Term::Symbol(0)),
    ]);
    let value =
        |(shape, place): &(&[u32], Place)| Value { kind: F, shape: shape.to_vec(), place: *place };
    Plan {
        version: PLAN_VERSION,
        symbols: vec![SymbolSource { input: 0, axis: 0 }, SymbolSource { input: 0, axis: 1 }],
        dimensions,
        values: values.iter().map(value).collect(),
        slots: values.len() as u32,
        matrices: vec![Matrix { inner: 4, columns: 5, has_bias: false, element: WeightKind::F32 }],
        layouts: vec![],
        steps,
        outputs: vec![output],
    }
}

fn found(plan: &Plan) -> Rows {
    let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(plan).unwrap();
    rows(rkyv::access::<ArchivedPlan, rkyv::rancor::Error>(&bytes).unwrap())
}

/// What one step does of an input of shape `from` to an output of shape `to`.
fn one(from: &[u32], to: &[u32], step: impl Fn(u32, u32) -> Step) -> Major {
    let plan = plan(&[(from, Place::Input(0)), (to, Place::Slot(0))], vec![step(0, 1)], 1);
    found(&plan).of(1)
}

fn moved(axes: &[u32], starts: &[u32]) -> impl Fn(u32, u32) -> Step {
    let (axes, starts) = (axes.to_vec(), starts.to_vec());
    move |input, output| Step::Move { input, output, axes: axes.clone(), starts: starts.clone() }
}

fn product(input: u32, output: u32) -> Step {
    Step::Product { input, matrix: 0, output, relu: true }
}

fn soft(axis: u32) -> impl Fn(u32, u32) -> Step {
    move |input, output| Step::Softmax { input, output, axis, axes: 1, log: false }
}

#[test]
fn rows_of_products_functions_and_norms_keep_to_themselves() {
    assert_eq!(one(&[BATCH, 4], &[BATCH, 5], product), Major::Batch);
    assert_eq!(one(&[BATCH, LENGTH, 4], &[BY_LENGTH, 5], product), Major::Batch);
    assert_eq!(one(&[BATCH, LENGTH, 4], &[BATCH, LENGTH, 4], soft(2)), Major::Batch);
    assert_eq!(one(&[BATCH, LENGTH, 4], &[BATCH, LENGTH, 4], soft(1)), Major::Batch);
    // Rows of a matrix that take a part of a row of the batch each do not come apart by rows.
    assert_eq!(one(&[BATCH, 3], &[BATCH, 5], product), Major::Mixed);
}

#[test]
fn a_softmax_or_a_reduction_over_the_batch_mixes_rows() {
    assert_eq!(one(&[BATCH, 4], &[BATCH, 4], soft(0)), Major::Mixed);
    let reduce = |axis, axes| {
        move |input, output| {
            let op = crate::plan::Reduction::Sum;
            Step::Reduce { op, input, output, axis, axes }
        }
    };
    assert_eq!(one(&[BATCH, 3, 4], &[BATCH, 1, 1], reduce(1, 2)), Major::Batch);
    assert_eq!(one(&[BATCH, 3, 4], &[1, 3, 4], reduce(0, 1)), Major::Mixed);
    assert_eq!(one(&[BATCH, 3, 4], &[1, 1, 4], reduce(0, 2)), Major::Mixed);
}

#[test]
fn a_move_keeps_rows_where_the_batch_stays_outermost() {
    let turned = [0, 2, 1];
    assert_eq!(one(&[BATCH, 3, 4], &[BATCH, 4, 3], moved(&turned, &[])), Major::Batch);
    assert_eq!(one(&[BATCH, 1, 4], &[1, BATCH, 4], moved(&[1, 0, 2], &[])), Major::Batch);
    assert_eq!(one(&[BATCH, 3, 4], &[3, BATCH, 4], moved(&[1, 0, 2], &[])), Major::Mixed);
    // Slices of a row, and of the batch, and one that says that it is inside and is not.
    assert_eq!(one(&[BATCH, 5], &[BATCH, 2], moved(&[0, 1], &[0, 3])), Major::Batch);
    assert_eq!(one(&[BATCH, 5], &[BATCH, 2], moved(&[0, 1], &[1, 3])), Major::Mixed);
    assert_eq!(one(&[BATCH, 5], &[BATCH, 3], moved(&[0, 1], &[0, 3])), Major::Mixed);
    // Two dimensions along one.
    assert_eq!(one(&[BATCH, 5], &[BATCH, 2, 2], moved(&[0, 1, 1], &[])), Major::Mixed);
    assert_eq!(one(&[BATCH, 5], &[BATCH, 2, 5], moved(&[0, 2, 1], &[])), Major::Batch);
}

#[test]
fn a_window_keeps_rows_where_it_moves_along_the_batch_a_row_at_a_time() {
    let window = |along: &[(u32, i64, i64)], tap: u32| {
        let along: Vec<Along> =
            along.iter().map(|it| Along { axis: it.0, stride: it.1, start: it.2 }).collect();
        move |input, output| Step::Window {
            op: Windowed::Max,
            input,
            weights: None,
            output,
            along: along.clone(),
            taps: vec![Tap { axis: tap, stride: 1, count: 2 }],
            fill: 0.0,
        }
    };
    let (row, within) = ((0, 1, 0), (1, 2, -1));
    let of = |along: &[(u32, i64, i64)], tap| one(&[BATCH, 5], &[BATCH, 3], window(along, tap));
    assert_eq!(of(&[row, within], 1), Major::Batch);
    assert_eq!(of(&[row, (1, -3, 40)], 1), Major::Batch);
    // Neighbours' rows: by the window, by a second dimension, by another start, backwards, and further.
    assert_eq!(of(&[row, within], 0), Major::Mixed);
    assert_eq!(of(&[row, (0, 1, 0)], 1), Major::Mixed);
    assert_eq!(of(&[(0, 1, 1), within], 1), Major::Mixed);
    assert_eq!(of(&[(0, 1, -1), within], 1), Major::Mixed);
    assert_eq!(of(&[(0, -1, 0), within], 1), Major::Mixed);
    assert_eq!(of(&[(0, 0, 0), within], 1), Major::Mixed);
    assert_eq!(of(&[within, row], 1), Major::Mixed);
    assert_eq!(one(&[BATCH, 5], &[THREE_EACH, 3], window(&[row, within], 1)), Major::Mixed);
    // What is read is the same for all rows, or is repeated.
    let weighted = |weights: (&[u32], Place), along: &[(u32, i64, i64)]| {
        let values =
            [(&[1, 5][..], Place::Constant(0)), weights, (&[BATCH, 3][..], Place::Slot(0))];
        let step = |input, output| window(along, 1)(input, output);
        let Step::Window { input, output, along, taps, fill, .. } = step(0, 2) else { return None };
        let (op, weights) = (Windowed::Sum, Some(1));
        let step = Step::Window { op, input, weights, output, along, taps, fill };
        Some(found(&plan(&values, vec![step], 2)).of(2))
    };
    let fixed: (&[u32], Place) = (&[2, 3], Place::Constant(64));
    assert_eq!(weighted(fixed, &[(2, 0, 0), within]), Some(Major::Batch));
    assert_eq!(weighted(fixed, &[row, within]), Some(Major::Mixed));
    let own: (&[u32], Place) = (&[BATCH, 3], Place::Input(0));
    assert_eq!(weighted(own, &[(2, 0, 0), within]), Some(Major::Mixed));
}

#[test]
fn one_slot_under_two_shapes_has_the_same_rows_where_they_are_as_long() {
    let values: [(&[u32], Place); 4] = [
        (&[BATCH, 3, 4], Place::Input(0)),
        (&[BATCH, 3, 4], Place::Slot(0)),
        (&[THREE_EACH, 4], Place::Slot(0)),
        (&[THREE_EACH, 5], Place::Slot(1)),
    ];
    let relu = Step::Unary { op: Unary::Abs, input: 0, output: 1 };
    let rows = found(&plan(&values, vec![relu.clone(), product(2, 3)], 3));
    assert_eq!((rows.of(2), rows.of(3)), (Major::Batch, Major::Batch));
    // The output has three rows for each of the batch.
    assert_eq!(rows.mixing(), Some(Mixing::Output(0)));

    let mut lying = values;
    lying[2] = (&[BATCH, 4], Place::Slot(0));
    lying[3] = (&[BATCH, 5], Place::Slot(1));
    let rows = found(&plan(&lying, vec![relu.clone(), product(2, 3)], 3));
    assert_eq!((rows.of(2), rows.mixing()), (Major::Mixed, Some(Mixing::Step(1))));
    // What nobody wrote is what another request left.
    let rows = found(&plan(&values, vec![product(2, 3), relu], 3));
    assert_eq!(rows.of(2), Major::Mixed);
}

#[test]
fn constants_are_repeated_for_all_rows_and_take_no_part_of_the_batch() {
    let of = |constant: &[u32], to: &[u32]| {
        let values: [(&[u32], Place); 3] = [
            (&[BATCH, 3, 4], Place::Input(0)),
            (constant, Place::Constant(0)),
            (to, Place::Slot(0)),
        ];
        let step = Step::Binary { op: Binary::Add, left: 0, right: 1, output: 2 };
        let rows = found(&plan(&values, vec![step], 2));
        (rows.of(1), rows.of(2), rows.is_joinable())
    };
    let joins = (Major::Fixed, Major::Batch, true);
    assert_eq!(of(&[1, 3, 4], &[BATCH, 3, 4]), joins);
    assert_eq!(of(&[1, 1, 1], &[BATCH, 3, 4]), joins);
    assert_eq!(of(&[2, 3, 4], &[BATCH, 3, 4]).1, Major::Mixed);
    assert_eq!(of(&[3, 4], &[BATCH, 3, 4]).1, Major::Mixed);
    assert_eq!(of(&[BATCH, 3, 4], &[BATCH, 3, 4]).0, Major::Mixed);
}

#[test]
fn looked_up_rows_are_those_of_the_indices() {
    let of = |table: (&[u32], Place), indices: (&[u32], Place), axis, to: &[u32]| {
        let values = [table, indices, (to, Place::Slot(0))];
        let step = Step::Gather { axis, table: 0, indices: 1, output: 2 };
        found(&plan(&values, vec![step], 2)).of(2)
    };
    let (given, constant) = (Place::Input(0), Place::Constant(0));
    assert_eq!(of((&[5, 4], constant), (&[BATCH, 3], given), 0, &[BATCH, 3, 4]), Major::Batch);
    assert_eq!(of((&[2, 5], constant), (&[BATCH], given), 1, &[2, BATCH]), Major::Mixed);
    assert_eq!(of((&[BATCH, 5, 4], given), (&[2], constant), 1, &[BATCH, 2, 4]), Major::Batch);
    // Rows of one tenant by the place of another's.
    assert_eq!(of((&[BATCH, 4], given), (&[2], constant), 0, &[2, 4]), Major::Mixed);
    assert_eq!(of((&[BATCH, 4], given), (&[BATCH], given), 0, &[BATCH, 4]), Major::Mixed);
}

#[test]
fn products_of_two_values_are_of_the_same_row() {
    let of = |right: &[u32], to: &[u32], dimensions: [u32; 4]| {
        let values =
            [(&[BATCH, 3, 4][..], Place::Input(0)), (right, Place::Input(0)), (to, Place::Slot(0))];
        let step = Step::MatMul { left: 0, right: 1, output: 2, dimensions, transposed: false };
        found(&plan(&values, vec![step], 2)).of(2)
    };
    assert_eq!(of(&[BATCH, 4, 2], &[BATCH, 3, 2], [BATCH, 3, 4, 2]), Major::Batch);
    assert_eq!(of(&[BATCH, 4, 2], &[BATCH, 3, 2], [1, THREE_EACH, 4, 2]), Major::Mixed);
    assert_eq!(of(&[BATCH, 4], &[BATCH, 3, 4], [BATCH, 3, 4, BATCH]), Major::Mixed);
}

#[test]
fn values_joined_along_the_batch_are_mixed() {
    let of = |axis, to: &[u32]| {
        one(&[BATCH, 3], to, move |input, output| Step::Concat {
            axis,
            inputs: vec![input, input],
            output,
        })
    };
    assert_eq!(of(1, &[BATCH, THREE_EACH]), Major::Mixed);
    assert_eq!(of(1, &[BATCH, 3]), Major::Batch);
    assert_eq!(of(0, &[BATCH, 3]), Major::Mixed);
}

#[test]
fn an_input_without_the_batch_in_front_keeps_models_apart() {
    let values: [(&[u32], Place); 2] =
        [(&[LENGTH, BATCH], Place::Input(0)), (&[1], Place::Slot(0))];
    let rows = found(&plan(&values, vec![], 0));
    assert_eq!(rows.mixing(), Some(Mixing::Input(0)));
    let fixed: [(&[u32], Place); 1] = [(&[2, 3], Place::Input(0))];
    assert_eq!(found(&plan(&fixed, vec![], 0)).mixing(), Some(Mixing::Input(0)));
}

#[test]
fn dimensions_are_compared_as_expressions() {
    let number = Term::Number;
    let (batch, length) = (Term::Symbol(0), Term::Symbol(1));
    let like = |terms: Vec<Term>| {
        let mut plan = plan(
            &[(&[BATCH, 4], Place::Input(0)), (&[10, 4], Place::Slot(0))],
            vec![Step::Unary { op: Unary::Abs, input: 0, output: 1 }],
            1,
        );
        plan.dimensions.push(Dimension { terms });
        found(&plan).of(1)
    };
    let halved = vec![number(4), batch, Term::Mul, number(4), Term::Div];
    assert_eq!(like(halved), Major::Batch);
    assert_eq!(
        like(vec![batch, number(2), Term::Mul, batch, number(-1), Term::Mul, Term::Add]),
        Major::Batch
    );
    assert_eq!(like(vec![batch, number(2), Term::Div]), Major::Mixed);
    assert_eq!(like(vec![batch, length, Term::Max]), Major::Mixed);
    assert_eq!(like(vec![batch, number(1), Term::Add]), Major::Mixed);
    assert_eq!(like(vec![batch, batch, Term::Mul]), Major::Mixed);
    // No expression, and one that would come to very many terms.
    assert_eq!(like(vec![batch, batch]), Major::Mixed);
    let mut many = vec![batch, length, Term::Add];
    for _ in 0..40 {
        many.extend([batch, length, Term::Add, Term::Mul]);
    }
    assert_eq!(like(many), Major::Mixed);
}
