//! What an expression costs at worst, before it is in force: an upper bound of what evaluation
//! charges its budget for, node by node, from the declared sizes of variables.
//!
//! The *weight* of a value is 2 for each part of it and 1 for each byte of text, which is at most
//! its length as JSON: a list's elements weigh less than the list, and each at least 2.

use super::bound::Bound;
use super::typed::{Expression, Span, Typed};
use super::{Environment, Mistake, Type, Variable};
use crate::MAX_COST;
use crate::budget::NODE_UNITS;
use crate::evaluate::{building_units, matching_units};
use crate::program::{Comprehension, Constant, Function};

/// The weight of a value without parts or text.
const SCALAR: f64 = 2.0;
const NODE: f64 = NODE_UNITS as f64;
/// The weight of the text that a number, a time or a duration is written as, with room.
const WRITTEN: f64 = 64.0;

/// The most units that `typed` can cost.
///
/// # Errors
/// Where there is no bound, or it is above [`MAX_COST`]: the innermost part of which that is so.
pub(super) fn bound(
    typed: &Typed,
    environment: &Environment,
    source: &str,
) -> Result<u64, Vec<Mistake>> {
    let mut estimator = Estimator {
        environment,
        source,
        largest: Vec::new(),
        lent: Vec::new(),
        map_entries: largest_map(typed) as f64,
        dear: None,
    };
    let estimate = estimator.estimate(typed);
    match estimator.dear {
        Some(mistake) => Err(vec![mistake]),
        None => Ok(estimate.cost.at_most(&[]).ceil() as u64),
    }
}

/// What is known of an expression before it is evaluated.
struct Estimate {
    /// The units that its evaluation costs.
    cost: Bound,
    weight: Bound,
    /// How many elements or entries it has, where it may be a list or a map.
    entries: Bound,
}

struct Estimator<'e> {
    environment: &'e Environment,
    source: &'e str,
    /// The largest weight of an element of each macro around.
    largest: Vec<f64>,
    /// Whether the elements of each macro around are lent.
    lent: Vec<bool>,
    /// The most entries of a map that is written in the expression: those are searched one by one.
    map_entries: f64,
    /// The first part that costs too much.
    dear: Option<Mistake>,
}

