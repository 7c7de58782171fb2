//! A filter as bytes, for whoever answers it in another process.
//!
//! The tree travels as steps of a stack machine, leaves first, so that reading it needs no recursion:
//!
//! ```text
//! and(a, not(b))   →   a · b · not · and 2
//! ```
//!
//! Reading builds the filter from its parts as anybody else must, so that what is read is bounded and fits
//! its fields. Bytes that say more than this release understands are refused: a question must not become
//! wider or narrower on its way.

use prost::{Message, Oneof};

use crate::error::FilterError;
use crate::field::Field;
use crate::filter::{
    Comparison, Filter, Level, MAX_NODES, MAX_PATTERNS, Nested, Node, Predicate, Target, Test,
};
use crate::literal::{Literal, Operand};

/// Longest bytes of a filter that are read.
pub const MAX_FILTER_BYTES: usize = 1 << 20;

/// Why bytes are no filter.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WireError {
    #[error("a filter of {length} bytes is over the limit of {MAX_FILTER_BYTES}; ask in several parts")]
    TooLong { length: usize },
    #[error("the bytes are no filter: {0}")]
    Malformed(&'static str),
    #[error("the filter asks for what this release does not know: {0}")]
    Unknown(&'static str),
    #[error(transparent)]
    Filter(#[from] FilterError),
}

impl Filter {
    /// The filter as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut message = FilterMessage::default();
        write(self, &mut message.steps);
        message.encode_to_vec()
    }

    /// The filter whose bytes these are.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        if bytes.len() > MAX_FILTER_BYTES {
            return Err(WireError::TooLong { length: bytes.len() });
        }
        let message = FilterMessage::decode(bytes).map_err(|_| WireError::Malformed("they are damaged"))?;
        // What was skipped as unknown is missing now.
        if message.encode_to_vec() != bytes {
            return Err(WireError::Unknown("a field of a later release"));
        }
        if message.steps.len() > MAX_NODES {
            return Err(FilterError::TooManyNodes.into());
        }
        let is_pattern = |step: &&Step| matches!(step.what, Some(What::Regex(_)));
        // Counted before they are compiled.
        if message.steps.iter().filter(is_pattern).count() > MAX_PATTERNS {
            return Err(FilterError::TooManyPatterns.into());
        }
        let mut stack = Vec::new();
        for step in message.steps {
            let filter = step.apply(&mut stack)?;
            stack.push(filter);
        }
        match (stack.pop(), stack.is_empty()) {
            (Some(filter), true) => Ok(filter),
            _ => Err(WireError::Malformed("they are not one tree")),
        }
    }
}

fn write(filter: &Filter, steps: &mut Vec<Step>) {
    let (target, what) = match filter.node() {
        Node::And(parts) => (None, What::And(write_parts(parts, steps))),
        Node::Or(parts) => (None, What::Or(write_parts(parts, steps))),
        Node::Not(inner) => {
            write(inner, steps);
            (None, What::Not(true))
        }
        Node::Some(of, inner) => {
            write(inner, steps);
            (None, What::Some(nested_number(*of)))
        }
        Node::Predicate(predicate) => (Some(target_message(predicate)), test_message(predicate.test())),
    };
    steps.push(Step { target, what: Some(what) });
}

fn write_parts(parts: &[Filter], steps: &mut Vec<Step>) -> u32 {
    parts.iter().for_each(|part| write(part, steps));
    // A filter has at most MAX_NODES parts.
    parts.len() as u32
}

fn target_message(predicate: &Predicate) -> TargetMessage {
    match predicate.target() {
        Target::Field(field) => TargetMessage { field: field.name().to_owned(), ..TargetMessage::default() },
        Target::Attribute { level, key } => {
            TargetMessage { field: String::new(), level: level_number(*level), key: key.clone() }
        }
    }
}

fn test_message(test: &Test) -> What {
    match test {
        Test::Compare(comparison, operand) => What::Compare(CompareMessage {
            comparison: comparison_number(*comparison),
            literal: Some(LiteralMessage::of(operand)),
        }),
        Test::In(operands) => {
            What::OneOf(OneOfMessage { literals: operands.iter().map(LiteralMessage::of).collect() })
        }
        Test::Regex(pattern) => What::Regex(pattern.as_str().to_owned()),
        Test::Exists => What::Exists(true),
    }
}

