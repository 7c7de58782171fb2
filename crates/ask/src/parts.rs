//! What must be read of spans before a question about them can be answered.

use siltstone_format::block::parts::{AttributeParts, Parts};

use crate::field::Field;
use crate::filter::{Filter, Level, Nested, Target};
use crate::window::Window;

impl Filter {
    /// The parts that [`Filter::rows`] looks at.
    pub fn parts(&self) -> Parts {
        let targets = self.predicates().into_iter().map(|predicate| predicate.target().parts());
        let some = self.quantified().into_iter().map(Nested::parts);
        targets.chain(some).fold(Parts::default(), |all, parts| all.and(&parts))
    }
}

impl Window {
    /// The parts that [`Window::rows`] looks at.
    pub fn parts(self) -> Parts {
        Parts { starts: self != Self::ALL, ..Parts::default() }
    }
}

impl Nested {
    fn parts(self) -> Parts {
        Parts { events: self == Self::Event, links: self == Self::Link, ..Parts::default() }
    }
}

impl Target {
    fn parts(&self) -> Parts {
        match self {
            Self::Field(field) => field.parts(),
            Self::Attribute { level, key } => {
                let at = |one| *level == one || *level == Level::Any;
                let keys = if at(Level::Span) { [key.clone()].into() } else { [].into() };
                Parts {
                    attributes: AttributeParts::Keys(keys),
                    origins: at(Level::Resource) || at(Level::Scope),
                    events: at(Level::Event),
                    links: at(Level::Link),
                    ..Parts::default()
                }
            }
        }
    }
}

impl Field {
    fn parts(self) -> Parts {
        let mut parts = Parts::default();
        match self {
            Self::Name => parts.names = true,
            Self::ServiceName | Self::ResourceSchemaUrl => parts.origins = true,
            Self::ScopeName | Self::ScopeVersion | Self::ScopeSchemaUrl => parts.origins = true,
            Self::Kind => parts.kinds = true,
            Self::StatusCode => parts.status_codes = true,
            Self::StatusMessage => parts.status_messages = true,
            Self::TraceState => parts.trace_states = true,
            Self::Start => parts.starts = true,
            // A stored duration is exact only together with the start.
            Self::Duration | Self::End => (parts.starts, parts.durations) = (true, true),
            Self::TraceId => parts.trace_ids = true,
            Self::SpanId => parts.span_ids = true,
            Self::ParentSpanId | Self::Root => parts.parents = true,
            Self::EventName | Self::EventTime => parts.events = true,
            Self::EventOffset => (parts.starts, parts.events) = (true, true),
            Self::LinkTraceId | Self::LinkSpanId | Self::LinkTraceState => parts.links = true,
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Comparison;

    #[test]
    fn should_name_what_all_predicates_look_at_and_no_more() {
        let span = |key: &str| Filter::exists(Target::attribute(Level::Span, key));
        let name = Filter::regex(Field::Name.into(), "GET .*").unwrap();
        let scope = Filter::exists(Target::attribute(Level::Scope, "c"));
        let deep = Filter::negate(Filter::or(vec![span("b"), scope]).unwrap()).unwrap();
        let filter = Filter::and(vec![span("a"), name, deep]).unwrap();
        let keys = ["a", "b"].map(str::to_owned).into();
        let parts =
            Parts { attributes: AttributeParts::Keys(keys), names: true, origins: true, ..Parts::default() };
        assert_eq!(filter.parts(), parts);
        assert_eq!(Filter::all().parts(), Parts::default());
    }

    #[test]
    fn should_need_the_events_of_which_one_is_wanted_whatever_is_asked_of_it() {
        let some = Filter::some(Nested::Event, Filter::all()).unwrap();
        assert_eq!(some.parts(), Parts { events: true, ..Parts::default() });
        let late = Filter::compare(Field::EventOffset.into(), Comparison::Gt, 5).unwrap();
        let parts = Filter::negate(Filter::some(Nested::Event, late).unwrap()).unwrap().parts();
        assert_eq!(parts, Parts { events: true, starts: true, ..Parts::default() });
    }

    #[test]
    fn should_look_everywhere_for_a_key_without_a_level() {
        let parts = Filter::exists(Target::attribute(Level::Any, "k")).parts();
        assert!(parts.attributes.holds("k") && parts.origins && parts.events && parts.links);
    }

    #[test]
    fn should_need_starts_for_a_window_that_leaves_some_out() {
        assert_eq!(Window::ALL.parts(), Parts::default());
        assert!(Window { start: 1, end: 2 }.parts().starts);
    }
}
