//! Windows that are moved over an input.

use std::fmt::Write;

use inference::plan::{ArchivedStep, ArchivedWindowed, MAX_RANK, Reading, Walk};

use super::{for_each, moved};
use crate::{
    Dispatch, Limits, Run, Shader, Unsupported,
    chain::{Source, load, push_start, source, store, texts, type_name},
    dispatch::{Kernel, groups_in_line},
    operand::{At, Fixed, Kind, Operand},
    params::Params,
    window::Window,
};

/// A window as a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Windows {
    kind: Kind,
    of: Of,
    source: Source,
    weights: Option<Source>,
    bounds: usize,
    /// For each dimension of the output, and of the window, in which bounds it goes anywhere.
    dims: Vec<[bool; MAX_RANK]>,
    taps: Vec<[bool; MAX_RANK]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Of {
    Copy,
    Max,
    Sum,
}

/// The words of parameters before bounds, dimensions and taps.
const HEADER: usize = 10;

impl Windows {
    pub(crate) fn name(&self) -> String {
        format!("window {:?} of {:?}", self.of, self.kind)
    }

    /// Where the words of a dimension are, or of a tap behind them.
    fn walk(&self, at: usize) -> usize {
        HEADER + 2 * self.bounds + at * (2 + self.bounds)
    }

    pub(crate) fn wgsl(&self) -> String {
        let at = |source: Source, at: usize| match source {
            Source::FixedByRow => format!("params[params[{at}] + e / params[5]]"),
            Source::Arena | Source::Fixed => format!("params[{at}]"),
        };
        let number = |place: &str| load(self.kind, self.source, &at(self.source, 3), place);
        let deepest = self.taps.len();
        let inside = (0..self.bounds).map(|bound| {
            let size = HEADER + 2 * bound + 1;
            format!(" && bound{bound}_{deepest} >= 0 && bound{bound}_{deepest} < bitcast<i32>(params[{size}])")
        });
        let inside = inside.fold("true".to_owned(), |all, one| all + &one);
        let number = number(&format!("place_{deepest}"));
        let (start, take) = match (self.of, self.weights) {
            (Of::Copy, _) => (self.fill(), format!("value = {number};")),
            (Of::Max, _) => ("-infinity()".to_owned(), format!("value = f_max(value, {number});")),
            (Of::Sum, None) => ("0.0".to_owned(), format!("value += {number};")),
            (Of::Sum, Some(source)) => {
                let place = "(tap * params[9] + e % params[9])";
                let weight = load(Kind::F32, source, &at(source, 4), place);
                ("0.0".to_owned(), format!("value += {number} * {weight};"))
            }
        };
        let functions = match self.of {
            Of::Max => texts(["f_max", "infinity"]),
            Of::Copy | Of::Sum => String::new(),
        };
        let each = format!(
            "{place}        var value: {kind} = {start};
        var tap = 0u;
{taps}        if ({inside}) {{
            {take}
        }}
        tap += 1u;
{ends}        {store}",
            place = self.place(),
            kind = type_name(self.kind),
            taps = self.loops(),
            ends = "        }\n".repeat(deepest),
            store = store(self.kind, "params[2]", "e", "value"),
        );
        for_each(&functions, "", &each)
    }

    fn fill(&self) -> String {
        match self.kind {
            Kind::Bool => "params[7] != 0u".to_owned(),
            Kind::I32 => "bitcast<i32>(params[7])".to_owned(),
            Kind::F32 => "bitcast<f32>(params[7])".to_owned(),
            Kind::I64 => "vec2<u32>(params[7], params[8])".to_owned(),
        }
    }

    /// Where the first element of the window is.
    fn place(&self) -> String {
        let mut text = "        var rest = e;\n        var place_0 = params[6];\n".to_owned();
        for bound in 0..self.bounds {
            let start = HEADER + 2 * bound;
            let _ = writeln!(text, "        var bound{bound}_0 = bitcast<i32>(params[{start}]);");
        }
        for (at, bounds) in self.dims.iter().enumerate().rev() {
            let walk = self.walk(at);
            let (along, rest) = match at {
                0 => ("rest".to_owned(), String::new()),
                _ => {
                    (format!("rest % params[{walk}]"), format!("        rest /= params[{walk}];\n"))
                }
            };
            let _ = write!(
                text,
                "        let i{at} = {along};\n{rest}        place_0 += i{at} * params[{}];\n",
                walk + 1
            );
            for (bound, _) in bounds.iter().enumerate().filter(|(_, goes)| **goes) {
                let step = walk + 2 + bound;
                let _ = writeln!(
                    text,
                    "        bound{bound}_0 += i32(i{at}) * bitcast<i32>(params[{step}]);"
                );
            }
        }
        text
    }

    /// The beginnings of loops over the window.
    fn loops(&self) -> String {
        let mut text = String::new();
        for (at, bounds) in self.taps.iter().enumerate() {
            let (walk, next) = (self.walk(self.dims.len() + at), at + 1);
            let _ = write!(
                text,
                "        for (var k{at} = 0u; k{at} < params[{walk}]; k{at}++) {{
        let place_{next} = place_{at} + k{at} * params[{}];\n",
                walk + 1
            );
            for (bound, goes) in bounds.iter().enumerate().take(self.bounds) {
                let step = walk + 2 + bound;
                let moved = match goes {
                    true => format!(" + i32(k{at}) * bitcast<i32>(params[{step}])"),
                    false => String::new(),
                };
                let _ =
                    writeln!(text, "        let bound{bound}_{next} = bound{bound}_{at}{moved};");
            }
        }
        text
    }
}

