//! A compiled expression: a tree of nodes in one vector, leaves first, the root last.
//!
//! Each node names its operands by their places in the vector. An operand lies before its node;
//! evaluation refuses any that does not, so no archive can make it go in circles.

use rkyv::{Archive, Serialize, util::AlignedVec};

use crate::{Budget, EvaluationError, Variables};

/// A compiled expression. The same source and environment give the same program, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize)]
#[rkyv(derive(Debug))]
pub struct Program {
    /// Leaves first, the root last.
    pub(crate) nodes: Vec<Node>,
    /// Operands of those nodes that have any number of them.
    pub(crate) operands: Vec<u32>,
    /// Literals, each once.
    pub(crate) constants: Vec<Constant>,
    /// Literal lists of literals, each once.
    pub(crate) lists: Vec<Vec<Constant>>,
    /// The variables that it reads, sorted, each once.
    pub(crate) paths: Vec<String>,
    /// What it costs at worst, in units.
    pub(crate) cost: u64,
}

/// How deeply nodes may be nested: what evaluation takes of the stack, which is small in a filter.
pub(crate) const MAX_DEPTH: usize = 64;

/// One step of a program. Every number is a place in one of its vectors.
#[cfg_attr(not(feature = "compile"), allow(dead_code, reason = "read as archives only"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize)]
#[rkyv(derive(Debug))]
pub(crate) enum Node {
    /// A literal.
    Constant(u32),
    /// A literal list of literals.
    ConstantList(u32),
    /// A variable.
    Variable(u32),
    /// Whether a variable has a value.
    HasVariable(u32),
    /// The element that the comprehension at this depth is at; 0 is the outermost.
    Local(u32),
    /// A field of a map; the field is a constant.
    Select { operand: u32, field: u32 },
    /// Whether a map has a field; the field is a constant.
    Has { operand: u32, field: u32 },
    /// `&&`.
    And(u32, u32),
    /// `||`.
    Or(u32, u32),
    /// `condition ? then : otherwise`.
    Conditional { condition: u32, then: u32, otherwise: u32 },
    /// A function or operator over `count` operands.
    Call { function: Function, first: u32, count: u32 },
    /// Whether a text matches a pattern, which is a constant and compiles within `limit` bytes.
    Matches { text: u32, pattern: u32, limit: u32 },
    /// A list of `count` operands.
    List { first: u32, count: u32 },
    /// A map of `count` operands: keys and values by turns.
    Map { first: u32, count: u32 },
    /// A macro over the elements of a list or the keys of a map.
    Comprehension { comprehension: Comprehension, range: u32, body: u32 },
    /// `range.map(x, condition, body)`.
    FilteredMap { range: u32, condition: u32, body: u32 },
}

/// A macro with one body.
#[cfg_attr(not(feature = "compile"), allow(dead_code, reason = "read as archives only"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize)]
#[rkyv(derive(Debug, Clone, Copy))]
pub(crate) enum Comprehension {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

/// A literal. Doubles are their bits, so that equal programs are equal bytes.
#[cfg_attr(not(feature = "compile"), allow(dead_code, reason = "read as archives only"))]
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize)]
#[rkyv(derive(Debug))]
pub(crate) enum Constant {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(u64),
    String(String),
    Bytes(Vec<u8>),
    Timestamp { seconds: i64, nanoseconds: u32 },
    Duration(i64),
    Type(u8),
}

macro_rules! functions {
    ($($variant:ident = $name:literal,)*) => {
        /// The functions and operators, but for those that do not evaluate all of their operands.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize)]
        #[rkyv(derive(Debug, Clone, Copy))]
        pub(crate) enum Function { $($variant,)* }

        impl From<ArchivedFunction> for Function {
            fn from(archived: ArchivedFunction) -> Self {
                match archived { $(ArchivedFunction::$variant => Function::$variant,)* }
            }
        }

        impl Function {
            /// Its name, as it is written.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Function::$variant => $name,)* }
            }
        }
    };
}

functions! {
    Not = "`!`",
    Negate = "`-`",
    Add = "`+`",
    Subtract = "`-`",
    Multiply = "`*`",
    Divide = "`/`",
    Remainder = "`%`",
    Equal = "`==`",
    NotEqual = "`!=`",
    Less = "`<`",
    LessOrEqual = "`<=`",
    Greater = "`>`",
    GreaterOrEqual = "`>=`",
    In = "`in`",
    Index = "`[]`",
    Size = "size()",
    Contains = "contains()",
    StartsWith = "startsWith()",
    EndsWith = "endsWith()",
    LowerAscii = "lowerAscii()",
    UpperAscii = "upperAscii()",
    Trim = "trim()",
    Split = "split()",
    Join = "join()",
    Substring = "substring()",
    IndexOf = "indexOf()",
    ToBool = "bool()",
    ToInt = "int()",
    ToUint = "uint()",
    ToDouble = "double()",
    ToString = "string()",
    ToBytes = "bytes()",
    ToTimestamp = "timestamp()",
    ToDuration = "duration()",
    TypeOf = "type()",
    FullYear = "getFullYear()",
    Month = "getMonth()",
    Date = "getDate()",
    DayOfMonth = "getDayOfMonth()",
    DayOfWeek = "getDayOfWeek()",
    DayOfYear = "getDayOfYear()",
    Hours = "getHours()",
    Minutes = "getMinutes()",
    Seconds = "getSeconds()",
    Milliseconds = "getMilliseconds()",
}

impl Program {
    /// What it costs at worst, in units.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// The variables that it reads, sorted, each once.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }

    /// The program as an archive of its own, for who evaluates it outside a table.
    ///
    /// # Errors
    /// [`EvaluationError::Malformed`], only where there is no memory for it.
    pub fn prepare(&self) -> Result<Prepared, EvaluationError> {
        rkyv::to_bytes::<rkyv::rancor::Error>(self)
            .map(Prepared)
            .map_err(|_| EvaluationError::Malformed { fault: "it cannot be archived" })
    }

    /// Prepares it and evaluates it once.
    ///
    /// # Errors
    /// As [`ArchivedProgram::evaluate_bool`].
    pub fn evaluate_bool(
        &self,
        variables: &dyn Variables,
        budget: &mut Budget,
    ) -> Result<bool, EvaluationError> {
        self.prepare()?.program()?.evaluate_bool(variables, budget)
    }
}

impl ArchivedProgram {
    /// What it costs at worst, in units, as its compiler said.
    pub fn cost(&self) -> u64 {
        self.cost.to_native()
    }

    /// The variables that it reads, sorted, each once: nothing else is asked of [`Variables`].
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(|path| path.as_str())
    }
}

/// A program as an archive of its own.
#[derive(Debug, Clone)]
pub struct Prepared(AlignedVec);

impl Prepared {
    /// The program, to be evaluated in place.
    ///
    /// # Errors
    /// [`EvaluationError::Malformed`], which does not happen for what [`Program::prepare`] made.
    pub fn program(&self) -> Result<&ArchivedProgram, EvaluationError> {
        rkyv::access::<ArchivedProgram, rkyv::rancor::Error>(&self.0)
            .map_err(|_| EvaluationError::Malformed { fault: "its archive is not valid" })
    }
}
