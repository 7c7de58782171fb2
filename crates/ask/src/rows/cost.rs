//! What is asked first: whatever excludes rows at little cost.

use crate::field::Field;
use crate::filter::{Filter, Level, Predicate, Target, Test};

/// The parts of an `and` or `or`, the cheap ones first; of equals, in the order given.
pub(super) fn cheap_first(parts: &[Filter]) -> Vec<&Filter> {
    let mut sorted: Vec<&Filter> = parts.iter().collect();
    sorted.sort_by_cached_key(|part| part.predicates().into_iter().map(cost).sum::<u32>());
    sorted
}

/// About; 1 is a comparison for each row.
fn cost(predicate: &Predicate) -> u32 {
    let target = match predicate.target() {
        Target::Field(field) => of_field(*field),
        Target::Attribute { level, .. } => match level {
            Level::Resource | Level::Scope => 1,
            Level::Span => 4,
            Level::Event | Level::Link => 64,
            Level::Any => 128,
        },
    };
    if matches!(predicate.test(), Test::Regex(_)) { 4 * target } else { target }
}

fn of_field(field: Field) -> u32 {
    match field {
        Field::Root | Field::Kind | Field::StatusCode | Field::Start | Field::Duration | Field::End => 1,
        Field::ServiceName | Field::ScopeName | Field::ScopeVersion => 1,
        Field::ScopeSchemaUrl | Field::ResourceSchemaUrl => 1,
        Field::Name | Field::StatusMessage | Field::TraceState => 2,
        // Every id is spelled out.
        Field::TraceId | Field::SpanId | Field::ParentSpanId => 16,
        Field::EventName | Field::EventTime | Field::EventOffset => 16,
        Field::LinkTraceId | Field::LinkSpanId | Field::LinkTraceState => 16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_ask_cheap_parts_first_and_equals_in_the_order_given() {
        let at = |level, key| Filter::exists(Target::attribute(level, key));
        let event = at(Level::Event, "e");
        let regex = Filter::regex(Target::attribute(Level::Span, "k"), "a.*").unwrap();
        let both = Filter::and(vec![at(Level::Span, "x"), at(Level::Scope, "x")]).unwrap();
        let (one, other) = (at(Level::Resource, "1"), at(Level::Resource, "2"));
        let given = [&event, &regex, &both, &one, &other].map(Clone::clone);
        assert_eq!(cheap_first(&given), [&one, &other, &both, &regex, &event]);
    }
}
