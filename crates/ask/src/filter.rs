//! The filter tree. It is built from parts that were checked one by one, so that
//! every [`Filter`] can be evaluated: its depth, its size and its regular expressions
//! are bounded, and its literals fit their fields.

use std::fmt;

use crate::error::FilterError;
use crate::field::Field;
use crate::literal::{Literal, Operand};
use crate::pattern::Pattern;

/// Deepest nesting of `and`, `or`, `not` and `some`; a predicate alone is 1 deep.
pub const MAX_DEPTH: usize = 64;
/// Most nodes in a filter; each value of an `in` counts.
pub const MAX_NODES: usize = 4096;
/// Most regular expressions in a filter.
pub const MAX_PATTERNS: usize = 16;

/// A question that is true or false for a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    node: Node,
    depth: usize,
    nodes: usize,
    patterns: usize,
}

/// What a filter is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// All hold on the same span; of none, every span matches.
    And(Vec<Filter>),
    /// One holds; of none, no span matches.
    Or(Vec<Filter>),
    /// Plain negation.
    Not(Box<Filter>),
    /// There is one of the span's events or links on which all of it holds: predicates about events, or about
    /// links, are about that one, all others about the span.
    Some(Nested, Box<Filter>),
    Predicate(Predicate),
}

/// One test of one target.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicate {
    target: Target,
    test: Test,
}

/// What is tested.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    Field(Field),
    Attribute { level: Level, key: String },
}

/// Where an attribute stands. A span has several events and links: a test holds if it
/// holds for one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    Span,
    Resource,
    Scope,
    Event,
    Link,
    /// At one of the others, for keys without a level.
    Any,
}

/// What a span may have several of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Nested {
    Event,
    Link,
}