pub(super) fn dispatches(
    run: &Run<'_>,
    step: &ArchivedStep,
    limits: &Limits,
) -> Result<Vec<Dispatch>, Unsupported> {
    let unfit = || Unsupported::new("a window that does not fit");
    let ArchivedStep::Window { op, input, weights, output, along, taps, fill } = step else {
        return Err(unfit());
    };
    let output = output.to_native();
    let (from, to) = (run.operand(input.to_native())?, run.operand(output)?);
    let weights = weights.as_ref().map(|it| run.operand(it.to_native())).transpose()?;
    let of = match op {
        ArchivedWindowed::Copy => Of::Copy,
        ArchivedWindowed::Max => Of::Max,
        ArchivedWindowed::Sum => Of::Sum,
    };
    if from.kind != to.kind || (of != Of::Copy && from.kind != Kind::F32) {
        return Err(unfit());
    }
    if to.count == 0 {
        return Ok(vec![]);
    }
    let reading = Reading::of(along, taps, &from.dims, &to.dims, weights.is_some());
    let reading = reading.ok_or_else(unfit)?;
    let last = to.dims.last().copied().unwrap_or(1);
    if let Some(weights) = &weights {
        let shown = reading.taps().iter().map(|it| it.count).product::<usize>();
        if weights.kind != Kind::F32 || shown.checked_mul(last) != Some(weights.count) {
            return Err(unfit());
        }
    }
    let At::Arena(start) = to.at else {
        return Err(Unsupported::new("a step that writes a weight"));
    };
    let operands = || std::iter::once(&from).chain(&weights);
    let ranges = operands().flat_map(|operand| {
        let (starts, words) = (starts(operand), operand.fixed_words());
        starts.into_iter().map(move |start| start..start + words)
    });
    let window = Window::over_all(run, limits, ranges)?;
    let is_by_row = |it: &Operand| matches!(it.at, At::Fixed(Fixed::ByPart(_)));
    let row_elements =
        if operands().any(is_by_row) { run.row_elements(output, &to)? } else { to.count };
    let kind = if of == Of::Copy { moved(&from) } else { Kind::F32 };
    let [groups, stride] = groups_in_line(to.count, limits)?;
    let mut params = Params::default();
    params.push(to.count)?;
    params.push(stride)?;
    params.push(start)?;
    push_start(run, &window, &from.at, &mut params)?;
    match &weights {
        Some(weights) => push_start(run, &window, &weights.at, &mut params)?,
        None => params.push(0_u32)?,
    }
    params.push(row_elements)?;
    params.push(wrapped(reading.first))?;
    let [low, high] = filled(from.kind, fill.to_native());
    for word in [low, high] {
        params.push(word)?;
    }
    params.push(last)?;
    push_reading(&reading, &mut params)?;
    let kernel = Windows {
        kind,
        of,
        source: source(&from.at),
        weights: weights.as_ref().map(|it| source(&it.at)),
        bounds: reading.bounds().len(),
        dims: reading.dims().iter().map(goes).collect(),
        taps: reading.taps().iter().map(goes).collect(),
    };
    Ok(vec![Dispatch {
        shader: Shader::new(Kernel::Windows(kernel)),
        params: params.finish()?,
        workgroups: [groups, 1, 1],
        fixed: window.range(),
    }])
}

fn push_reading(reading: &Reading, params: &mut Params) -> Result<(), Unsupported> {
    let far = || Unsupported::new("a window that goes further than a device counts");
    let bounds = reading.bounds().len();
    for (at, bound) in reading.bounds().iter().enumerate() {
        let reach = reading.reach_of(at).ok_or_else(far)?;
        if reach > i64::from(i32::MAX) || bound.size > i64::from(i32::MAX) {
            return Err(far());
        }
        params.push(wrapped(bound.start))?;
        params.push(wrapped(bound.size))?;
    }
    for walk in reading.dims().iter().chain(reading.taps()) {
        params.push(walk.count)?;
        params.push(wrapped(walk.step))?;
        for step in walk.bounds.iter().take(bounds) {
            params.push(wrapped(*step))?;
        }
    }
    Ok(())
}

fn goes(walk: &Walk) -> [bool; MAX_RANK] {
    walk.bounds.map(|step| step != 0)
}

fn starts(operand: &Operand) -> Vec<u64> {
    match &operand.at {
        At::Arena(_) => vec![],
        At::Fixed(fixed) => fixed.starts().to_vec(),
    }
}

/// A number as a word: what is computed of several wraps around, and comes to what it would.
const fn wrapped(number: i64) -> u32 {
    number as u32
}

/// What stands beyond the input, low word first.
const fn filled(kind: Kind, fill: f32) -> [u32; 2] {
    match kind {
        Kind::Bool => [(fill != 0.0) as u32, 0],
        Kind::I32 => [(fill as i32).cast_unsigned(), 0],
        Kind::F32 => [fill.to_bits(), 0],
        Kind::I64 => {
            let wide = (fill as i64).cast_unsigned();
            [wide as u32, (wide >> 32) as u32]
        }
    }
}