impl Step {
    /// The filter that this step makes of those before it.
    fn apply(self, stack: &mut Vec<Filter>) -> Result<Filter, WireError> {
        let what = self.what.ok_or(WireError::Unknown("a step without a name"))?;
        let target = self.target.map(TargetMessage::target).transpose()?;
        Ok(match (what, target) {
            (What::And(count), None) => Filter::and(take(stack, count)?)?,
            (What::Or(count), None) => Filter::or(take(stack, count)?)?,
            (What::Not(true), None) => {
                Filter::negate(stack.pop().ok_or(WireError::Malformed("nothing to negate"))?)?
            }
            (What::Some(of), None) => {
                let inner = stack.pop().ok_or(WireError::Malformed("nothing to be some of"))?;
                Filter::some(nested_of(of)?, inner)?
            }
            (What::Compare(compare), Some(target)) => {
                let literal = compare.literal.ok_or(WireError::Malformed("nothing to compare with"))?;
                Filter::compare(target, comparison_of(compare.comparison)?, literal.literal()?)?
            }
            (What::OneOf(one_of), Some(target)) => {
                if one_of.literals.len() > MAX_NODES {
                    return Err(FilterError::TooManyNodes.into());
                }
                let literals: Result<_, _> =
                    one_of.literals.into_iter().map(LiteralMessage::literal).collect();
                Filter::one_of(target, literals?)?
            }
            (What::Regex(pattern), Some(target)) => Filter::regex(target, &pattern)?,
            (What::Exists(true), Some(target)) => Filter::exists(target),
            _ => return Err(WireError::Malformed("a step that does not fit its parts")),
        })
    }
}

fn take(stack: &mut Vec<Filter>, count: u32) -> Result<Vec<Filter>, WireError> {
    let first = usize::try_from(count).ok().and_then(|count| stack.len().checked_sub(count));
    first.map(|first| stack.split_off(first)).ok_or(WireError::Malformed("fewer parts than it says"))
}

impl TargetMessage {
    fn target(self) -> Result<Target, WireError> {
        if self.field.is_empty() {
            return Ok(Target::Attribute { level: level_of(self.level)?, key: self.key });
        }
        if self.level != 0 || !self.key.is_empty() {
            return Err(WireError::Malformed("a target that is a field and an attribute"));
        }
        let field = Field::ALL.into_iter().find(|field| field.name() == self.field);
        field.map(Target::Field).ok_or(WireError::Unknown("a field of spans"))
    }
}

impl LiteralMessage {
    fn of(operand: &Operand) -> Self {
        let value = match operand.literal() {
            Literal::Text(text) => LiteralValue::Text(text.clone()),
            Literal::Str(text) => LiteralValue::Str(text.clone()),
            Literal::Int(int) => LiteralValue::Int(*int),
            Literal::Double(double) => LiteralValue::Double(double.to_bits()),
            Literal::Bool(flag) => LiteralValue::Bool(*flag),
        };
        Self { value: Some(value) }
    }

    fn literal(self) -> Result<Literal, WireError> {
        Ok(match self.value.ok_or(WireError::Unknown("a type of literals"))? {
            LiteralValue::Text(text) => Literal::Text(text),
            LiteralValue::Str(text) => Literal::Str(text),
            LiteralValue::Int(int) => Literal::Int(int),
            LiteralValue::Double(bits) => Literal::Double(f64::from_bits(bits)),
            LiteralValue::Bool(flag) => Literal::Bool(flag),
        })
    }
}

fn level_number(level: Level) -> u32 {
    match level {
        Level::Span => 1,
        Level::Resource => 2,
        Level::Scope => 3,
        Level::Event => 4,
        Level::Link => 5,
        Level::Any => 6,
    }
}

fn level_of(number: u32) -> Result<Level, WireError> {
    let levels = [Level::Span, Level::Resource, Level::Scope, Level::Event, Level::Link, Level::Any];
    let found = levels.into_iter().find(|level| level_number(*level) == number);
    found.ok_or(WireError::Unknown("a level of attributes"))
}

