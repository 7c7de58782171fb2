//! Columns answer as their spans do, row by row, and with no more than the filter says it needs.

mod narrowed;
mod own_values;
mod partial;

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use siltstone_ask::{Comparison, Field, Filter, Level, Rows, Target, Window};
use siltstone_format::columns::SpanColumns;
use siltstone_format::columns::attributes::MAX_COLUMNS;
use siltstone_format::columns::row::{EventFields, LinkFields, SpanFields};
use siltstone_format::span::Span;
use siltstone_format::value::{Attribute, Value, ValueError, ValueType};

use self::own_values::{Question, question};
use self::partial::only;
use super::strategies::{filter, span};

fn columns_of<'a>(spans: impl IntoIterator<Item = &'a Span>) -> SpanColumns {
    let mut columns = SpanColumns::default();
    spans.into_iter().for_each(|span| columns.push(span).unwrap());
    columns
}

/// Rows enough for several words of bits, of few spans.
fn columns() -> impl Strategy<Value = SpanColumns> {
    let pool = prop::collection::vec(span(), 1..8);
    let rows = prop_oneof![1 => Just(0), 4 => 1..8_usize, 4 => 60..140_usize];
    let picks = rows.prop_flat_map(|rows| prop::collection::vec(any::<Index>(), rows));
    (pool, picks).prop_map(|(pool, picks)| columns_of(picks.iter().map(|pick| pick.get(&pool))))
}

fn one_by_one(filter: &Filter, columns: &SpanColumns) -> Rows {
    let mut rows = Rows::none(columns.len());
    let matching = (0..columns.len()).filter(|row| filter.matches(&columns.get(*row).unwrap()));
    matching.for_each(|row| rows.insert(row));
    rows
}

fn check(filter: &Filter, columns: &SpanColumns) -> Result<Rows, TestCaseError> {
    let expected = one_by_one(filter, columns);
    prop_assert_eq!(&filter.rows(columns).unwrap(), &expected, "{:?}", filter);
    prop_assert_eq!(&filter.rows(&only(&filter.parts(), columns)).unwrap(), &expected, "{:?}", filter);
    Ok(expected)
}

/// Of each kind of question, how many had an answer that is neither all rows nor none.
#[derive(Default)]
struct Tally(BTreeMap<String, u32>);

impl Tally {
    fn count(&mut self, kind: String, answer: &Rows) {
        *self.0.entry(kind).or_default() += u32::from(!answer.is_empty() && answer.count() < answer.of());
    }

