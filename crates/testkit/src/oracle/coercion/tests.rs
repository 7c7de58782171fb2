//! The table of coercions, row by row.

use super::super::canonical::{FloatBits, HexBytes};
use super::*;

fn text(text: &str) -> FilterValue {
    FilterValue::Text(text.to_owned())
}

fn string(text: &str) -> CanonicalValue {
    CanonicalValue::String(text.to_owned())
}

fn double(double: f64) -> CanonicalValue {
    CanonicalValue::Double(FloatBits(double.to_bits()))
}

fn equal(value: &CanonicalValue, wanted: &FilterValue) -> bool {
    attribute_matches(value, Comparison::Equal, wanted)
}

/// Which of `<`, `<=`, `=`, `>=`, `>` hold, as the signs that do.
fn holding(value: &CanonicalValue, wanted: &FilterValue) -> String {
    let signs = [
        ("<", Comparison::Less),
        ("<=", Comparison::LessOrEqual),
        ("=", Comparison::Equal),
        (">=", Comparison::GreaterOrEqual),
        (">", Comparison::Greater),
    ];
    let held = signs.into_iter().filter(|(_, comparison)| attribute_matches(value, *comparison, wanted));
    held.map(|(sign, _)| sign).collect::<Vec<_>>().join(" ")
}

const LESS: &str = "< <=";
const SAME: &str = "<= = >=";
const MORE: &str = ">= >";
const NONE: &str = "";

#[test]
fn text_against_a_string_goes_by_bytes() {
    assert_eq!(holding(&string("shop"), &text("shop")), SAME);
    assert_eq!(holding(&string("10"), &text("9")), LESS);
    assert_eq!(holding(&string("72.0"), &text("72")), MORE);
    assert_eq!(holding(&string("Z"), &text("a")), LESS);
    assert_eq!(holding(&string("é"), &text("z")), MORE);
    assert_eq!(holding(&string(""), &text("")), SAME);
}

#[test]
fn text_against_an_int_is_a_number() {
    for same in ["72", "72.0", "7.2e1", "+72", "072"] {
        assert_eq!(holding(&CanonicalValue::Int(72), &text(same)), SAME, "{same}");
    }
    assert_eq!(holding(&CanonicalValue::Int(72), &text("72.5")), LESS);
    assert_eq!(holding(&CanonicalValue::Int(72), &text("9")), MORE);
    for no_number in ["", "abc", " 72", "NaN"] {
        assert_eq!(holding(&CanonicalValue::Int(72), &text(no_number)), NONE, "{no_number:?}");
    }
}

#[test]
fn text_against_an_int_loses_no_digit() {
    let long = 9_007_199_254_740_993;
    assert_eq!(holding(&CanonicalValue::Int(long), &text("9007199254740993")), SAME);
    assert_eq!(holding(&CanonicalValue::Int(long), &text("9007199254740992")), MORE);
    assert_eq!(holding(&CanonicalValue::Int(i64::MAX), &text("9223372036854775807")), SAME);
    assert_eq!(holding(&CanonicalValue::Int(i64::MAX), &text("9223372036854775808")), LESS);
    assert_eq!(holding(&CanonicalValue::Int(i64::MIN), &text("-9223372036854775809")), MORE);
}

#[test]
fn text_against_a_double_is_the_nearest_double() {
    assert_eq!(holding(&double(72.5), &text("72.50")), SAME);
    assert_eq!(holding(&double(72.0), &text("72")), SAME);
    assert_eq!(holding(&double(0.1), &text("0.1")), SAME);
    assert_eq!(holding(&double(-0.0), &text("0")), SAME);
    assert_eq!(holding(&double(72.5), &text("8")), MORE);
    for no_number in ["much", "inf", "Infinity", "1e400", "NaN"] {
        for value in [72.5, f64::INFINITY, f64::NAN] {
            assert_eq!(holding(&double(value), &text(no_number)), NONE, "{value} {no_number}");
        }
    }
}

#[test]
fn text_against_a_bool_is_its_name() {
    assert_eq!(holding(&CanonicalValue::Bool(true), &text("true")), "=");
    assert_eq!(holding(&CanonicalValue::Bool(true), &text("false")), NONE);
    assert_eq!(holding(&CanonicalValue::Bool(true), &text("True")), NONE);
    assert_eq!(holding(&CanonicalValue::Bool(true), &text("1")), NONE);
}

#[test]
fn a_typed_string_matches_strings_only() {
    let wanted = FilterValue::String("72".to_owned());
    assert_eq!(holding(&string("72"), &wanted), SAME);
    assert_eq!(holding(&string("8"), &wanted), MORE);
    assert_eq!(holding(&CanonicalValue::Int(72), &wanted), NONE);
    assert_eq!(holding(&double(72.0), &wanted), NONE);
    assert_eq!(holding(&CanonicalValue::Bool(true), &FilterValue::String("true".to_owned())), NONE);
}

