//! Rules of retention: a trace's keep is that of the part that says the most, and their text says all of them.

use std::time::Duration;

use proptest::prelude::*;
use siltstone_ask::{Filter, Keep, Of, Retention, Rule};
use siltstone_format::span::Span;

use super::strategies::{filter, span};

fn hours(hours: u64) -> Keep {
    Keep::For(Duration::from_secs(hours * 3_600))
}

/// How much longer than all others, in hours.
fn more() -> impl Strategy<Value = Keep> {
    prop_oneof![4 => (0..200_u64).prop_map(hours), 1 => Just(Keep::Forever)]
}

fn longer(least: u64, more: Keep) -> Keep {
    match more {
        Keep::For(more) => Keep::For(Duration::from_secs(least * 3_600) + more),
        Keep::Forever => Keep::Forever,
    }
}

/// Rules in any order; if they have too many patterns together, only the one for all traces.
fn retention() -> impl Strategy<Value = Retention> {
    let of_spans = prop::collection::vec((more(), filter()), 0..5);
    let least = prop_oneof![1..100_u64, (1..10_u64).prop_map(|days| days * 24)];
    (least, prop::option::of(more()), of_spans, any::<prop::sample::Index>()).prop_map(
        |(least, archived, of_spans, at)| {
            let mut rules: Vec<Rule> = of_spans
                .into_iter()
                .map(|(more, filter)| Rule { keep: longer(least, more), of: Of::Spans(filter) })
                .collect();
            rules.extend(archived.map(|more| Rule { keep: longer(least, more), of: Of::Archived }));
            let all = Rule { keep: hours(least), of: Of::All };
            rules.insert(at.index(rules.len() + 1), all.clone());
            Retention::new(rules).unwrap_or_else(|_| Retention::new(vec![all]).unwrap())
        },
    )
}

/// As the rules say it, rule by rule.
fn naive_keep(rules: &Retention, spans: &[Span], is_archived: bool) -> Keep {
    let holds = |of: &Of| match of {
        Of::All => true,
        Of::Archived => is_archived,
        Of::Spans(filter) => spans.iter().any(|span| filter.matches(span)),
    };
    let is_unnamed = is_archived && !rules.rules().iter().any(|rule| rule.of == Of::Archived);
    let keeps = rules.rules().iter().filter(|rule| holds(&rule.of)).map(|rule| rule.keep);
    keeps.chain(is_unnamed.then_some(Keep::Forever)).max().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_keep_of_a_trace_is_the_longest_of_its_parts(
        rules in retention(),
        spans in prop::collection::vec((span(), 0..4_usize), 1..7),
        is_archived in any::<bool>(),
    ) {
        let whole: Vec<Span> = spans.iter().map(|(span, _)| span.clone()).collect();
        let parts = (0..4_usize).map(|number| {
            let of_part = spans.iter().filter(|(_, part)| *part == number);
            of_part.map(|(span, _)| span.clone()).collect::<Vec<_>>()
        });
        let keep = rules.keep_of(&whole, is_archived);
        let of_parts: Vec<Keep> = parts.map(|part| rules.keep_of(&part, is_archived)).collect();
        prop_assert_eq!(of_parts.iter().max(), Some(&keep), "{} {:?}", rules, of_parts);
        prop_assert_eq!(keep, naive_keep(&rules, &whole, is_archived));
        let longest = if is_archived { rules.longest().max(rules.archived()) } else { rules.longest() };
        prop_assert!((rules.shortest()..=longest).contains(&keep));
    }

    #[test]
    fn rules_come_back_from_their_text(rules in retention()) {
        let text = rules.to_string();
        let read: Retention = text.parse().map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert_eq!(read.to_string(), text);
        let bytes = |rules: &Retention| {
            let bytes = |rule: &Rule| match &rule.of {
                Of::Spans(filter) => (rule.keep, Filter::to_bytes(filter)),
                other => (rule.keep, format!("{other:?}").into_bytes()),
            };
            rules.rules().iter().map(bytes).collect::<Vec<_>>()
        };
        prop_assert_eq!(bytes(&read), bytes(&rules));
    }
}