fn nested_number(of: Nested) -> u32 {
    match of {
        Nested::Event => 1,
        Nested::Link => 2,
    }
}

fn nested_of(number: u32) -> Result<Nested, WireError> {
    let found = [Nested::Event, Nested::Link].into_iter().find(|of| nested_number(*of) == number);
    found.ok_or(WireError::Unknown("what a span has several of"))
}

fn comparison_number(comparison: Comparison) -> u32 {
    match comparison {
        Comparison::Eq => 1,
        Comparison::Ne => 2,
        Comparison::Lt => 3,
        Comparison::Le => 4,
        Comparison::Gt => 5,
        Comparison::Ge => 6,
    }
}

fn comparison_of(number: u32) -> Result<Comparison, WireError> {
    use Comparison::{Eq, Ge, Gt, Le, Lt, Ne};
    let found = [Eq, Ne, Lt, Le, Gt, Ge].into_iter().find(|known| comparison_number(*known) == number);
    found.ok_or(WireError::Unknown("a comparison"))
}

#[derive(Clone, PartialEq, Message)]
struct FilterMessage {
    #[prost(message, repeated, tag = "1")]
    steps: Vec<Step>,
}

#[derive(Clone, PartialEq, Message)]
struct Step {
    /// Of a predicate.
    #[prost(message, optional, tag = "1")]
    target: Option<TargetMessage>,
    #[prost(oneof = "What", tags = "2, 3, 4, 5, 6, 7, 8, 9")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, Oneof)]
enum What {
    /// Of so many filters before it.
    #[prost(uint32, tag = "2")]
    And(u32),
    #[prost(uint32, tag = "3")]
    Or(u32),
    #[prost(bool, tag = "4")]
    Not(bool),
    #[prost(message, tag = "5")]
    Compare(CompareMessage),
    #[prost(message, tag = "6")]
    OneOf(OneOfMessage),
    #[prost(string, tag = "7")]
    Regex(String),
    #[prost(bool, tag = "8")]
    Exists(bool),
    /// Of the filter before it: on one event, or on one link.
    #[prost(uint32, tag = "9")]
    Some(u32),
}

/// A field by its name, or an attribute.
#[derive(Clone, PartialEq, Message)]
struct TargetMessage {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(uint32, tag = "2")]
    level: u32,
    #[prost(string, tag = "3")]
    key: String,
}

#[derive(Clone, PartialEq, Message)]
struct CompareMessage {
    #[prost(uint32, tag = "1")]
    comparison: u32,
    #[prost(message, optional, tag = "2")]
    literal: Option<LiteralMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct OneOfMessage {
    #[prost(message, repeated, tag = "1")]
    literals: Vec<LiteralMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct LiteralMessage {
    #[prost(oneof = "LiteralValue", tags = "1, 2, 3, 4, 5")]
    value: Option<LiteralValue>,
}

#[derive(Clone, PartialEq, Oneof)]
enum LiteralValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(string, tag = "2")]
    Str(String),
    #[prost(sint64, tag = "3")]
    Int(i64),
    /// Its bits: a NaN keeps its payload.
    #[prost(fixed64, tag = "4")]
    Double(u64),
    #[prost(bool, tag = "5")]
    Bool(bool),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::MAX_DEPTH;

    fn key() -> Target {
        Target::attribute(Level::Span, "k")
    }

    fn refused(steps: Vec<Step>) -> WireError {
        Filter::from_bytes(&FilterMessage { steps }.encode_to_vec()).unwrap_err()
    }

    fn step(what: What) -> Step {
        Step { target: None, what: Some(what) }
    }

    #[test]
    fn should_give_back_the_largest_filters() {
        let deepest =
            (1..MAX_DEPTH).try_fold(Filter::exists(key()), |inner, _| Filter::negate(inner)).unwrap();
        let widest = Filter::and(vec![Filter::all(); MAX_NODES - 1]).unwrap();
        let literals = Filter::one_of(key(), vec![Literal::Int(i64::MIN); MAX_NODES - 1]).unwrap();
        let patterns = Filter::or(vec![Filter::regex(key(), "a|b.*").unwrap(); MAX_PATTERNS]).unwrap();
        let some = [Nested::Event, Nested::Link].map(|of| Filter::some(of, Filter::exists(key())).unwrap());
        for filter in
            [deepest, widest, literals, patterns, Filter::all(), Filter::none()].into_iter().chain(some)
        {
            assert_eq!(Filter::from_bytes(&filter.to_bytes()), Ok(filter));
        }
    }