/// What is asked of a target's values.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    Compare(Comparison, Operand),
    /// Equals one of these.
    In(Vec<Operand>),
    Regex(Pattern),
    /// There is a value, be it an empty one.
    Exists,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    Eq,
    /// The target is there, and no value of it is equal.
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Filter {
    /// Matches every span.
    pub fn all() -> Self {
        Self { node: Node::And(Vec::new()), depth: 1, nodes: 1, patterns: 0 }
    }

    /// Matches no span.
    pub fn none() -> Self {
        Self { node: Node::Or(Vec::new()), depth: 1, nodes: 1, patterns: 0 }
    }

    pub fn and(parts: Vec<Self>) -> Result<Self, FilterError> {
        Self::join(parts, Node::And)
    }

    pub fn or(parts: Vec<Self>) -> Result<Self, FilterError> {
        Self::join(parts, Node::Or)
    }

    pub fn negate(inner: Self) -> Result<Self, FilterError> {
        let (depth, nodes, patterns) = (inner.depth + 1, inner.nodes + 1, inner.patterns);
        Self::bounded(Node::Not(Box::new(inner)), depth, nodes, patterns)
    }

    /// Whether all of `inner` holds on one of the span's events, or links.
    pub fn some(of: Nested, inner: Self) -> Result<Self, FilterError> {
        inner.check_within_some(of)?;
        let (depth, nodes, patterns) = (inner.depth + 1, inner.nodes + 1, inner.patterns);
        Self::bounded(Node::Some(of, Box::new(inner)), depth, nodes, patterns)
    }

    pub fn compare(
        target: Target,
        comparison: Comparison,
        literal: impl Into<Literal>,
    ) -> Result<Self, FilterError> {
        let literal = literal.into();
        if comparison.is_order() {
            let unorderable = |what: String| Err(FilterError::Unorderable { what, comparison });
            match (&target, &literal) {
                (Target::Field(field), _) if !field.has_order() => return unorderable(field.to_string()),
                (_, Literal::Bool(flag)) => return unorderable(flag.to_string()),
                _ => {}
            }
        }
        let operand = target.operand(literal)?;
        Self::predicate(target, Test::Compare(comparison, operand), 1, 0)
    }

    /// Whether the target equals one of the literals.
    pub fn one_of(target: Target, literals: Vec<Literal>) -> Result<Self, FilterError> {
        let nodes = 1 + literals.len();
        if nodes > MAX_NODES {
            return Err(FilterError::TooManyNodes);
        }
        let operands: Result<_, _> = literals.into_iter().map(|literal| target.operand(literal)).collect();
        Self::predicate(target, Test::In(operands?), nodes, 0)
    }

    /// Whether a whole text of the target matches the pattern.
    pub fn regex(target: Target, pattern: &str) -> Result<Self, FilterError> {
        Self::predicate(target, Test::Regex(Pattern::new(pattern)?), 1, 1)
    }

    pub fn exists(target: Target) -> Self {
        let node = Node::Predicate(Predicate { target, test: Test::Exists });
        Self { node, depth: 1, nodes: 1, patterns: 0 }
    }

    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The same of the key at another level, if that is what it is about.
    pub(crate) fn at_level(&self, level: Level) -> Self {
        let mut at = self.clone();
        if let Node::Predicate(Predicate { target: Target::Attribute { level: of, .. }, .. }) = &mut at.node {
            *of = level;
        }
        at
    }

    /// What [`MAX_NODES`] bounds.
    pub(crate) fn nodes(&self) -> usize {
        self.nodes
    }

    /// What [`MAX_PATTERNS`] bounds.
    pub(crate) fn patterns(&self) -> usize {
        self.patterns
    }

    /// All predicates, wherever in the tree they stand.
    pub(crate) fn predicates(&self) -> Vec<&Predicate> {
        match &self.node {
            Node::And(parts) | Node::Or(parts) => parts.iter().flat_map(Self::predicates).collect(),
            Node::Not(inner) | Node::Some(_, inner) => inner.predicates(),
            Node::Predicate(predicate) => vec![predicate],
        }
    }

    /// What must be there for one of it to be found, wherever in the tree that is asked.
    pub(crate) fn quantified(&self) -> Vec<Nested> {
        match &self.node {
            Node::And(parts) | Node::Or(parts) => parts.iter().flat_map(Self::quantified).collect(),
            Node::Not(inner) => inner.quantified(),
            Node::Some(of, inner) => [*of].into_iter().chain(inner.quantified()).collect(),
            Node::Predicate(_) => Vec::new(),
        }
    }

    /// Which one a predicate is about must be clear.
    fn check_within_some(&self, of: Nested) -> Result<(), FilterError> {
        match &self.node {
            Node::And(parts) | Node::Or(parts) => {
                parts.iter().try_for_each(|part| part.check_within_some(of))
            }
            Node::Not(inner) => inner.check_within_some(of),
            Node::Some(other, inner) => {
                let is_about_both =
                    inner.predicates().iter().any(|predicate| predicate.target.nested() == Some(of));
                if *other == of || is_about_both { Err(FilterError::NestedSome(*other)) } else { Ok(()) }
            }
            Node::Predicate(Predicate { target: Target::Attribute { level: Level::Any, key }, .. }) => {
                Err(FilterError::SomeAtAnyLevel { of, key: key.clone() })
            }
            Node::Predicate(_) => Ok(()),
        }
    }

    fn predicate(target: Target, test: Test, nodes: usize, patterns: usize) -> Result<Self, FilterError> {
        Self::bounded(Node::Predicate(Predicate { target, test }), 1, nodes, patterns)
    }

    fn join(parts: Vec<Self>, node: fn(Vec<Self>) -> Node) -> Result<Self, FilterError> {
        let depth = 1 + parts.iter().map(|part| part.depth).max().unwrap_or(0);
        let nodes = 1 + parts.iter().map(|part| part.nodes).sum::<usize>();
        let patterns = parts.iter().map(|part| part.patterns).sum();
        Self::bounded(node(parts), depth, nodes, patterns)
    }

    fn bounded(node: Node, depth: usize, nodes: usize, patterns: usize) -> Result<Self, FilterError> {
        if depth > MAX_DEPTH {
            Err(FilterError::TooDeep)
        } else if nodes > MAX_NODES {
            Err(FilterError::TooManyNodes)
        } else if patterns > MAX_PATTERNS {
            Err(FilterError::TooManyPatterns)
        } else {
            Ok(Self { node, depth, nodes, patterns })
        }
    }
}

impl Predicate {
    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn test(&self) -> &Test {
        &self.test
    }
}

impl Target {
    pub fn attribute(level: Level, key: impl Into<String>) -> Self {
        Self::Attribute { level, key: key.into() }
    }

    /// Whose of several things of a span this is; none: the span's, its resource's, its scope's, or anybody's.
    pub(crate) fn nested(&self) -> Option<Nested> {
        match self {
            Self::Field(field) => field.nested(),
            Self::Attribute { level: Level::Event, .. } => Some(Nested::Event),
            Self::Attribute { level: Level::Link, .. } => Some(Nested::Link),
            Self::Attribute { .. } => None,
        }
    }

    fn operand(&self, literal: Literal) -> Result<Operand, FilterError> {
        match self {
            Self::Field(field) => field.check(literal).map(Operand::new),
            Self::Attribute { .. } => Ok(Operand::new(literal)),
        }
    }
}

