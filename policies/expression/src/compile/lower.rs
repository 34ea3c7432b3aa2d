//! From an expression with types to a program.

use super::Environment;
use super::typed::{Expression, Typed};
use crate::Program;
use crate::program::{Comprehension, Constant, Node};

/// The program of `typed`, which costs at most `cost` units.
pub(super) fn lower(typed: &Typed, environment: &Environment, cost: u64) -> Program {
    let mut read = Vec::new();
    variables(typed, &mut read);
    let variables = environment.variables();
    let path = |index: &usize| variables.get(*index).map(|variable| variable.path.clone());
    let mut paths: Vec<String> = read.iter().filter_map(path).collect();
    paths.sort();
    paths.dedup();
    let (nodes, operands, constants, lists) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let program = Program { nodes, operands, constants, lists, paths, cost };
    let mut lowering = Lowering { program, environment };
    lowering.node(typed);
    lowering.program
}

/// The places of the variables that `typed` reads.
fn variables(typed: &Typed, read: &mut Vec<usize>) {
    if let Expression::Variable(index) | Expression::HasVariable(index) = &typed.expression {
        read.push(*index);
    }
    for child in typed.children() {
        variables(child, read);
    }
}

struct Lowering<'e> {
    program: Program,
    environment: &'e Environment,
}

impl Lowering<'_> {
    /// Adds `typed` after what it is made of, and says where.
    fn node(&mut self, typed: &Typed) -> u32 {
        let node = match &typed.expression {
            Expression::Constant(constant) => Node::Constant(self.constant(constant.clone())),
            Expression::ConstantList(list) => {
                Node::ConstantList(index_of(&mut self.program.lists, list.clone()))
            }
            Expression::Variable(index) => Node::Variable(self.path(*index)),
            Expression::HasVariable(index) => Node::HasVariable(self.path(*index)),
            Expression::Local(slot) => Node::Local(*slot as u32),
            Expression::Select { operand, field } => Node::Select {
                operand: self.node(operand),
                field: self.constant(Constant::String(field.clone())),
            },
            Expression::Has { operand, field } => Node::Has {
                operand: self.node(operand),
                field: self.constant(Constant::String(field.clone())),
            },
            Expression::And(sides) => Node::And(self.node(&sides[0]), self.node(&sides[1])),
            Expression::Or(sides) => Node::Or(self.node(&sides[0]), self.node(&sides[1])),
            Expression::Conditional(parts) => Node::Conditional {
                condition: self.node(&parts[0]),
                then: self.node(&parts[1]),
                otherwise: self.node(&parts[2]),
            },
            Expression::Call { function, operands } => {
                let (first, count) = self.operands(operands);
                Node::Call { function: *function, first, count }
            }
            Expression::Matches { text, pattern, limit } => Node::Matches {
                text: self.node(text),
                pattern: self.constant(Constant::String(pattern.clone())),
                limit: *limit,
            },
            Expression::List(elements) => {
                let (first, count) = self.operands(elements);
                Node::List { first, count }
            }
            Expression::Map(parts) => {
                let (first, count) = self.operands(parts);
                Node::Map { first, count }
            }
            Expression::Comprehension { comprehension, range, body } => {
                self.comprehension(*comprehension, range, body)
            }
            Expression::FilteredMap { range, condition, body } => Node::FilteredMap {
                range: self.node(range),
                condition: self.node(condition),
                body: self.node(body),
            },
        };
        self.program.nodes.push(node);
        self.program.nodes.len() as u32 - 1
    }

    fn comprehension(&mut self, comprehension: Comprehension, range: &Typed, body: &Typed) -> Node {
        Node::Comprehension { comprehension, range: self.node(range), body: self.node(body) }
    }

    /// Adds operands, and says where their places start and how many they are.
    fn operands(&mut self, operands: &[Typed]) -> (u32, u32) {
        let places: Vec<u32> = operands.iter().map(|operand| self.node(operand)).collect();
        let first = self.program.operands.len() as u32;
        self.program.operands.extend(places);
        (first, operands.len() as u32)
    }

    fn constant(&mut self, constant: Constant) -> u32 {
        index_of(&mut self.program.constants, constant)
    }

    fn path(&self, index: usize) -> u32 {
        let variable = self.environment.variables().get(index);
        let path = variable.map_or("", |variable| variable.path.as_str());
        let found = self.program.paths.iter().position(|other| other == path);
        found.unwrap_or_default() as u32
    }
}

/// Where `value` is in `values`, added where it is not.
fn index_of<T: PartialEq>(values: &mut Vec<T>, value: T) -> u32 {
    let found = values.iter().position(|other| *other == value);
    let index = found.unwrap_or_else(|| {
        values.push(value);
        values.len() - 1
    });
    index as u32
}