    #[test]
    fn should_keep_the_bits_of_doubles() {
        let odd = f64::from_bits(0x7ff8_0000_0000_1234);
        let filter = Filter::compare(key(), Comparison::Eq, odd).unwrap();
        let read = Filter::from_bytes(&filter.to_bytes()).unwrap();
        assert_eq!(read.to_bytes(), filter.to_bytes());
        let Node::Predicate(predicate) = read.node() else { panic!("{read:?}") };
        let Test::Compare(_, operand) = predicate.test() else { panic!("{read:?}") };
        assert!(matches!(operand.literal(), Literal::Double(read) if read.to_bits() == odd.to_bits()));
    }

    #[test]
    fn should_refuse_what_is_not_one_tree() {
        assert_eq!(refused(vec![]), WireError::Malformed("they are not one tree"));
        assert_eq!(refused(vec![step(What::And(0)), step(What::Or(0))]), refused(vec![]));
        assert_eq!(refused(vec![step(What::And(1))]), WireError::Malformed("fewer parts than it says"));
        assert_eq!(refused(vec![step(What::Not(true))]), WireError::Malformed("nothing to negate"));
        assert_eq!(refused(vec![step(What::Some(1))]), WireError::Malformed("nothing to be some of"));
        let aimless = WireError::Malformed("a step that does not fit its parts");
        assert_eq!(refused(vec![step(What::Exists(true))]), aimless);
        assert_eq!(refused(vec![step(What::And(0)), step(What::Not(false))]), aimless);
    }

    #[test]
    fn should_refuse_what_a_later_release_asks() {
        let mut bytes = Filter::all().to_bytes();
        bytes.extend([0x78, 1]);
        assert_eq!(Filter::from_bytes(&bytes), Err(WireError::Unknown("a field of a later release")));
        let of = |target| refused(vec![Step { target: Some(target), what: Some(What::Exists(true)) }]);
        let field = TargetMessage { field: "colour".to_owned(), ..TargetMessage::default() };
        assert_eq!(of(field), WireError::Unknown("a field of spans"));
        let level = TargetMessage { level: 7, ..TargetMessage::default() };
        assert_eq!(of(level), WireError::Unknown("a level of attributes"));
        let some = refused(vec![step(What::And(0)), step(What::Some(3))]);
        assert_eq!(some, WireError::Unknown("what a span has several of"));
        let compare = CompareMessage { comparison: 7, literal: Some(LiteralMessage::default()) };
        let target = Some(target_message_of(key()));
        assert!(matches!(
            refused(vec![Step { target, what: Some(What::Compare(compare)) }]),
            WireError::Unknown(_)
        ));
    }

    fn target_message_of(target: Target) -> TargetMessage {
        match Filter::exists(target).node() {
            Node::Predicate(predicate) => target_message(predicate),
            node => panic!("{node:?}"),
        }
    }

    #[test]
    fn should_bound_what_it_reads() {
        assert_eq!(refused(vec![step(What::And(0)); MAX_NODES + 1]), FilterError::TooManyNodes.into());
        let deep = std::iter::once(What::And(0)).chain(vec![What::Not(true); MAX_DEPTH]);
        assert_eq!(refused(deep.map(step).collect()), FilterError::TooDeep.into());
        let long = Filter::exists(Target::attribute(Level::Span, "k".repeat(MAX_FILTER_BYTES))).to_bytes();
        assert_eq!(Filter::from_bytes(&long), Err(WireError::TooLong { length: long.len() }));
        let target = Some(target_message_of(key()));
        let pattern = Step { target: target.clone(), what: Some(What::Regex("a".to_owned())) };
        assert_eq!(refused(vec![pattern; MAX_PATTERNS + 1]), FilterError::TooManyPatterns.into());
        let wrong = Step { target, what: Some(What::Regex("(".to_owned())) };
        assert!(matches!(refused(vec![wrong]), WireError::Filter(FilterError::Pattern { .. })));
    }
}
