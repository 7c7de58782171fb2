use siltstone_format::term::{term, uncovered};

use super::*;

fn eq(target: Target, literal: impl Into<Literal>) -> Filter {
    Filter::compare(target, Comparison::Eq, literal).unwrap()
}

fn key() -> Target {
    Target::attribute(Level::Span, "k")
}

fn of(value: TermValue<'_>) -> u64 {
    term(TermScope::Span, "k", value)
}

fn skips(filter: &Filter, present: &[u64]) -> bool {
    !probe(filter).may_match(|term| present.contains(&term))
}

#[test]
fn should_find_a_text_in_every_type_that_it_coerces_to() {
    for (literal, values) in [
        ("72.5", vec![TermValue::Double(72.5)]),
        ("72", vec![TermValue::Int(72), TermValue::Double(72.0)]),
        ("true", vec![TermValue::Bool(true)]),
        ("cart", vec![TermValue::Str("cart")]),
    ] {
        let filter = eq(key(), literal);
        assert!(!skips(&filter, &[of(TermValue::Str(literal))]), "{literal}");
        for value in values {
            assert!(!skips(&filter, &[of(value)]), "{literal} {value:?}");
        }
        assert!(!skips(&filter, &[uncovered(TermScope::Span, "k")]), "{literal}");
        assert!(skips(&filter, &[]), "{literal}");
        assert!(skips(&filter, &[of(TermValue::Str("other")), of(TermValue::Bool(false))]), "{literal}");
        assert!(skips(&filter, &[term(TermScope::Event, "k", TermValue::Int(72))]), "{literal}");
        assert_eq!(probe(&filter).terms().len(), 2, "{literal}: one value, one uncovered");
    }
}

#[test]
fn should_find_typed_values_in_strings() {
    let string = |text| of(TermValue::Str(text));
    for text in ["72", "72.0", "072", "7.2e1"] {
        assert!(!skips(&eq(key(), 72), &[string(text)]), "{text}");
        assert!(!skips(&eq(key(), 72.0), &[string(text)]), "{text}");
    }
    assert!(!skips(&eq(key(), true), &[string("true")]));
    assert!(skips(&eq(key(), 72), &[string("73"), string("x")]));
    assert!(skips(&eq(key(), f64::NAN), &[of(TermValue::Double(f64::NAN)), uncovered(TermScope::Span, "k")]));
}

#[test]
fn should_find_a_typed_string_under_its_own_term_alone() {
    let str = |text: &str| eq(key(), Literal::Str(text.to_owned()));
    for text in ["cart", "72", "9007199254740993", ""] {
        assert!(!skips(&str(text), &[of(TermValue::Str(text))]), "{text}");
        assert!(!skips(&str(text), &[uncovered(TermScope::Span, "k")]), "{text}");
        assert!(skips(&str(text), &[of(TermValue::Str("other"))]), "{text}");
        assert_eq!(probe(&str(text)).terms().len(), 2, "{text}");
    }
    assert_eq!(probe(&eq(Field::Name.into(), Literal::Str(String::new()))), Probe::Unknown);
}

#[test]
fn should_not_skip_where_rounding_makes_many_texts_equal() {
    let even = 9_007_199_254_740_992.0;
    assert_eq!(probe(&eq(key(), even)), Probe::Unknown);
    assert!(!skips(&eq(key(), "9007199254740993"), &[of(TermValue::Double(even))]));
    assert!(!skips(&eq(key(), "9007199254740993"), &[of(TermValue::Int(9_007_199_254_740_993))]));
    assert!(skips(&eq(key(), "9007199254740993"), &[]));
}

#[test]
fn should_know_nothing_of_what_terms_do_not_say() {
    let compare = |target: Target, comparison, text: &str| Filter::compare(target, comparison, text).unwrap();
    for filter in [
        compare(key(), Comparison::Ne, "a"),
        compare(key(), Comparison::Lt, "a"),
        Filter::exists(key()),
        Filter::regex(key(), "a.*").unwrap(),
        Filter::regex(key(), "a|NaN").unwrap(),
        Filter::negate(eq(key(), "a")).unwrap(),
        Filter::negate(Filter::negate(eq(key(), "a")).unwrap()).unwrap(),
        eq(Field::Kind.into(), "server"),
        eq(Field::Duration.into(), "1"),
        eq(Field::ScopeName.into(), "a"),
        eq(Field::StatusMessage.into(), ""),
        Filter::all(),
    ] {
        assert_eq!(probe(&filter), Probe::Unknown, "{filter:?}");
        assert!(probe(&filter).terms().is_empty());
    }
}

#[test]
fn should_combine_what_is_known() {
    let (a, b) = (eq(key(), "a"), eq(key(), "b"));
    let (has_a, has_b) = (of(TermValue::Str("a")), of(TermValue::Str("b")));
    let unknown = Filter::exists(key());
    let both = Filter::and(vec![a.clone(), b.clone(), unknown.clone()]).unwrap();
    assert!(skips(&both, &[has_a]) && skips(&both, &[has_b]) && !skips(&both, &[has_a, has_b]));
    let either = Filter::or(vec![a.clone(), b.clone()]).unwrap();
    assert!(skips(&either, &[]) && !skips(&either, &[has_a]) && !skips(&either, &[has_b]));
    assert_eq!(probe(&Filter::or(vec![a.clone(), unknown]).unwrap()), Probe::Unknown);
    let nested = Filter::or(vec![both, eq(key(), "c")]).unwrap();
    assert!(skips(&nested, &[has_a]) && !skips(&nested, &[of(TermValue::Str("c"))]));
    assert_eq!(probe(&nested).terms().len(), 4);
    assert!(skips(&Filter::none(), &[has_a]));
}

#[test]
fn should_ask_in_and_plain_patterns_like_equalities() {
    let either = Filter::or(vec![eq(key(), "a"), eq(key(), "72")]).unwrap();
    let one_of = Filter::one_of(key(), vec!["a".into(), "72".into()]).unwrap();
    let pattern = Filter::regex(key(), "a|72").unwrap();
    assert_eq!(probe(&one_of), probe(&either));
    assert_eq!(probe(&pattern), probe(&either));
    assert!(skips(&Filter::one_of(key(), Vec::new()).unwrap(), &[of(TermValue::Str("a"))]));
}

#[test]
fn should_look_at_every_level_for_a_key_without_one() {
    let any = eq(Target::attribute(Level::Any, "k"), "x");
    let scopes = [TermScope::Span, TermScope::Resource, TermScope::Scope, TermScope::Event, TermScope::Link];
    for scope in scopes {
        assert!(!skips(&any, &[term(scope, "k", TermValue::Str("x"))]), "{scope:?}");
        assert!(!skips(&any, &[uncovered(scope, "k")]), "{scope:?}");
    }
    assert!(skips(&any, &[term(TermScope::Field, "k", TermValue::Str("x"))]));
}

#[test]
fn should_find_the_fields_that_have_terms() {
    for (field, name) in [
        (Field::ServiceName, SERVICE_FIELD),
        (Field::Name, NAME_FIELD),
        (Field::StatusMessage, STATUS_MESSAGE_FIELD),
    ] {
        let filter = eq(field.into(), "7");
        let string = |text| term(TermScope::Field, name, TermValue::Str(text));
        assert!(!skips(&filter, &[string("7")]), "{field}");
        assert!(!skips(&filter, &[uncovered(TermScope::Field, name)]), "{field}");
        assert!(skips(&filter, &[string("8")]), "{field}");
    }
}
