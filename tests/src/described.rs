//! Filters that are described once and built twice: for the engine and for the oracle.
//!
//! A description picks keys and values by position among those that some spans hold, so that matches are
//! frequent.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use siltstone_ask::{Comparison, Field, Filter, FilterError, Level, Literal, Nested, Target};
use siltstone_format::span::Span;
use siltstone_format::value::{Attribute, Value};
use siltstone_testkit::OracleFilter;
use siltstone_testkit::oracle::{self, FilterValue};

const LEVELS: [Level; 5] = [Level::Span, Level::Resource, Level::Scope, Level::Event, Level::Link];

/// Names of kinds and status codes, as a user may write them.
const NAMES: [(Field, &str, i64); 11] = [
    (Field::Kind, "unspecified", 0),
    (Field::Kind, "INTERNAL", 1),
    (Field::Kind, "SPAN_KIND_SERVER", 2),
    (Field::Kind, "Client", 3),
    (Field::Kind, "span_kind_producer", 4),
    (Field::Kind, "consumer", 5),
    (Field::StatusCode, "unset", 0),
    (Field::StatusCode, "STATUS_CODE_UNSET", 0),
    (Field::StatusCode, "Ok", 1),
    (Field::StatusCode, "error", 2),
    (Field::StatusCode, "STATUS_CODE_ERROR", 2),
];

/// Where coercions are at their limits.
const HARD_TEXTS: [&str; 19] = [
    "",
    "72",
    "72.0",
    "+72",
    "072",
    "7.2e1",
    "72.50",
    "true",
    "false",
    "True",
    "NaN",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "-0",
    "9007199254740993",
    "9007199254740992",
    "9223372036854775808",
];
const HARD_DOUBLES: [f64; 9] = [
    0.0,
    -0.0,
    72.0,
    72.5,
    9_007_199_254_740_992.0,
    9_223_372_036_854_775_808.0,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
];
const HARD_INTS: [i64; 5] = [0, 72, 9_007_199_254_740_993, i64::MIN, i64::MAX];

/// A filter, as positions among what is known.
#[derive(Clone, Debug)]
pub enum Described {
    And(Vec<Described>),
    Or(Vec<Described>),
    Not(Box<Described>),
    /// On one event, or on one link.
    Some(Nested, Box<Described>),
    Is(Picked),
}

/// A predicate, as positions among what is known.
#[derive(Clone, Debug)]
pub struct Picked {
    target: Index,
    /// Asks for the key at another level than it was seen at.
    level: Option<Level>,
    values: Vec<PickedValue>,
    question: Question,
}

#[derive(Clone, Debug)]
struct PickedValue {
    whose: Whose,
    value: Index,
    spelling: Spelling,
}

#[derive(Clone, Copy, Debug)]
enum Whose {
    OfTheTarget,
    OfAnother(Index),
    Hard,
}

/// How a value is written down.
#[derive(Clone, Copy, Debug)]
pub enum Spelling {
    AsItIs,
    Text,
    TypedString,
    Int,
    Double,
    WithFraction,
    Neighbour,
}

/// What is asked of a target.
#[derive(Clone, Copy, Debug)]
pub enum Question {
    Compare(Comparison),
    In,
    Regex(Shape),
    Exists,
}

/// What patterns look like.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// The texts as they are, joined by `|`.
    Plain,
    Escaped,
    Beginning,
    AnyCase,
}

/// Any filter.
pub fn described() -> impl Strategy<Value = Described> {
    let predicate = picked().prop_map(Described::Is);
    predicate.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            2 => vec(inner.clone(), 0..4).prop_map(Described::And),
            2 => vec(inner.clone(), 0..4).prop_map(Described::Or),
            1 => inner.clone().prop_map(|inner| Described::Not(Box::new(inner))),
            2 => (select(&[Nested::Event, Nested::Link][..]), inner)
                .prop_map(|(of, inner)| Described::Some(of, Box::new(inner))),
        ]
    })
}

