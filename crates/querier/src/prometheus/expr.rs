//! A query as a tree.

use siltstone_ask::Pattern;

use super::names::Metric;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    Number(f64),
    Rate(Rate),
    /// `histogram_quantile`
    Quantile {
        share: Box<Expr>,
        of: Box<Expr>,
    },
    Aggregate {
        operator: Operator,
        grouping: Grouping,
        of: Box<Expr>,
    },
    /// `topk` and `bottomk`, at each point anew.
    First {
        most: bool,
        count: Box<Expr>,
        grouping: Grouping,
        of: Box<Expr>,
    },
    Binary {
        operator: Binary,
        left: Box<Expr>,
        right: Box<Expr>,
    },
}

/// `rate(metric{…}[5m])`, or `increase`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rate {
    pub(super) metric: Metric,
    pub(super) matchers: Vec<Matcher>,
    pub(super) range_millis: u64,
    /// For each second, else in all.
    pub(super) is_per_second: bool,
}

/// What a label must be. One that is not there is an empty text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Matcher {
    pub(super) label: String,
    pub(super) is_negated: bool,
    pub(super) test: Test,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    Equals(String),
    Matches(Pattern),
}

impl Rate {
    /// Whether both are numbers of the same spans.
    pub(super) fn counts_the_same(&self, other: &Self) -> bool {
        let of = |rate: &Self| (rate.metric.family, rate.range_millis);
        of(self) == of(other) && self.matchers == other.matchers
    }
}

impl Matcher {
    pub(super) fn matches(&self, value: &str) -> bool {
        let holds = match &self.test {
            Test::Equals(text) => text == value,
            Test::Matches(pattern) => pattern.is_match(value),
        };
        holds != self.is_negated
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Sum,
    Average,
    Least,
    Most,
    Count,
    Group,
}

/// Which labels tell groups apart.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Grouping {
    By(Vec<String>),
    Without(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    /// These leave out points of which they are not true.
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Binary {
    /// The value of a point, if there is one.
    pub(super) fn of(self, left: f64, right: f64) -> Option<f64> {
        let holds = match self {
            Self::Add => return Some(left + right),
            Self::Subtract => return Some(left - right),
            Self::Multiply => return Some(left * right),
            Self::Divide => return Some(left / right),
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        };
        holds.then_some(left)
    }

    pub(super) fn is_comparison(self) -> bool {
        !matches!(self, Self::Add | Self::Subtract | Self::Multiply | Self::Divide)
    }
}

impl Expr {
    /// All counting that it asks for.
    pub(super) fn rates(&self) -> Vec<&Rate> {
        match self {
            Self::Number(_) => Vec::new(),
            Self::Rate(rate) => vec![rate],
            Self::Aggregate { of, .. } => of.rates(),
            Self::Quantile { share: one, of: other }
            | Self::First { count: one, of: other, .. }
            | Self::Binary { left: one, right: other, .. } => [one.rates(), other.rates()].concat(),
        }
    }
}