#[test]
fn typed_numbers_match_numbers_exactly() {
    assert_eq!(holding(&CanonicalValue::Int(72), &FilterValue::Double(72.0)), SAME);
    assert_eq!(holding(&double(72.0), &FilterValue::Int(72)), SAME);
    assert_eq!(holding(&double(72.5), &FilterValue::Int(72)), MORE);
    assert_eq!(
        holding(&double(9_007_199_254_740_992.0), &FilterValue::Int(9_007_199_254_740_993)),
        LESS,
        "2^53 + 1 is no double"
    );
    assert_eq!(holding(&double(f64::NAN), &FilterValue::Double(f64::NAN)), NONE);
    assert_eq!(holding(&CanonicalValue::Int(1), &FilterValue::Double(f64::NAN)), NONE);
    assert_eq!(holding(&CanonicalValue::Bool(true), &FilterValue::Int(1)), NONE);
}

#[test]
fn typed_numbers_match_strings_that_are_numbers() {
    assert_eq!(holding(&string("72"), &FilterValue::Int(72)), SAME);
    assert_eq!(holding(&string("72.0"), &FilterValue::Int(72)), SAME);
    assert_eq!(holding(&string("9"), &FilterValue::Int(72)), LESS);
    assert_eq!(holding(&string("72.50"), &FilterValue::Double(72.5)), SAME);
    assert_eq!(holding(&string("72 ms"), &FilterValue::Int(72)), NONE);
    assert_eq!(holding(&string("NaN"), &FilterValue::Double(f64::NAN)), NONE);
    assert_eq!(holding(&string("inf"), &FilterValue::Double(f64::INFINITY)), NONE);
    assert_eq!(holding(&string("1e400"), &FilterValue::Int(72)), NONE);
}

#[test]
fn a_bool_matches_bools_and_their_names() {
    assert_eq!(holding(&CanonicalValue::Bool(false), &FilterValue::Bool(false)), "=");
    assert_eq!(holding(&CanonicalValue::Bool(false), &FilterValue::Bool(true)), NONE);
    assert_eq!(holding(&string("true"), &FilterValue::Bool(true)), "=");
    assert_eq!(holding(&string("true"), &FilterValue::Bool(false)), NONE);
    assert_eq!(holding(&string("TRUE"), &FilterValue::Bool(true)), NONE);
    assert_eq!(holding(&CanonicalValue::Int(1), &FilterValue::Bool(true)), NONE);
}

#[test]
fn an_array_matches_when_an_element_does() {
    let elements = || vec![string("ten"), CanonicalValue::Int(9), CanonicalValue::Bool(true)];
    let array = CanonicalValue::Array(elements());
    let nested = CanonicalValue::Array(vec![CanonicalValue::Array(elements()), string("outer")]);
    for wanted in [text("9"), text("ten"), FilterValue::Int(9), FilterValue::Bool(true)] {
        assert!(equal(&array, &wanted), "{wanted:?}");
        assert!(!equal(&nested, &wanted), "{wanted:?}");
    }
    assert!(!equal(&array, &text("10")) && equal(&nested, &text("outer")));
    assert_eq!(holding(&CanonicalValue::Array(Vec::new()), &text("")), NONE);
}

#[test]
fn a_pattern_sees_the_exact_text() {
    let seen = |value: &CanonicalValue| -> Vec<Option<String>> {
        seen_values(value).iter().map(|seen| seen.text().map(Cow::into_owned)).collect()
    };
    let odd_nan = f64::from_bits(0xfff8_0000_0000_0001);
    for (value, text) in [
        (string("a b"), "a b"),
        (CanonicalValue::Int(-72), "-72"),
        (double(72.0), "72.0"),
        (double(-0.0), "-0.0"),
        (double(1e300), "1e300"),
        (double(f64::NEG_INFINITY), "-inf"),
        (double(f64::NAN), "NaN"),
        (double(odd_nan), "NaN(0xfff8000000000001)"),
        (CanonicalValue::Bool(false), "false"),
    ] {
        assert_eq!(seen(&value), [Some(text.to_owned())], "{value:?}");
    }
    let array = CanonicalValue::Array(vec![CanonicalValue::Int(7), CanonicalValue::Array(vec![string("x")])]);
    assert_eq!(seen(&array), [Some("7".to_owned()), None]);
    assert_eq!(seen(&CanonicalValue::Bytes(HexBytes(b"x".to_vec()))), [None]);
}

#[test]
fn maps_bytes_and_nothing_match_nothing() {
    let values = [
        CanonicalValue::Map(vec![("a".to_owned(), string("x"))]),
        CanonicalValue::Bytes(HexBytes(b"x".to_vec())),
        CanonicalValue::Empty,
    ];
    for value in values {
        for wanted in [text("x"), text(""), FilterValue::String("x".to_owned()), FilterValue::Bool(false)] {
            assert_eq!(holding(&value, &wanted), NONE, "{value:?} {wanted:?}");
        }
    }
}
