//! Trees, and walking them.

/// Every tree of an ensemble. Each node is reached once from one root, so every walk ends.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Forest {
    pub(super) roots: Vec<usize>,
    pub(super) nodes: Vec<Node>,
    /// What leaves add: to which sum, and how much.
    pub(super) weights: Vec<(usize, f32)>,
    pub(super) sums: usize,
    pub(super) aggregate: Aggregate,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Node {
    Branch {
        feature: usize,
        test: Test,
        value: f32,
        missing: bool,
        yes: usize,
        no: usize,
    },
    /// The first and the one behind the last of its weights.
    Leaf {
        first: usize,
        end: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    LessEqual,
    Less,
    GreaterEqual,
    Greater,
    Equal,
    NotEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

impl Test {
    fn holds(self, feature: f32, value: f32) -> bool {
        match self {
            Self::LessEqual => feature <= value,
            Self::Less => feature < value,
            Self::GreaterEqual => feature >= value,
            Self::Greater => feature > value,
            Self::Equal => feature == value,
            Self::NotEqual => feature != value,
        }
    }
}

impl Forest {
    /// Writes the sums of one row. A sum to which no leaf adds is 0.
    pub(super) fn walk(&self, row: &[f32], sums: &mut [f32]) {
        let start = match self.aggregate {
            Aggregate::Sum | Aggregate::Average => 0.0,
            Aggregate::Min => f32::INFINITY,
            Aggregate::Max => f32::NEG_INFINITY,
        };
        sums.fill(start);
        for root in &self.roots {
            for (sum, weight) in self.leaf(*root, row) {
                let Some(sum) = sums.get_mut(*sum) else { continue };
                *sum = match self.aggregate {
                    Aggregate::Sum | Aggregate::Average => *sum + weight,
                    Aggregate::Min => sum.min(*weight),
                    Aggregate::Max => sum.max(*weight),
                };
            }
        }
        match self.aggregate {
            Aggregate::Sum => {}
            Aggregate::Average => {
                sums.iter_mut().for_each(|sum| *sum /= self.roots.len() as f32);
            }
            Aggregate::Min | Aggregate::Max => {
                sums.iter_mut().filter(|sum| **sum == start).for_each(|sum| *sum = 0.0);
            }
        }
    }

    fn leaf(&self, root: usize, row: &[f32]) -> &[(usize, f32)] {
        let mut at = root;
        while let Some(node) = self.nodes.get(at) {
            match *node {
                Node::Leaf { first, end } => {
                    return self.weights.get(first..end).unwrap_or_default();
                }
                Node::Branch { feature, test, value, missing, yes, no } => {
                    let feature = row.get(feature).copied().unwrap_or(f32::NAN);
                    let is_missing = missing && feature.is_nan();
                    at = if is_missing || test.holds(feature, value) { yes } else { no };
                }
            }
        }
        &[]
    }

    /// How many features a row needs.
    pub(super) fn features(&self) -> usize {
        let used = self.nodes.iter().map(|node| match node {
            Node::Branch { feature, .. } => feature + 1,
            Node::Leaf { .. } => 0,
        });
        used.max().unwrap_or(0)
    }
}