fn picked() -> impl Strategy<Value = Picked> {
    let level = prop_oneof![
        6 => Just(None),
        2 => Just(Some(Level::Any)),
        1 => select(&LEVELS[..]).prop_map(Some),
    ];
    let comparisons =
        [Comparison::Ne, Comparison::Lt, Comparison::Le, Comparison::Gt, Comparison::Ge].to_vec();
    let shapes = [Shape::Plain, Shape::Escaped, Shape::Beginning, Shape::AnyCase].to_vec();
    let question = prop_oneof![
        6 => Just(Question::Compare(Comparison::Eq)),
        5 => select(comparisons).prop_map(Question::Compare),
        2 => Just(Question::In),
        4 => select(shapes).prop_map(Question::Regex),
        1 => Just(Question::Exists),
    ];
    (any::<Index>(), level, vec(picked_value(), 1..4), question)
        .prop_map(|(target, level, values, question)| Picked { target, level, values, question })
}

fn picked_value() -> impl Strategy<Value = PickedValue> {
    let whose = prop_oneof![
        6 => Just(Whose::OfTheTarget),
        3 => any::<Index>().prop_map(Whose::OfAnother),
        1 => Just(Whose::Hard),
    ];
    let spelling = prop_oneof![
        4 => Just(Spelling::AsItIs),
        3 => Just(Spelling::Text),
        1 => Just(Spelling::TypedString),
        1 => Just(Spelling::Int),
        1 => Just(Spelling::Double),
        1 => Just(Spelling::WithFraction),
        1 => Just(Spelling::Neighbour),
    ];
    (whose, any::<Index>(), spelling).prop_map(|(whose, value, spelling)| PickedValue {
        whose,
        value,
        spelling,
    })
}

/// Every target of some spans, with its values.
#[derive(Debug)]
pub struct Known {
    targets: Vec<(Target, Vec<Literal>)>,
    hard: Vec<Literal>,
}

impl Known {
    pub fn of<'a>(spans: impl Iterator<Item = &'a Span>) -> Self {
        let mut known = Seen::default();
        // Names are not values of spans, and some keys are nowhere.
        for (field, name, _) in NAMES {
            known.add(field.into(), Some(Literal::Text(name.to_owned())));
        }
        for level in LEVELS {
            known.add(Target::attribute(level, "nowhere"), None);
        }
        spans.for_each(|span| known.add_span(span));
        Self { targets: known.targets, hard: hard_literals() }
    }

    /// Keys of attributes that were seen at a level.
    pub fn keys(&self, level: Level) -> impl Iterator<Item = &str> {
        self.targets.iter().filter_map(move |(target, _)| match target {
            Target::Attribute { level: at, key } if *at == level => Some(key.as_str()),
            _ => None,
        })
    }

    fn literal(&self, target: &[Literal], picked: &PickedValue) -> Literal {
        let values = match picked.whose {
            Whose::OfTheTarget => target,
            Whose::OfAnother(other) => &other.get(&self.targets).1,
            Whose::Hard => &self.hard,
        };
        let values = if values.is_empty() { &self.hard } else { values };
        picked.spelling.of(picked.value.get(values))
    }
}

/// Where coercions are at their limits.
pub fn hard_literals() -> Vec<Literal> {
    let texts = HARD_TEXTS.map(Literal::from).into_iter();
    let numbers = HARD_DOUBLES.map(Literal::from).into_iter().chain(HARD_INTS.map(Literal::from));
    texts.chain(numbers).chain([true, false].map(Literal::from)).collect()
}

#[derive(Default)]
struct Seen {
    targets: Vec<(Target, Vec<Literal>)>,
    places: HashMap<Target, usize>,
}

impl Seen {
    fn add(&mut self, target: Target, literal: Option<Literal>) {
        let place = *self.places.entry(target.clone()).or_insert(self.targets.len());
        if place == self.targets.len() {
            self.targets.push((target, Vec::new()));
        }
        // Some of many are enough.
        let values = &mut self.targets[place].1;
        values.extend(literal.filter(|_| values.len() < 200));
    }

