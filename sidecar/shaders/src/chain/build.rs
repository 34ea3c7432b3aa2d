//! A chain out of steps of a plan.

use inference::plan::{ArchivedPlace, ArchivedStep};

use super::{Access, Chain, Input, MOST_INPUTS, MOST_STEPS, Op, Source, expressions};
use crate::{
    Limits, Run, Unsupported,
    moves::row_major,
    operand::{At, Fixed, Kind, Operand},
    params::Params,
    window::Window,
};

/// A chain with the operands of a run.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) chain: Chain,
    /// What the last step writes.
    pub(crate) output: Operand,
    reads: Vec<Read>,
    scalars: Vec<f32>,
    /// How many elements of the output belong to a row of the batch, where that matters.
    row_elements: usize,
}

/// What an input of the chain reads.
#[derive(Debug, PartialEq)]
struct Read {
    input: Input,
    operand: Operand,
    /// The dimensions of what it is repeated into and how far apart its elements are along each,
    /// where it is not read from end to end.
    dims: Vec<usize>,
    strides: Vec<usize>,
}

impl Built {
    /// The chain of `steps`, of which the first reads what was `computed` before, where there is such
    /// a value. Each step reads what an earlier one wrote from where that lies in the arena.
    pub(crate) fn new(
        run: &Run<'_>,
        steps: &[&ArchivedStep],
        computed: Option<u32>,
    ) -> Result<Self, Unsupported> {
        let unfit = || Unsupported::new("steps that do not follow one another");
        if steps.len() > MOST_STEPS {
            return Err(Unsupported::new("more steps than a kernel does"));
        }
        let last = match steps.last() {
            Some(step) => step.operands().1,
            None => computed.ok_or_else(unfit)?,
        };
        let output = run.operand(last)?;
        let mut builder = Builder {
            run,
            output: &output,
            reads: vec![],
            written: vec![],
            ops: vec![],
            scalars: vec![],
        };
        if let Some(computed) = computed {
            builder.wrote(computed, Value::Computed)?;
        }
        for step in steps {
            builder.step(step)?;
        }
        let Builder { reads, ops, scalars, .. } = builder;
        if reads.len() > MOST_INPUTS {
            return Err(Unsupported::new("more operands than a kernel reads"));
        }
        let inputs: Vec<Input> = reads.iter().map(|it| it.input).collect();
        let has_computed = computed.is_some();
        let first_op = inputs.len() + usize::from(has_computed);
        let number = |value: Value| match value {
            Value::Input(at) => at,
            Value::Computed => inputs.len(),
            Value::Op(at) => first_op + at,
        };
        let ops = ops.into_iter().map(|(expression, arguments, scalar, result)| Op {
            expression,
            arguments: arguments.into_iter().map(number).collect(),
            scalar,
            result,
        });
        let chain = Chain {
            ops: ops.collect(),
            has_computed,
            scalars: scalars.len(),
            output: output.kind,
            inputs,
        };
        let row_elements = if chain.is_by_row() { run.row_elements(last, &output)? } else { 0 };
        Ok(Self { chain, output, reads, scalars, row_elements })
    }

    /// The word of the arena that the output starts at.
    pub(crate) fn written_at(&self) -> Result<u32, Unsupported> {
        match self.output.at {
            At::Arena(word) => Ok(word),
            At::Fixed(_) => Err(Unsupported::new("a step that writes a weight")),
        }
    }

    /// What of the slab is read.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = std::ops::Range<u64>> {
        self.reads.iter().flat_map(|read| {
            let words = read.operand.fixed_words();
            let starts = match &read.operand.at {
                At::Fixed(fixed) => fixed.starts(),
                At::Arena(_) => &[],
            };
            starts.iter().map(move |start| *start..start.saturating_add(words))
        })
    }

    /// What of the slab is to be bound.
    pub(crate) fn window(&self, run: &Run<'_>, limits: &Limits) -> Result<Window, Unsupported> {
        Window::over_all(run, limits, self.ranges())
    }

    /// Appends the chain's parameters, as its text reads them.
    pub(crate) fn push(
        &self,
        run: &Run<'_>,
        window: &Window,
        params: &mut Params,
    ) -> Result<(), Unsupported> {
        if self.chain.is_by_row() {
            params.push(self.row_elements)?;
        }
        for read in &self.reads {
            push_start(run, window, &read.operand.at, params)?;
            if let Access::Strided(_) = read.input.access {
                for dim in read.dims.iter().skip(1) {
                    params.push(*dim)?;
                }
                for stride in &read.strides {
                    params.push(*stride)?;
                }
            }
        }
        self.scalars.iter().for_each(|it| params.push_float(*it));
        Ok(())
    }
}