impl Estimator<'_> {
    fn estimate(&mut self, it: &Typed) -> Estimate {
        let mut estimate = self.parts(it);
        estimate.cost = estimate.cost.plus(&Bound::constant(NODE));
        if it.ty.is_fixed() {
            estimate.weight = Bound::constant(SCALAR);
            estimate.entries = Bound::ZERO;
        }
        let cost = estimate.cost.at_most(&self.largest);
        if self.dear.is_none() && cost > MAX_COST as f64 {
            self.dear = self.too_dear(it, cost);
        }
        estimate
    }

    /// Without the node itself.
    fn parts(&mut self, it: &Typed) -> Estimate {
        match &it.expression {
            Expression::Constant(constant) => sized(constant_weight(constant), 0.0),
            Expression::ConstantList(constants) => {
                let weight = constants.iter().map(constant_weight).sum::<f64>() + SCALAR;
                sized(weight, constants.len() as f64)
            }
            Expression::Variable(index) => match self.environment.variables().get(*index) {
                Some(variable) => declared(variable),
                None => sized(SCALAR, 0.0),
            },
            Expression::HasVariable(_) => sized(SCALAR, 0.0),
            Expression::Local(slot) => {
                let weight = Bound::slot(*slot);
                Estimate { cost: weight.clone(), entries: entries(&weight, &it.ty), weight }
            }
            Expression::Select { operand, field } | Expression::Has { operand, field } => {
                let operand = self.estimate(operand);
                let key = Bound::constant(field.len() as f64);
                let cost = operand.cost.plus(&self.look_up(&key));
                self.taken(cost, operand.weight, it)
            }
            Expression::And(sides) | Expression::Or(sides) => {
                let (left, right) = (self.estimate(&sides[0]), self.estimate(&sides[1]));
                scalar(left.cost.plus(&right.cost))
            }
            Expression::Conditional(parts) => {
                let condition = self.estimate(&parts[0]);
                let (then, otherwise) = (self.estimate(&parts[1]), self.estimate(&parts[2]));
                Estimate {
                    cost: condition.cost.plus(&then.cost.or(&otherwise.cost)),
                    weight: then.weight.or(&otherwise.weight),
                    entries: then.entries.or(&otherwise.entries),
                }
            }
            Expression::Matches { text, limit, .. } => {
                let text = self.estimate(text);
                let each = matching_units(*limit) as f64;
                let building = Bound::constant(building_units(*limit) as f64);
                scalar(text.cost.plus(&text.weight.times(each)).plus(&building))
            }
            Expression::Call { function, operands } => self.call(*function, operands, it),
            Expression::List(elements) => {
                let mut list = sized(SCALAR, elements.len() as f64);
                for element in elements {
                    list = list.with(&self.estimate(element));
                }
                list
            }
            Expression::Map(parts) => {
                let mut map = sized(SCALAR, (parts.len() / 2) as f64);
                for (at, part) in parts.iter().enumerate() {
                    let part = self.estimate(part);
                    map = map.with(&part);
                    if at % 2 == 0 {
                        map.cost = map.cost.plus(&self.look_up(&part.weight));
                    }
                }
                map
            }
            Expression::Comprehension { comprehension, range, body } => {
                self.comprehension(*comprehension, range, None, body)
            }
            Expression::FilteredMap { range, condition, body } => {
                self.comprehension(Comprehension::Map, range, Some(condition), body)
            }
        }
    }

    fn comprehension(
        &mut self,
        comprehension: Comprehension,
        range: &Typed,
        condition: Option<&Typed>,
        body: &Typed,
    ) -> Estimate {
        let element_is_fixed = match &range.ty {
            Type::List(element) | Type::Map(element, _) => element.is_fixed(),
            _ => false,
        };
        let is_lent = self.is_lent(range);
        let range = self.estimate(range);
        let slot = self.largest.len();
        let whole = range.weight.at_most(&self.largest);
        self.lent.push(is_lent);
        self.largest.push(if element_is_fixed { SCALAR } else { whole });
        let condition = condition.map_or(Bound::ZERO, |condition| self.estimate(condition).cost);
        let body = self.estimate(body);
        self.largest.pop();
        self.lent.pop();
        let over_all = |each: &Bound| {
            let (once, by_size) = each.split(slot);
            range.entries.product(&once, &self.largest).plus(&range.weight.times(by_size))
        };
        let each = body.cost.plus(&condition).plus(&Bound::constant(NODE)).plus(&Bound::slot(slot));
        let cost = range.cost.plus(&over_all(&each));
        match comprehension {
            Comprehension::All | Comprehension::Exists | Comprehension::ExistsOne => scalar(cost),
            Comprehension::Filter => {
                Estimate { cost, weight: range.weight.clone(), entries: range.entries.clone() }
            }
            Comprehension::Map => {
                let weight = over_all(&body.weight).plus(&Bound::constant(SCALAR));
                Estimate { cost, weight, entries: range.entries.clone() }
            }
        }
    }

    fn call(&mut self, function: Function, operands: &[Typed], it: &Typed) -> Estimate {
        use Function as F;
        let estimates: Vec<Estimate> = operands.iter().map(|it| self.estimate(it)).collect();
        let paid = estimates.iter().fold(Bound::ZERO, |sum, it| sum.plus(&it.cost));
        let nothing = sized(0.0, 0.0);
        let (a, b) = (estimates.first().unwrap_or(&nothing), estimates.get(1).unwrap_or(&nothing));
        let both = a.weight.plus(&b.weight);
        let of = |at: usize| operands.get(at).map_or(&Type::Dyn, |it| &it.ty);
        match function {
            F::Add if it.ty.is_fixed() => scalar(paid),
            F::Add => {
                let entries = a.entries.plus(&b.entries);
                let cost = paid.plus(&both).plus(&entries.times(NODE));
                Estimate { cost, weight: both, entries }
            }
            F::Equal | F::NotEqual => scalar(paid.plus(&self.equality(of(0), of(1), a, b))),
            F::Less | F::LessOrEqual | F::Greater | F::GreaterOrEqual => {
                scalar(paid.plus(a.weight.smaller(&b.weight, &self.largest)))
            }
            F::In => scalar(paid.plus(&self.membership(of(0), of(1), a, b))),
            F::Index => {
                let look_up = match of(0) {
                    Type::List(_) => Bound::ZERO,
                    _ => self.look_up(&b.weight),
                };
                self.taken(paid.plus(&look_up), a.weight.clone(), it)
            }
            F::Size => match of(0) {
                Type::List(_) | Type::Map(..) | Type::Bytes => scalar(paid),
                _ => scalar(paid.plus(&a.weight)),
            },
            F::Contains | F::StartsWith | F::EndsWith | F::IndexOf => scalar(paid.plus(&both)),
            F::LowerAscii | F::UpperAscii | F::Trim | F::Substring => {
                text(paid.plus(&a.weight), a.weight.clone())
            }
            F::Split => {
                let pieces = a.weight.plus(&Bound::constant(1.0));
                Estimate {
                    cost: paid.plus(&both).plus(&pieces.times(NODE)),
                    weight: a.weight.plus(&pieces.times(SCALAR)).plus(&Bound::constant(SCALAR)),
                    entries: pieces,
                }
            }
            F::Join => {
                let separators = a.entries.product(&b.weight, &self.largest);
                let weight = a.weight.plus(&separators);
                text(paid.plus(&weight).plus(&a.entries.times(NODE)), weight)
            }
            F::ToString if of(0).is_fixed() => text(paid, Bound::constant(WRITTEN)),
            F::ToString => {
                let weight = a.weight.or(&Bound::constant(WRITTEN));
                text(paid.plus(&a.weight), weight)
            }
            F::ToBytes => text(paid, a.weight.clone()),
            F::ToBool | F::ToInt | F::ToUint | F::ToDouble | F::ToTimestamp | F::ToDuration => {
                let read = if of(0).is_fixed() { Bound::ZERO } else { a.weight.clone() };
                scalar(paid.plus(&read))
            }
            _ => scalar(paid),
        }
    }

    /// The value `it`, taken out of one of weight `weight`: a copy of it, where that was made.
    fn taken(&self, cost: Bound, weight: Bound, it: &Typed) -> Estimate {
        if it.ty.is_fixed() {
            return scalar(cost);
        }
        let cost = if self.is_lent(it) { cost } else { cost.plus(&weight) };
        Estimate { cost, entries: entries(&weight, &it.ty), weight }
    }

    /// Whether a variable lends the value, or what holds it.
    fn is_lent(&self, it: &Typed) -> bool {
        match &it.expression {
            Expression::Variable(_) | Expression::ConstantList(_) | Expression::Constant(_) => true,
            Expression::Local(slot) => self.lent.get(*slot).copied().unwrap_or(false),
            Expression::Select { operand, .. } => self.is_lent(operand),
            Expression::Call { function: Function::Index, operands } => {
                operands.first().is_some_and(|operand| self.is_lent(operand))
            }
            _ => false,
        }
    }

    /// Finding a key of weight `key` in any map.
    fn look_up(&self, key: &Bound) -> Bound {
        key.plus(&Bound::constant(NODE)).times(1.0 + self.map_entries)
    }

    /// What comparing whole lists and maps costs for each unit of the weight of one of them.
    fn comparing(&self) -> f64 {
        9.0 * (1.0 + self.map_entries)
    }

    fn equality(&self, a: &Type, b: &Type, left: &Estimate, right: &Estimate) -> Bound {
        if a.is_fixed() || b.is_fixed() {
            Bound::ZERO
        } else if is_text(a) || is_text(b) {
            left.weight.smaller(&right.weight, &self.largest).clone()
        } else {
            left.weight.times(self.comparing())
        }
    }

    fn membership(&self, a: &Type, b: &Type, value: &Estimate, within: &Estimate) -> Bound {
        let element = match b {
            Type::Map(..) => return self.look_up(&value.weight),
            Type::List(element) => element,
            _ => &Type::Dyn,
        };
        let visits = within.entries.times(NODE);
        let comparing = if a.is_fixed() || element.is_fixed() {
            Bound::ZERO
        } else if is_text(a) || is_text(element) {
            let each = within.entries.product(&value.weight, &self.largest);
            each.smaller(&within.weight, &self.largest).clone()
        } else {
            within.weight.times(self.comparing())
        };
        let as_map = if *b == Type::Dyn { self.look_up(&value.weight) } else { Bound::ZERO };
        visits.plus(&comparing).plus(&as_map)
    }

    /// What is wrong with `it`; nothing, where that is for what is around it to say: an element has
    /// no bound where the list that it is of has none.
    fn too_dear(&self, it: &Typed, cost: f64) -> Option<Mistake> {
        if cost.is_finite() {
            let message = format!(
                "expected at most {MAX_COST} units of work at worst, found {cost:.0} for this part; \
                 look at less, or compare with something short"
            );
            return Some(Mistake::new(it.span, message));
        }
        let Span { start, end } = self.unbounded(it)?.span;
        let name = self.source.get(start..end).unwrap_or_default();
        let message = format!(
            "expected work that has a bound, found none: `{name}` has no declared largest size"
        );
        Some(Mistake::new(it.span, message))
    }

    /// The first variable in `it` without a declared size.
    fn unbounded<'t>(&self, it: &'t Typed) -> Option<&'t Typed> {
        if let Expression::Variable(index) = it.expression {
            let variable = self.environment.variables().get(index)?;
            return (declared(variable).weight == Bound::unbounded()).then_some(it);
        }
        it.children().into_iter().find_map(|child| self.unbounded(child))
    }
}