    fn add_span(&mut self, span: &Span) {
        let origin = &span.origin;
        let mut text = |field: Field, text: &str| self.add(field.into(), Some(text.into()));
        text(Field::Name, &span.name);
        text(Field::StatusMessage, &span.status_message);
        text(Field::TraceState, &span.trace_state);
        text(Field::ServiceName, &origin.service_name());
        text(Field::ScopeName, &origin.scope_name);
        text(Field::ScopeVersion, &origin.scope_version);
        text(Field::TraceId, &span.trace_id.to_string());
        text(Field::SpanId, &span.span_id.to_string().to_uppercase());
        span.parent_span_id.iter().for_each(|id| text(Field::ParentSpanId, &id.to_string()));
        span.events.iter().for_each(|event| text(Field::EventName, &event.name));
        span.links.iter().for_each(|link| text(Field::LinkTraceId, &link.trace_id.to_string()));
        span.links.iter().for_each(|link| text(Field::LinkSpanId, &link.span_id.to_string()));
        span.links.iter().for_each(|link| text(Field::LinkTraceState, &link.trace_state));
        text(Field::ScopeSchemaUrl, &origin.scope_schema_url);
        text(Field::ResourceSchemaUrl, &origin.resource_schema_url);
        for event in &span.events {
            text(Field::EventTime, &event.time_unix_nano.to_string());
            let offset = i128::from(event.time_unix_nano) - i128::from(span.start_unix_nano);
            text(Field::EventOffset, &offset.to_string());
        }
        text(Field::Start, &span.start_unix_nano.to_string());
        text(Field::End, &span.end_unix_nano.to_string());
        let duration = i128::from(span.end_unix_nano) - i128::from(span.start_unix_nano);
        text(Field::Duration, &duration.to_string());
        self.add(Field::Kind.into(), Some(i64::from(span.kind).into()));
        self.add(Field::StatusCode.into(), Some(i64::from(span.status_code).into()));
        self.add(Field::Root.into(), Some(span.parent_span_id.is_none().into()));
        self.add_attributes(Level::Span, &span.attributes);
        self.add_attributes(Level::Resource, &origin.resource_attributes);
        self.add_attributes(Level::Scope, &origin.scope_attributes);
        span.events.iter().for_each(|event| self.add_attributes(Level::Event, &event.attributes));
        span.links.iter().for_each(|link| self.add_attributes(Level::Link, &link.attributes));
    }

    fn add_attributes(&mut self, level: Level, attributes: &[Attribute]) {
        for attribute in attributes {
            self.add_value(&Target::attribute(level, &attribute.key), &attribute.value);
        }
    }

    fn add_value(&mut self, target: &Target, value: &Value) {
        let literal = match value {
            Value::Str(text) => Literal::Text(text.clone()),
            Value::Int(int) => Literal::Int(*int),
            Value::Double(double) => Literal::Double(*double),
            Value::Bool(flag) => Literal::Bool(*flag),
            // Elements at any depth: those that lie too deep must not match.
            Value::Array(items) => return items.iter().for_each(|item| self.add_value(target, item)),
            Value::Empty | Value::Bytes(_) | Value::Map(_) => Literal::Text(value.text()),
        };
        self.add(target.clone(), Some(literal));
    }
}

impl Spelling {
    pub fn of(self, literal: &Literal) -> Literal {
        let text = literal.to_string();
        let number = text.parse::<f64>().ok();
        match (self, number) {
            (Self::Text, _) => Literal::Text(text),
            (Self::TypedString, _) => Literal::Str(text),
            (Self::Int, Some(number)) => Literal::Int(text.parse().unwrap_or(number as i64)),
            (Self::Double, Some(number)) => Literal::Double(number),
            (Self::WithFraction, Some(_)) => Literal::Text(format!("{text}.0")),
            (Self::Neighbour, Some(number)) => match literal {
                Literal::Int(int) => Literal::Int(int.wrapping_add(1)),
                _ => Literal::Double(number.next_up()),
            },
            (Self::AsItIs | Self::Int | Self::Double | Self::WithFraction | Self::Neighbour, _) => {
                literal.clone()
            }
        }
    }
}

