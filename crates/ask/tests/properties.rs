//! Laws that hold for every filter and every span, above all: no block is skipped
//! that holds a match.

#![expect(clippy::unwrap_used, reason = "a test's filters are within all bounds")]

mod retention;
mod rows;
mod strategies;
mod text;
mod writer;

use proptest::prelude::*;
use siltstone_ask::{Comparison, Filter, Level, Literal, Probe, Target, collapse, probe, same_span};
use siltstone_format::number::as_number;
use siltstone_format::span::Span;
use siltstone_format::value::{Attribute, Value};
use strategies::{DOUBLES, INTS, TEXTS, double, filter, int, literal, span, target, text};

fn not(inner: &Filter) -> Filter {
    Filter::negate(inner.clone()).unwrap()
}

fn with(value: Value) -> Span {
    Span { attributes: vec![Attribute { key: "k".to_owned(), value }], ..Span::default() }
}

fn compares(value: Value, comparison: Comparison, literal: impl Into<Literal>) -> bool {
    let target = Target::attribute(Level::Span, "k");
    Filter::compare(target, comparison, literal).unwrap().matches(&with(value))
}

/// Random values seldom meet where coercions are at their limits, so all pairs do.
#[test]
fn no_pair_of_literal_and_value_is_skipped_that_matches() {
    let texts = || TEXTS.iter().map(|text| (*text).to_owned());
    let values: Vec<Value> = texts()
        .map(Value::Str)
        .chain(INTS.map(Value::Int))
        .chain(DOUBLES.map(Value::Double))
        .chain([true, false].map(Value::Bool))
        .collect();
    let literals = texts()
        .map(Literal::Text)
        .chain(texts().map(Literal::Str))
        .chain(INTS.map(Literal::Int))
        .chain(DOUBLES.map(Literal::Double))
        .chain([true, false].map(Literal::Bool));
    let target = || Target::attribute(Level::Span, "k");
    let equalities = literals.map(|literal| Filter::compare(target(), Comparison::Eq, literal).unwrap());
    let patterns = texts().filter_map(|text| Filter::regex(target(), &text).ok());
    for filter in equalities.chain(patterns) {
        let mut skipped = 0;
        for value in &values {
            let span = with(value.clone());
            let matches = filter.matches(&span);
            let terms = writer::terms(&[span], &[]);
            let may_match = probe(&filter).may_match(|term| terms.contains(&term));
            assert!(may_match || !matches, "{filter:?} {value:?}");
            skipped += usize::from(!may_match);
        }
        assert!(
            probe(&filter) == Probe::Unknown || skipped >= values.len() - 12,
            "{filter:?} skips {skipped}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_filter_comes_back_from_its_bytes(filter in filter()) {
        let bytes = filter.to_bytes();
        let read = Filter::from_bytes(&bytes).unwrap();
        // Doubles included: by their bits, not as numbers.
        prop_assert_eq!(read.to_bytes(), bytes);
        prop_assert_eq!(format!("{:?}", read), format!("{:?}", filter));
    }

    #[test]
    fn damaged_bytes_are_an_error_or_a_filter_that_says_the_same(
        filter in filter(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = filter.to_bytes();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        if let Ok(read) = Filter::from_bytes(&bytes) {
            let again = read.to_bytes();
            prop_assert_eq!(Filter::from_bytes(&again).unwrap().to_bytes(), again);
        }
    }

    #[test]
    fn no_block_is_skipped_that_holds_a_match(
        filter in filter(),
        spans in prop::collection::vec(span(), 1..4),
        left_out in prop::collection::vec(0..3_u8, 8),
    ) {
        let terms = writer::terms(&spans, &left_out);
        if filter.matches_trace(&spans) {
            prop_assert!(probe(&filter).may_match(|term| terms.contains(&term)));
        }
    }

    #[test]
    fn what_is_not_asked_because_of_terms_changes_no_answer(
        filter in filter(),
        spans in prop::collection::vec(span(), 1..4),
        left_out in prop::collection::vec(0..3_u8, 8),
        false_positives in 1..20_u64,
    ) {
        let terms = writer::terms(&spans, &left_out);
        let given = filter.given(|term| terms.contains(&term) || term % false_positives == 0);
        for span in &spans {
            prop_assert_eq!(given.matches(span), filter.matches(span), "{:?} given {:?}", filter, given);
        }
    }

    #[test]
    fn what_is_present_decides_only_over_the_terms_that_are_named(
        filter in filter(), span in span(),
    ) {
        let terms = writer::terms(&[span], &[]);
        let probe = probe(&filter);
        let named = probe.terms();
        let asked = probe.may_match(|term| {
            assert!(named.contains(&term), "a term that terms() does not name");
            terms.contains(&term)
        });
        prop_assert_eq!(asked, probe.may_match(|term| named.contains(&term) && terms.contains(&term)));
        if !asked {
            prop_assert!(!probe.may_match(|_| false), "more terms never match less");
        }
    }

    #[test]
    fn negation_is_plain_and_obeys_de_morgan(one in filter(), other in filter(), span in span()) {
        let (a, b) = (one.matches(&span), other.matches(&span));
        prop_assert_eq!(not(&one).matches(&span), !a);
        let pair = || vec![one.clone(), other.clone()];
        let negated = || vec![not(&one), not(&other)];
        let (and, or) = (Filter::and(pair()).unwrap(), Filter::or(pair()).unwrap());
        prop_assert_eq!(and.matches(&span), a && b);
        prop_assert_eq!(or.matches(&span), a || b);
        prop_assert_eq!(not(&and).matches(&span), Filter::or(negated()).unwrap().matches(&span));
        prop_assert_eq!(not(&or).matches(&span), Filter::and(negated()).unwrap().matches(&span));
    }

    #[test]
    fn in_is_one_of_several_equals(
        target in target(), literals in prop::collection::vec(literal(), 0..4), span in span(),
    ) {
        let equals: Result<Vec<Filter>, _> = literals
            .iter()
            .map(|literal| Filter::compare(target.clone(), Comparison::Eq, literal.clone()))
            .collect();
        let one_of = Filter::one_of(target, literals);
        prop_assert_eq!(one_of.is_ok(), equals.is_ok());
        if let (Ok(one_of), Ok(equals)) = (one_of, equals) {
            let either = Filter::or(equals).unwrap();
            prop_assert_eq!(one_of.matches(&span), either.matches(&span));
            prop_assert_eq!(probe(&one_of), probe(&either));
        }
    }

    #[test]
    fn unequal_needs_a_value_and_excludes_equal(literal in literal(), span in span()) {
        for level in [Level::Span, Level::Resource, Level::Scope] {
            let target = || Target::attribute(level, "a");
            let is = |comparison| Filter::compare(target(), comparison, literal.clone()).unwrap().matches(&span);
            let exists = Filter::exists(target()).matches(&span);
            prop_assert_eq!(is(Comparison::Ne), exists && !is(Comparison::Eq));
        }
    }

    #[test]
    fn any_level_is_one_of_all_levels(literal in literal(), span in span(), negative in any::<bool>()) {
        let comparison = if negative { Comparison::Ne } else { Comparison::Eq };
        let at = |level| Filter::compare(Target::attribute(level, "a"), comparison, literal.clone()).unwrap();
        let levels = [Level::Span, Level::Resource, Level::Scope, Level::Event, Level::Link];
        let either = Filter::or(levels.into_iter().map(at).collect()).unwrap();
        prop_assert_eq!(at(Level::Any).matches(&span), either.matches(&span));
    }

    #[test]
    fn it_is_one_whether_the_literal_or_the_value_is_the_text(
        text in text(), int in int(), double in double(), flag in any::<bool>(),
    ) {
        let string = || Value::Str(text.clone());
        let eq = Comparison::Eq;
        prop_assert_eq!(compares(Value::Int(int), eq, text.as_str()), compares(string(), eq, int));
        prop_assert_eq!(compares(Value::Double(double), eq, text.as_str()), compares(string(), eq, double));
        prop_assert_eq!(compares(Value::Bool(flag), eq, text.as_str()), compares(string(), eq, flag));
        prop_assert_eq!(compares(Value::Int(int), eq, double), compares(Value::Double(double), eq, int));
        let (lt, gt) = (Comparison::Lt, Comparison::Gt);
        prop_assert_eq!(compares(Value::Int(int), lt, text.as_str()), compares(string(), gt, int));
        prop_assert_eq!(compares(Value::Double(double), lt, text.as_str()), compares(string(), gt, double));
        prop_assert_eq!(compares(Value::Int(int), lt, double), compares(Value::Double(double), gt, int));
    }

    #[test]
    fn a_value_equals_its_own_text(int in int(), double in double(), flag in any::<bool>()) {
        for value in [Value::Int(int), Value::Double(double), Value::Bool(flag)] {
            let number = matches!(value, Value::Double(double) if !double.is_finite());
            prop_assert_eq!(compares(value.clone(), Comparison::Eq, value.text()), !number);
        }
    }

    #[test]
    fn orders_agree_with_equality(value in strategies::value(), literal in literal()) {
        if !matches!(literal, Literal::Bool(_)) && !matches!(value, Value::Array(_) | Value::Bool(_)) {
            let is = |comparison| compares(value.clone(), comparison, literal.clone());
            let equal = is(Comparison::Eq);
            prop_assert_eq!(is(Comparison::Le), is(Comparison::Lt) || equal);
            prop_assert_eq!(is(Comparison::Ge), is(Comparison::Gt) || equal);
            let holding = [is(Comparison::Lt), equal, is(Comparison::Gt)];
            prop_assert!(holding.into_iter().filter(|holds| *holds).count() <= 1);
        }
    }

    #[test]
    fn a_number_is_what_the_parser_takes_but_words(text in "[-+]?([0-9.eE]{0,12}|inf|nan|[a-f0-9]{1,6})") {
        let parsed: Option<f64> = text.parse().ok().filter(|double: &f64| double.is_finite());
        prop_assert_eq!(as_number(&text).map(|number| number.as_double()), parsed);
    }

    #[test]
    fn collapsing_keeps_one_of_each_in_order(spans in prop::collection::vec(span(), 0..5), again in 0..5_usize) {
        let mut twice = spans.clone();
        twice.extend(spans.iter().cycle().take(if spans.is_empty() { 0 } else { again }).cloned());
        let once = collapse(twice);
        let mut naive: Vec<Span> = Vec::new();
        for span in spans {
            if !naive.iter().any(|kept| same_span(kept, &span)) {
                naive.push(span);
            }
        }
        prop_assert_eq!(once, naive);
    }
}