/// Appends where an operand starts, or the place of a table that says so for each row.
pub(crate) fn push_start(
    run: &Run<'_>,
    window: &Window,
    at: &At,
    params: &mut Params,
) -> Result<(), Unsupported> {
    match at {
        At::Arena(word) => params.push(*word),
        At::Fixed(Fixed::Same(word)) => params.push(window.word(*word)?),
        At::Fixed(Fixed::ByPart(words)) => {
            let words = words.iter().map(|it| window.word(*it)).collect::<Result<Vec<_>, _>>()?;
            params.push_table(run.by_row(&words));
            Ok(())
        }
    }
}

/// Where an operand is, as shaders tell it apart.
pub(crate) const fn source(at: &At) -> Source {
    match at {
        At::Arena(_) => Source::Arena,
        At::Fixed(Fixed::Same(_)) => Source::Fixed,
        At::Fixed(Fixed::ByPart(_)) => Source::FixedByRow,
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    Input(usize),
    Computed,
    Op(usize),
}

struct Builder<'a, 'r> {
    run: &'r Run<'a>,
    output: &'r Operand,
    reads: Vec<Read>,
    /// What was written so far, by slot.
    written: Vec<(u32, Value)>,
    ops: Vec<(&'static str, Vec<Value>, Option<usize>, Kind)>,
    scalars: Vec<f32>,
}

impl Builder<'_, '_> {
    fn step(&mut self, step: &ArchivedStep) -> Result<(), Unsupported> {
        if let ArchivedStep::Move { input, output, axes, starts } = step {
            let axes: Vec<u32> = axes.iter().map(|it| it.to_native()).collect();
            let starts = starts.iter().map(|it| self.run.dimension(it.to_native()));
            let starts = starts.collect::<Result<Vec<_>, _>>()?;
            return self.moved([input.to_native(), output.to_native()], &axes, &starts);
        }
        let expression = expressions::of_step(self.run.plan, step)?;
        let to = step.operands().1;
        let target = self.run.operand(to)?;
        // Functions of one number go from element to element, whatever the shapes are.
        let is_unary = matches!(step, ArchivedStep::Unary { .. } | ArchivedStep::Cast { .. });
        if target.count != self.output.count {
            return Err(Unsupported::new("steps of different sizes in one kernel"));
        }
        let mut arguments = vec![];
        for value in &expression.arguments {
            arguments.push(self.argument(*value, &target, is_unary)?);
        }
        let scalar = expression.scalar.map(|scalar| {
            self.scalars.push(scalar);
            self.scalars.len() - 1
        });
        self.ops.push((expression.text, arguments, scalar, expression.result));
        self.wrote(to, Value::Op(self.ops.len() - 1))
    }

    /// Elements of what lies there before, which are read where they are.
    fn moved(
        &mut self,
        [input, output]: [u32; 2],
        axes: &[u32],
        starts: &[usize],
    ) -> Result<(), Unsupported> {
        let slot = self.slot(input);
        if slot.is_some() && self.written.iter().any(|(it, _)| Some(*it) == slot) {
            return Err(Unsupported::new("a part of what the same kernel computes"));
        }
        let target = self.run.operand(output)?;
        if target.count != self.output.count {
            return Err(Unsupported::new("steps of different sizes in one kernel"));
        }
        let read = Read::moved(self.run, self.run.operand(input)?, &target, axes, starts)?;
        let value = self.read(read);
        self.wrote(output, value)
    }

    /// What is read, once.
    fn read(&mut self, read: Read) -> Value {
        let found = self.reads.iter().position(|it| *it == read);
        Value::Input(found.unwrap_or_else(|| {
            self.reads.push(read);
            self.reads.len() - 1
        }))
    }

    fn slot(&self, value: u32) -> Option<u32> {
        match self.run.plan.value(value)?.place {
            ArchivedPlace::Slot(slot) => Some(slot.to_native()),
            _ => None,
        }
    }

    fn wrote(&mut self, value: u32, is: Value) -> Result<(), Unsupported> {
        let slot = self.slot(value).ok_or(Unsupported::new("a step that writes no slot"))?;
        self.written.retain(|(it, _)| *it != slot);
        self.written.push((slot, is));
        Ok(())
    }

    fn argument(
        &mut self,
        value: u32,
        target: &Operand,
        is_unary: bool,
    ) -> Result<Value, Unsupported> {
        let unfit = || Unsupported::new("shapes that do not fit");
        let operand = self.run.operand(value)?;
        let slot = self.slot(value);
        let earlier = self.written.iter().find(|(it, _)| Some(*it) == slot);
        if let Some((_, earlier)) = earlier {
            let is_same = is_unary || operand.dims == target.dims;
            return if is_same && operand.count == target.count {
                Ok(*earlier)
            } else {
                Err(Unsupported::new("a part of what the same kernel computes"))
            };
        }
        if is_unary && operand.count != target.count {
            return Err(unfit());
        }
        let read = if is_unary {
            Read::whole(operand)
        } else {
            Read::repeated(self.run, operand, target)?
        };
        Ok(self.read(read))
    }
}

impl Read {
    fn whole(operand: Operand) -> Self {
        let input = Input { kind: operand.kind, source: source(&operand.at), access: Access::Same };
        Self { input, operand, dims: vec![], strides: vec![] }
    }

    /// Read along `axes` of the operand, from `starts` on, as a move does.
    fn moved(
        run: &Run<'_>,
        mut operand: Operand,
        target: &Operand,
        axes: &[u32],
        starts: &[usize],
    ) -> Result<Self, Unsupported> {
        let unfit = || Unsupported::new("a move along dimensions that there are not");
        let outside = || Unsupported::new("a move reads beyond its input");
        if axes.len() != target.dims.len()
            || !(starts.is_empty() || starts.len() == operand.dims.len())
            || operand.kind != target.kind
        {
            return Err(unfit());
        }
        let along = row_major(&operand.dims);
        let first = starts.iter().zip(&along).try_fold(0_usize, |first, (start, stride)| {
            first.checked_add(start.checked_mul(*stride)?)
        });
        let first = first.ok_or_else(outside)?;
        let mut last = Some(first);
        let (mut dims, mut strides) = (vec![], vec![]);
        for ((axis, dim), symbol) in axes.iter().zip(&target.dims).zip(&target.symbols) {
            let stride = along.get(*axis as usize).copied().unwrap_or(0);
            let reach = dim.saturating_sub(1).checked_mul(stride);
            last = last.zip(reach).and_then(|(last, reach)| last.checked_add(reach));
            if !run.is_always_one(*symbol) {
                dims.push(*dim);
                strides.push(stride);
            }
        }
        if target.count > 0 && last.is_none_or(|last| last >= operand.count) {
            return Err(outside());
        }
        if dims.is_empty() {
            (dims, strides) = (vec![1], vec![0]);
        }
        let At::Arena(start) = operand.at else {
            return Err(Unsupported::new("a constant that is moved in a kernel of elements"));
        };
        let words = if target.count > 0 { first * operand.kind.words() } else { 0 };
        let start = u32::try_from(words).ok().and_then(|words| start.checked_add(words));
        operand.at = At::Arena(start.ok_or_else(outside)?);
        let access = Access::Strided(dims.len());
        let input = Input { kind: operand.kind, source: Source::Arena, access };
        Ok(Self { input, operand, dims, strides })
    }

    /// Read where a dimension of 1 is repeated. What is merged into one dimension is told by the plan
    /// and not by the sizes, so that the kernel is the same for all of them.
    fn repeated(run: &Run<'_>, operand: Operand, target: &Operand) -> Result<Self, Unsupported> {
        if operand.dims.len() != target.dims.len() {
            return Err(Unsupported::new("shapes that do not fit"));
        }
        let mut axes: Vec<(Along, usize, usize)> = vec![];
        let mut stride = 1_usize;
        let read = operand.dims.iter().zip(&operand.symbols);
        let wrote = target.dims.iter().zip(&target.symbols);
        for ((read, read_symbol), (wrote, wrote_symbol)) in read.zip(wrote).rev() {
            if read != wrote && *read != 1 {
                return Err(Unsupported::new("shapes that do not fit"));
            }
            let along = match (read_symbol == wrote_symbol, run.is_always_one(*read_symbol)) {
                (true, true) => continue,
                (true, false) => Along::Same,
                (false, true) => Along::Repeated,
                (false, false) => Along::Unknown,
            };
            let step = if along == Along::Repeated || read != wrote { 0 } else { stride };
            stride = stride.saturating_mul(*read);
            match axes.last_mut() {
                Some((before, dim, _)) if *before == along && along != Along::Unknown => {
                    *dim = dim.saturating_mul(*wrote);
                }
                _ => axes.push((along, *wrote, step)),
            }
        }
        let access = match axes.as_slice() {
            [] | [(Along::Same, ..)] => Access::Same,
            [(Along::Repeated, ..)] => Access::First,
            axes => Access::Strided(axes.len()),
        };
        let input = Input { kind: operand.kind, source: source(&operand.at), access };
        let (dims, strides) = axes.into_iter().rev().map(|(_, dim, step)| (dim, step)).unzip();
        Ok(Self { input, operand, dims, strides })
    }
}

/// How an operand lies along a dimension of what it is repeated into, whatever the sizes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Along {
    Same,
    Repeated,
    Unknown,
}