/// One description, two filters.
pub struct Built {
    pub filter: Filter,
    pub oracle: OracleFilter,
}

impl Built {
    pub fn of(described: &Described, known: &Known) -> Self {
        let all = |parts: &[Described]| -> (Vec<Filter>, Vec<OracleFilter>) {
            let built = parts.iter().map(|part| Self::of(part, known));
            built.map(|built| (built.filter, built.oracle)).unzip()
        };
        match described {
            Described::And(parts) => {
                let (filters, oracles) = all(parts);
                Self { filter: Filter::and(filters).unwrap(), oracle: OracleFilter::And(oracles) }
            }
            Described::Or(parts) => {
                let (filters, oracles) = all(parts);
                Self { filter: Filter::or(filters).unwrap(), oracle: OracleFilter::Or(oracles) }
            }
            Described::Not(inner) => {
                let Self { filter, oracle } = Self::of(inner, known);
                Self { filter: Filter::negate(filter).unwrap(), oracle: OracleFilter::not(oracle) }
            }
            Described::Some(of, inner) => {
                let Self { filter, oracle } = Self::of(inner, known);
                // What cannot be told apart is refused; it is asked for without it then.
                match Filter::some(*of, filter.clone()) {
                    Ok(filter) => {
                        Self { filter, oracle: OracleFilter::Some(oracle_nested(*of), Box::new(oracle)) }
                    }
                    Err(_) => Self { filter, oracle },
                }
            }
            Described::Is(picked) => Self::predicate(picked, known),
        }
    }

    fn predicate(picked: &Picked, known: &Known) -> Self {
        let (target, values) = picked.target.get(&known.targets);
        let target = match (target, picked.level) {
            (Target::Attribute { key, .. }, Some(level)) => Target::attribute(level, key),
            _ => target.clone(),
        };
        let literals: Vec<Literal> =
            picked.values.iter().map(|picked| known.literal(values, picked)).collect();
        // What a field is not compared with is refused; presence is asked for in its place.
        Self::asking(&target, picked.question, &literals)
            .or_else(|_| Self::asking(&target, Question::Exists, &[]))
            .unwrap()
    }

    pub fn asking(target: &Target, question: Question, literals: &[Literal]) -> Result<Self, FilterError> {
        let seen = |literal: &Literal| oracle_value(target, literal);
        let (filter, test) = match question {
            Question::Exists => (Filter::exists(target.clone()), oracle::Test::Exists),
            Question::In => (
                Filter::one_of(target.clone(), literals.to_vec())?,
                oracle::Test::In(literals.iter().map(seen).collect()),
            ),
            Question::Compare(comparison) => (
                Filter::compare(target.clone(), comparison, literals[0].clone())?,
                oracle_comparison(comparison, seen(&literals[0])),
            ),
            Question::Regex(shape) => {
                let pattern = shape.pattern(literals);
                let filter = Filter::regex(target.clone(), &pattern)?;
                (filter, oracle::Test::Matches(oracle::filter::full_match(&pattern).unwrap()))
            }
        };
        Ok(Self { filter, oracle: oracle_predicate(target, test) })
    }
}

impl Shape {
    fn pattern(self, literals: &[Literal]) -> String {
        let text = literals[0].to_string();
        let beginning = |text: &str| text.chars().take(2).collect::<String>();
        match self {
            Self::Plain => literals.iter().map(Literal::to_string).collect::<Vec<_>>().join("|"),
            Self::Escaped => escape(&text),
            Self::Beginning => format!("{}.*", escape(&beginning(&text))),
            Self::AnyCase => format!("(?i){}|{}", escape(&text), escape(&beginning(&text))),
        }
    }
}

