//! Questions about what a span says.

use proptest::prelude::*;
use proptest::sample::select;
use siltstone_ask::{Comparison, Field, Filter, Level, Literal, Target};
use siltstone_format::span::Span;
use siltstone_format::value::{Attribute, Value};

pub(crate) const LEVELS: [Level; 6] =
    [Level::Span, Level::Resource, Level::Scope, Level::Event, Level::Link, Level::Any];

pub(crate) const KINDS: [Kind; 9] = [
    Kind::Compare(Comparison::Eq),
    Kind::Compare(Comparison::Ne),
    Kind::Compare(Comparison::Lt),
    Kind::Compare(Comparison::Le),
    Kind::Compare(Comparison::Gt),
    Kind::Compare(Comparison::Ge),
    Kind::In,
    Kind::Regex,
    Kind::Exists,
];

/// How a value is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Compare(Comparison),
    In,
    Regex,
    Exists,
}

/// What is asked for; the value is the span's.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) target: Target,
    pub(crate) kind: Kind,
    as_text: bool,
}

pub(crate) fn question() -> impl Strategy<Value = Question> {
    let fields = Field::ALL.into_iter().map(Target::Field);
    let levels = LEVELS.into_iter().map(|level| Target::attribute(level, "a"));
    let targets: Vec<Target> = fields.chain(levels).collect();
    (select(targets), select(KINDS.to_vec()), any::<bool>()).prop_map(|(target, kind, as_text)| Question {
        target,
        kind,
        as_text,
    })
}

impl Question {
    /// None: the span says nothing there, or it cannot be asked for in this way.
    pub(crate) fn about(&self, span: &Span) -> Option<Filter> {
        let target = self.target.clone();
        let value = match &target {
            Target::Field(field) => Value::Str(of_field(*field, span)?),
            Target::Attribute { level, .. } => of_level(*level, span)?,
        };
        let literal = match value {
            Value::Int(int) if !self.as_text => Literal::Int(int),
            Value::Double(double) if !self.as_text => Literal::Double(double),
            Value::Bool(flag) if !self.as_text => Literal::Bool(flag),
            other => Literal::Text(other.text()),
        };
        let filter = match self.kind {
            Kind::Compare(comparison) => Filter::compare(target, comparison, literal),
            Kind::In => Filter::one_of(target, vec![literal.clone(), literal]),
            Kind::Regex => Filter::regex(target, &literal.to_string().replace(['[', '{', '+'], ".")),
            Kind::Exists => Ok(Filter::exists(target)),
        };
        filter.ok()
    }
}

fn of_level(level: Level, span: &Span) -> Option<Value> {
    let of = |attributes: &[Attribute]| {
        let found = attributes.iter().find(|attribute| attribute.key == "a");
        found.map(|attribute| match &attribute.value {
            Value::Array(items) => items.first().cloned().unwrap_or_default(),
            plain => plain.clone(),
        })
    };
    match level {
        Level::Span | Level::Any => of(&span.attributes),
        Level::Resource => of(&span.origin.resource_attributes),
        Level::Scope => of(&span.origin.scope_attributes),
        Level::Event => span.events.iter().find_map(|event| of(&event.attributes)),
        Level::Link => span.links.iter().find_map(|link| of(&link.attributes)),
    }
}

fn of_field(field: Field, span: &Span) -> Option<String> {
    let (start, end) = (span.start_unix_nano, span.end_unix_nano);
    Some(match field {
        Field::Name => span.name.clone(),
        Field::ServiceName => span.origin.service_name(),
        Field::Kind => span.kind.to_string(),
        Field::StatusCode => span.status_code.to_string(),
        Field::StatusMessage => span.status_message.clone(),
        Field::Duration => (i128::from(end) - i128::from(start)).to_string(),
        Field::Start => start.to_string(),
        Field::End => end.to_string(),
        Field::ScopeName => span.origin.scope_name.clone(),
        Field::ScopeVersion => span.origin.scope_version.clone(),
        Field::ScopeSchemaUrl => span.origin.scope_schema_url.clone(),
        Field::ResourceSchemaUrl => span.origin.resource_schema_url.clone(),
        Field::EventName => span.events.first()?.name.clone(),
        Field::EventTime => span.events.first()?.time_unix_nano.to_string(),
        Field::EventOffset => {
            (i128::from(span.events.first()?.time_unix_nano) - i128::from(start)).to_string()
        }
        Field::TraceId => span.trace_id.to_string(),
        Field::SpanId => span.span_id.to_string(),
        Field::ParentSpanId => span.parent_span_id?.to_string(),
        Field::TraceState => span.trace_state.clone(),
        Field::LinkTraceId => span.links.first()?.trace_id.to_string(),
        Field::LinkSpanId => span.links.first()?.span_id.to_string(),
        Field::LinkTraceState => span.links.first()?.trace_state.clone(),
        Field::Root => span.parent_span_id.is_none().to_string(),
    })
}