impl From<Field> for Target {
    fn from(field: Field) -> Self {
        Self::Field(field)
    }
}

impl Comparison {
    pub fn is_order(self) -> bool {
        !matches!(self, Self::Eq | Self::Ne)
    }
}

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Event => "event",
            Self::Link => "link",
        })
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Target {
        Target::attribute(Level::Span, "k")
    }

    fn nested(depth: usize) -> Result<Filter, FilterError> {
        (1..depth).try_fold(Filter::exists(key()), |inner, _| Filter::negate(inner))
    }

    #[test]
    fn should_bound_the_depth() {
        assert!(nested(MAX_DEPTH).is_ok());
        assert_eq!(nested(MAX_DEPTH + 1), Err(FilterError::TooDeep));
        let deepest = nested(MAX_DEPTH).unwrap();
        assert_eq!(Filter::and(vec![Filter::all(), deepest.clone()]), Err(FilterError::TooDeep));
        assert_eq!(Filter::or(vec![deepest]), Err(FilterError::TooDeep));
    }

    #[test]
    fn should_bound_the_number_of_nodes_and_values() {
        let literals = |count: usize| vec![Literal::Int(1); count];
        assert!(Filter::one_of(key(), literals(MAX_NODES - 1)).is_ok());
        assert_eq!(Filter::one_of(key(), literals(MAX_NODES)), Err(FilterError::TooManyNodes));
        let half = Filter::one_of(key(), literals(MAX_NODES / 2)).unwrap();
        assert_eq!(Filter::or(vec![half.clone(), half]), Err(FilterError::TooManyNodes));
        assert_eq!(Filter::and(vec![Filter::all(); MAX_NODES]), Err(FilterError::TooManyNodes));
    }

    #[test]
    fn should_bound_the_number_of_patterns() {
        let pattern = Filter::regex(key(), "a.*").unwrap();
        assert!(Filter::or(vec![pattern.clone(); MAX_PATTERNS]).is_ok());
        assert_eq!(Filter::or(vec![pattern; MAX_PATTERNS + 1]), Err(FilterError::TooManyPatterns));
    }

    #[test]
    fn should_refuse_some_of_which_nobody_knows_what_it_is_about() {
        let of_event = || Filter::exists(Target::attribute(Level::Event, "k"));
        let of_link = || Filter::exists(Field::LinkTraceId.into());
        let events = |inner| Filter::some(Nested::Event, inner);
        let links = |inner| Filter::some(Nested::Link, inner);
        assert!(events(Filter::and(vec![of_event(), of_link(), Filter::exists(key())]).unwrap()).is_ok());
        assert!(events(links(of_link()).unwrap()).is_ok());
        assert_eq!(events(events(of_event()).unwrap()), Err(FilterError::NestedSome(Nested::Event)));
        let both = links(Filter::or(vec![of_link(), of_event()]).unwrap()).unwrap();
        assert_eq!(events(Filter::negate(both).unwrap()), Err(FilterError::NestedSome(Nested::Link)));
        let anywhere = Filter::exists(Target::attribute(Level::Any, "k"));
        let refused = events(anywhere).unwrap_err();
        assert_eq!(refused.to_string(), "within `some event` the key `k` has no level; name one");
    }

    #[test]
    fn should_refuse_an_order_where_there_is_none() {
        let error = Filter::compare(key(), Comparison::Lt, true).unwrap_err().to_string();
        assert_eq!(error, "`true` has no order, so `<` cannot be asked of it; use `=`, `!=` or `in`");
        for field in [Field::Kind, Field::StatusCode, Field::TraceId, Field::ParentSpanId, Field::Root] {
            let error = Filter::compare(field.into(), Comparison::Ge, "2").unwrap_err();
            assert!(matches!(error, FilterError::Unorderable { .. }), "{error}");
        }
        assert!(Filter::compare(Field::Duration.into(), Comparison::Ge, "2").is_ok());
        assert!(Filter::compare(Field::Name.into(), Comparison::Ge, "m").is_ok());
    }

    #[test]
    fn should_check_every_literal_against_its_field() {
        assert!(Filter::compare(Field::Kind.into(), Comparison::Eq, "sever").is_err());
        assert!(Filter::one_of(Field::Kind.into(), vec!["server".into(), "x".into()]).is_err());
        let by_name = Filter::compare(Field::Kind.into(), Comparison::Eq, "server");
        assert_eq!(by_name, Filter::compare(Field::Kind.into(), Comparison::Eq, 2));
    }
}