fn escape(text: &str) -> String {
    let special = |character: char| character.is_ascii_punctuation();
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

fn oracle_predicate(target: &Target, test: oracle::Test) -> OracleFilter {
    match target {
        Target::Field(field) => OracleFilter::field(oracle_field(*field), test),
        Target::Attribute { level, key } => {
            let at = |level| OracleFilter::attribute(level, key, test.clone());
            match level {
                Level::Span => at(oracle::Level::Span),
                Level::Resource => at(oracle::Level::Resource),
                Level::Scope => at(oracle::Level::Scope),
                Level::Event => at(oracle::Level::Event),
                Level::Link => at(oracle::Level::Link),
                Level::Any => OracleFilter::Or(vec![
                    at(oracle::Level::Span),
                    at(oracle::Level::Resource),
                    at(oracle::Level::Scope),
                    at(oracle::Level::Event),
                    at(oracle::Level::Link),
                ]),
            }
        }
    }
}

fn oracle_nested(of: Nested) -> oracle::Nested {
    match of {
        Nested::Event => oracle::Nested::Event,
        Nested::Link => oracle::Nested::Link,
    }
}

fn oracle_field(field: Field) -> oracle::Field {
    match field {
        Field::Name => oracle::Field::Name,
        Field::ServiceName => oracle::Field::ServiceName,
        Field::Kind => oracle::Field::Kind,
        Field::StatusCode => oracle::Field::StatusCode,
        Field::StatusMessage => oracle::Field::StatusMessage,
        Field::Duration => oracle::Field::DurationNanos,
        Field::Start => oracle::Field::StartUnixNanos,
        Field::End => oracle::Field::EndUnixNanos,
        Field::ScopeName => oracle::Field::ScopeName,
        Field::ScopeVersion => oracle::Field::ScopeVersion,
        Field::ScopeSchemaUrl => oracle::Field::ScopeSchemaUrl,
        Field::ResourceSchemaUrl => oracle::Field::ResourceSchemaUrl,
        Field::EventName => oracle::Field::EventName,
        Field::EventTime => oracle::Field::EventUnixNanos,
        Field::EventOffset => oracle::Field::EventOffsetNanos,
        Field::TraceId => oracle::Field::TraceId,
        Field::SpanId => oracle::Field::SpanId,
        Field::ParentSpanId => oracle::Field::ParentId,
        Field::TraceState => oracle::Field::TraceState,
        Field::LinkTraceId => oracle::Field::LinkTraceId,
        Field::LinkSpanId => oracle::Field::LinkSpanId,
        Field::LinkTraceState => oracle::Field::LinkTraceState,
        Field::Root => oracle::Field::IsRoot,
    }
}

fn oracle_comparison(comparison: Comparison, value: FilterValue) -> oracle::Test {
    match comparison {
        Comparison::Eq => oracle::Test::equal(value),
        Comparison::Ne => oracle::Test::NotEqual(value),
        Comparison::Lt => oracle::Test::less(value),
        Comparison::Le => oracle::Test::less_or_equal(value),
        Comparison::Gt => oracle::Test::greater(value),
        Comparison::Ge => oracle::Test::greater_or_equal(value),
    }
}

/// The oracle knows kinds by number and ids in lower case only.
fn oracle_value(target: &Target, literal: &Literal) -> FilterValue {
    if let (Target::Field(field), Literal::Text(text) | Literal::Str(text)) = (target, literal) {
        let named = NAMES.iter().find(|(of, name, _)| of == field && name.eq_ignore_ascii_case(text));
        if let Some((_, _, number)) = named {
            return FilterValue::Int(*number);
        }
        if matches!(
            field,
            Field::TraceId | Field::SpanId | Field::ParentSpanId | Field::LinkTraceId | Field::LinkSpanId
        ) {
            return FilterValue::Text(text.to_lowercase());
        }
    }
    match literal {
        Literal::Text(text) => FilterValue::Text(text.clone()),
        Literal::Str(text) => FilterValue::String(text.clone()),
        Literal::Int(int) => FilterValue::Int(*int),
        Literal::Double(double) => FilterValue::Double(*double),
        Literal::Bool(flag) => FilterValue::Bool(*flag),
    }
}
