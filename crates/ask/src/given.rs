//! A filter for spans of which it is known which terms they may have: what none of them can match is not asked.
//!
//! A key without a level is asked for at each: of a span, its resource, its scope, its events and links. Most keys
//! stand at one level of all spans of a block, and what stands in no column of its own is dear to read.

use crate::error::FilterError;
use crate::filter::{Filter, Level, Node, Predicate, Target};
use crate::probe::probe;

const LEVELS: [Level; 5] = [Level::Span, Level::Resource, Level::Scope, Level::Event, Level::Link];

impl Filter {
    /// Whether a key is asked for without a level.
    pub fn asks_everywhere(&self) -> bool {
        self.predicates().into_iter().any(Predicate::is_everywhere)
    }

    /// A filter that matches those of some spans that this one matches. `may_be_there`: whether one of them may have a
    /// term.
    #[must_use]
    pub fn given(&self, mut may_be_there: impl FnMut(u64) -> bool) -> Self {
        // It is not larger, except where one level becomes several.
        self.without_absent(&mut may_be_there).unwrap_or_else(|| self.clone())
    }

    /// None: it would be too large.
    fn without_absent(&self, may_be_there: &mut dyn FnMut(u64) -> bool) -> Option<Self> {
        if !probe(self).may_match(&mut *may_be_there) {
            return Some(Self::none());
        }
        let mut parts_given = |parts: &[Self]| -> Option<Vec<Self>> {
            parts.iter().map(|part| part.without_absent(may_be_there)).collect()
        };
        match self.node() {
            Node::And(parts) => {
                let parts = parts_given(parts)?;
                match parts.iter().any(Self::is_none) {
                    true => Some(Self::none()),
                    false => join(parts.into_iter().filter(|part| !part.is_all()).collect(), Self::and),
                }
            }
            Node::Or(parts) => {
                let parts = parts_given(parts)?;
                match parts.iter().any(Self::is_all) {
                    true => Some(Self::all()),
                    false => join(parts.into_iter().filter(|part| !part.is_none()).collect(), Self::or),
                }
            }
            Node::Not(inner) => match inner.without_absent(may_be_there)? {
                inner if inner.is_none() => Some(Self::all()),
                inner if inner.is_all() => Some(Self::none()),
                inner => Self::negate(inner).ok(),
            },
            // What is asked of one event or link has its level.
            Node::Some(..) => Some(self.clone()),
            Node::Predicate(predicate) if predicate.is_everywhere() => {
                let at_levels = LEVELS.into_iter().map(|level| self.at_level(level));
                let at_levels: Vec<Self> =
                    at_levels.filter(|at| probe(at).may_match(&mut *may_be_there)).collect();
                match at_levels.len() {
                    all if all == LEVELS.len() => Some(self.clone()),
                    _ => join(at_levels, Self::or),
                }
            }
            Node::Predicate(_) => Some(self.clone()),
        }
    }

    pub(crate) fn is_all(&self) -> bool {
        matches!(self.node(), Node::And(parts) if parts.is_empty())
    }

    pub(crate) fn is_none(&self) -> bool {
        matches!(self.node(), Node::Or(parts) if parts.is_empty())
    }
}

impl Predicate {
    fn is_everywhere(&self) -> bool {
        matches!(self.target(), Target::Attribute { level: Level::Any, .. })
    }
}

fn join(mut parts: Vec<Filter>, join: fn(Vec<Filter>) -> Result<Filter, FilterError>) -> Option<Filter> {
    if parts.len() == 1 { parts.pop() } else { join(parts).ok() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use siltstone_format::term::{TermScope, TermValue, term};

    use super::*;
    use crate::filter::Comparison;

    fn of_key(level: Level, key: &str) -> Filter {
        Filter::compare(Target::attribute(level, key), Comparison::Eq, "v").unwrap()
    }

    fn not(inner: Filter) -> Filter {
        Filter::negate(inner).unwrap()
    }

    #[test]
    fn should_ask_for_keys_only_where_they_may_be() {
        let there = [(TermScope::Span, "s"), (TermScope::Resource, "r"), (TermScope::Event, "r")];
        let there: HashSet<u64> = there.map(|(scope, key)| term(scope, key, TermValue::Str("v"))).into();
        let given = |filter: &Filter| filter.given(|term| there.contains(&term));
        let (anywhere, nowhere) = (|key| of_key(Level::Any, key), of_key(Level::Any, "n"));
        assert_eq!(given(&anywhere("s")), of_key(Level::Span, "s"));
        let both = Filter::or(vec![of_key(Level::Resource, "r"), of_key(Level::Event, "r")]).unwrap();
        assert_eq!(given(&anywhere("r")), both);
        assert_eq!(given(&nowhere), Filter::none());
        assert_eq!(given(&not(nowhere.clone())), Filter::all());
        let either = Filter::or(vec![nowhere.clone(), anywhere("s")]).unwrap();
        assert_eq!(given(&either), of_key(Level::Span, "s"));
        let all = Filter::and(vec![not(nowhere.clone()), anywhere("s"), of_key(Level::Span, "s")]).unwrap();
        let twice = Filter::and(vec![of_key(Level::Span, "s"), of_key(Level::Span, "s")]).unwrap();
        assert_eq!(given(&all), twice);
        assert_eq!(given(&Filter::and(vec![either, nowhere]).unwrap()), Filter::none());
    }

    #[test]
    fn should_stay_as_it_is_where_nothing_is_known_or_it_would_grow_too_large() {
        let exists = Filter::exists(Target::attribute(Level::Any, "k"));
        assert_eq!(exists.given(|_| false), exists);
        let many = Filter::or(vec![of_key(Level::Any, "k"); 2_000]).unwrap();
        let scopes = [TermScope::Span, TermScope::Event, TermScope::Link];
        let there = scopes.map(|scope| term(scope, "k", TermValue::Str("v")));
        assert_eq!(many.given(|term| there.contains(&term)), many);
    }
}