impl Estimate {
    /// With a part of it.
    fn with(self, part: &Estimate) -> Self {
        Self {
            cost: self.cost.plus(&part.cost),
            weight: self.weight.plus(&part.weight),
            entries: self.entries,
        }
    }
}

fn scalar(cost: Bound) -> Estimate {
    Estimate { cost, weight: Bound::constant(SCALAR), entries: Bound::ZERO }
}

fn text(cost: Bound, weight: Bound) -> Estimate {
    Estimate { cost, weight, entries: Bound::ZERO }
}

fn sized(weight: f64, entries: f64) -> Estimate {
    let (weight, entries) = (Bound::constant(weight), Bound::constant(entries));
    Estimate { cost: Bound::ZERO, weight, entries }
}

fn is_text(ty: &Type) -> bool {
    matches!(ty, Type::String | Type::Bytes)
}

/// How many elements or entries there can be in a value of that weight.
fn entries(weight: &Bound, ty: &Type) -> Bound {
    match ty {
        Type::List(_) | Type::Dyn => weight.times(0.5),
        Type::Map(..) => weight.times(0.25),
        _ => Bound::ZERO,
    }
}

fn declared(variable: &Variable) -> Estimate {
    if variable.ty.is_fixed() {
        return sized(SCALAR, 0.0);
    }
    let Some(bytes) = variable.max_bytes else {
        return Estimate {
            cost: Bound::ZERO,
            weight: Bound::unbounded(),
            entries: Bound::unbounded(),
        };
    };
    let declared = variable.max_entries.map(f64::from);
    // Quotes, colons and commas may have been left out where bytes were counted.
    let weight = f64::from(bytes) + SCALAR + 4.0 * declared.unwrap_or(0.0);
    let weight = Bound::constant(weight);
    let entries = match declared {
        Some(declared) if variable.ty != Type::Dyn => Bound::constant(declared),
        _ => entries(&weight, &variable.ty),
    };
    Estimate { cost: Bound::ZERO, weight, entries }
}

fn constant_weight(constant: &Constant) -> f64 {
    match constant {
        Constant::String(text) => text.len() as f64 + SCALAR,
        Constant::Bytes(bytes) => bytes.len() as f64 + SCALAR,
        _ => SCALAR,
    }
}

fn largest_map(typed: &Typed) -> usize {
    let own = if let Expression::Map(parts) = &typed.expression { parts.len() / 2 } else { 0 };
    typed.children().into_iter().map(largest_map).fold(own, usize::max)
}