    fn assert_each_is_frequent(&self, least: u32) {
        let rare: Vec<_> = self.0.iter().filter(|(_, count)| **count < least).collect();
        assert!(rare.is_empty(), "rows are seldom told apart: {rare:?}");
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

fn run<T: std::fmt::Debug>(
    cases: u32,
    given: impl Strategy<Value = T>,
    check: impl Fn(T) -> Result<(), TestCaseError>,
) {
    TestRunner::new(config(cases)).run(&given, check).unwrap();
}

#[test]
fn should_answer_random_filters_as_the_spans_do_with_the_parts_that_are_named() {
    let tally = RefCell::new(Tally::default());
    run(2_000, (columns(), prop::collection::vec(filter(), 6)), |(columns, filters)| {
        filters.iter().try_for_each(|filter| {
            tally.borrow_mut().count("any".to_owned(), &check(filter, &columns)?);
            Ok(())
        })
    });
    tally.into_inner().assert_each_is_frequent(600);
}

/// Random values seldom meet, so every field and level is asked for what a span says.
#[test]
fn should_find_what_spans_say_at_every_place() {
    let tally = RefCell::new(Tally::default());
    let questions = prop::collection::vec((any::<Index>(), question()), 24);
    run(1_000, (columns(), questions), |(columns, questions)| {
        questions.iter().filter(|_| !columns.is_empty()).try_for_each(|(row, question)| {
            let Question { target, kind, .. } = question;
            let span = columns.get(row.index(columns.len())).unwrap();
            let Some(filter) = question.about(&span) else { return Ok(()) };
            let answer = check(&filter, &columns)?;
            let mut tally = tally.borrow_mut();
            tally.count(format!("{target:?}"), &answer);
            tally.count(format!("{kind:?}"), &answer);
            Ok(())
        })
    });
    let tally = tally.into_inner();
    assert_eq!(tally.0.len(), Field::ALL.len() + own_values::LEVELS.len() + own_values::KINDS.len());
    tally.assert_each_is_frequent(20);
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn should_answer_within_a_window(
        columns in columns(), filter in filter(), start in 0..5_u64, length in 0..5_u64, all in any::<bool>(),
    ) {
        let window = if all { Window::ALL } else { Window { start, end: start + length } };
        let expected = one_by_one(&filter, &columns);
        let expected: Vec<usize> =
            expected.iter().filter(|row| window.contains(columns.get(*row).unwrap().start_unix_nano)).collect();
        let partial = only(&filter.parts().and(&window.parts()), &columns);
        prop_assert_eq!(filter.rows_within(window, &partial).unwrap().iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn should_answer_the_same_whatever_is_asked_first(
        columns in columns(), filters in prop::collection::vec(filter(), 0..4),
    ) {
        let alone: Vec<Rows> = filters.iter().map(|filter| filter.rows(&columns).unwrap()).collect();
        let all = alone.iter().fold(Rows::all(columns.len()), |all, one| all.and(one));
        let any = alone.iter().fold(Rows::none(columns.len()), |any, one| any.or(one));
        let backwards = || filters.iter().rev().cloned().collect::<Vec<_>>();
        for parts in [filters.clone(), backwards()] {
            prop_assert_eq!(&Filter::and(parts.clone()).unwrap().rows(&columns).unwrap(), &all);
            prop_assert_eq!(&Filter::or(parts).unwrap().rows(&columns).unwrap(), &any);
        }
        let none = Filter::negate(Filter::or(backwards()).unwrap()).unwrap();
        prop_assert_eq!(none.rows(&columns).unwrap(), any.complement());
    }
}

fn compare(target: impl Into<Target>, comparison: Comparison, literal: i64) -> Filter {
    Filter::compare(target.into(), comparison, literal).unwrap()
}

#[test]
fn should_see_one_holder_in_a_column_and_in_the_overflow() {
    let with = |values: &[Value]| {
        let attributes = values.iter().map(|value| Attribute { key: "k".to_owned(), value: value.clone() });
        Span { attributes: attributes.collect(), ..Span::default() }
    };
    let text = |text: &str| Value::Str(text.to_owned());
    let spans = [
        with(&[]),
        with(&[Value::Int(1), Value::Int(2)]),
        with(&[Value::Int(2), Value::Int(2), Value::Int(1)]),
        with(&[Value::Int(2), text("1")]),
        with(&[Value::Empty]),
        with(&[Value::Array(vec![Value::Int(1)]), Value::Int(2)]),
        with(&[Value::Double(f64::NAN), Value::Double(1.0), text("x")]),
        with(&[Value::Double(f64::NAN), Value::Double(f64::NAN)]),
    ];
    let columns = columns_of(&spans);
    let rows = |filter: Filter| filter.rows(&columns).unwrap().iter().collect::<Vec<_>>();
    let key = || Target::attribute(Level::Span, "k");
    assert_eq!(rows(Filter::exists(key())), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(rows(compare(key(), Comparison::Eq, 1)), [1, 2, 3, 5, 6]);
    assert_eq!(rows(compare(key(), Comparison::Ne, 1)), [4, 7]);
    assert_eq!(rows(compare(key(), Comparison::Gt, 1)), [1, 2, 3, 5]);
}

#[test]
fn should_find_values_whose_keys_find_all_columns_taken() {
    let attribute = |key: &str, value| Attribute { key: key.to_owned(), value };
    let taken = (0..MAX_COLUMNS).map(|number| attribute(&format!("{number}"), Value::Bool(true)));
    let mut spans = vec![Span { attributes: taken.collect(), ..Span::default() }];
    let values = [Value::Int(1), Value::Str("1".to_owned()), Value::Double(f64::NAN), Value::Bool(true)];
    spans.extend(values.map(|value| Span { attributes: vec![attribute("late", value)], ..Span::default() }));
    let columns = columns_of(&spans);
    assert_eq!(columns.overflow.rows, [1, 2, 3, 4]);
    let late = || Target::attribute(Level::Any, "late");
    for filter in [
        Filter::exists(late()),
        compare(late(), Comparison::Eq, 1),
        compare(late(), Comparison::Ne, 1),
        Filter::compare(late(), Comparison::Eq, true).unwrap(),
        Filter::regex(late(), "NaN|1").unwrap(),
    ] {
        let rows = filter.rows(&columns).unwrap();
        assert_eq!(rows, one_by_one(&filter, &columns), "{filter:?}");
        assert!(!rows.is_empty() && rows.count() < 5);
    }
}

#[test]
fn should_find_keys_of_events_however_they_are_written() {
    let mut columns = SpanColumns::default();
    let origin = columns.origin(Default::default());
    let texts = [
        r#"{}"#,
        r#"{"k":1}"#,
        r#"{"\u006b" : 1}"#,
        r#"{"kk":1,"$$k":"k"}"#,
        r#"{"a\/b":1}"#,
        r#"{"\"":{"k":1}}"#,
        r#"{"\n":1}"#,
        r#"{"\u000a":1}"#,
        r#"{"":1}"#,
    ];
    for text in texts {
        let mut row = columns.span();
        row.event_written(&EventFields::default(), text).unwrap();
        row.finish(&SpanFields::default(), origin).unwrap();
    }
    let exists = |key| Filter::exists(Target::attribute(Level::Event, key));
    for (key, expected) in [
        ("k", vec![1, 2]),
        ("$k", vec![3]),
        ("kk", vec![3]),
        ("a/b", vec![4]),
        ("\"", vec![5]),
        ("\n", vec![6, 7]),
        ("", vec![8]),
    ] {
        for filter in [exists(key), Filter::and(vec![exists(key), exists(key)]).unwrap()] {
            let rows = filter.rows(&columns).unwrap();
            assert_eq!(rows, one_by_one(&filter, &columns), "{key}");
            assert_eq!(rows.iter().collect::<Vec<_>>(), expected, "{key}");
        }
    }
    let either = Filter::or(vec![exists("k"), exists("a/b")]).unwrap();
    assert_eq!(either.rows(&columns).unwrap(), one_by_one(&either, &columns));
}

/// Row 0 is sound, what lists hold for row 1 is not; their kinds are 0 and 1.
fn damaged() -> SpanColumns {
    let mut columns = SpanColumns::default();
    let origin = columns.origin(Default::default());
    for (kind, attributes, array) in [(0, r#"{"k":1}"#, "[1]"), (1, r#"{"k":"#, "[")] {
        let mut row = columns.span();
        row.event_written(&EventFields::default(), attributes).unwrap();
        row.link_written(&LinkFields::default(), attributes).unwrap();
        row.written(b"k", ValueType::Array, array).unwrap();
        row.finish(&SpanFields { kind, ..SpanFields::default() }, origin).unwrap();
    }
    columns
}

#[test]
fn should_fail_for_damage_on_which_the_answer_depends_and_for_no_other() {
    let columns = damaged();
    for level in [Level::Span, Level::Event, Level::Link] {
        let listed = || compare(Target::attribute(level, "k"), Comparison::Eq, 1);
        let kind = |kind| compare(Field::Kind, Comparison::Eq, kind);
        let rows = |filter: Result<Filter, _>| {
            let rows = filter.unwrap().rows(&columns);
            rows.map(|rows| rows.iter().collect::<Vec<_>>())
        };
        assert!(matches!(rows(Ok(listed())), Err(ValueError::Text { .. })));
        // The order in which the parts are written changes neither answers nor errors.
        for flip in [false, true] {
            let pair = |number| {
                let mut parts = vec![listed(), kind(number)];
                if flip {
                    parts.reverse();
                }
                parts
            };
            assert_eq!(rows(Filter::and(pair(0))), Ok(vec![0]));
            assert_eq!(rows(Filter::and(pair(2))), Ok(vec![]));
            assert!(rows(Filter::and(pair(1))).is_err());
            assert_eq!(rows(Filter::or(pair(1))), Ok(vec![0, 1]));
            assert!(rows(Filter::or(pair(0))).is_err());
        }
    }
}
