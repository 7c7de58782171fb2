//! One test for each row of the table.

use siltstone_format::value::Attribute;

use super::*;

fn equal(literal: impl Into<Literal>, value: Value) -> bool {
    let operand = Operand::new(literal.into());
    any_scalar(&value, |scalar| equals(scalar, &operand))
}

/// The order of a plain value; nothing if there is none.
fn order_of(value: Value, literal: impl Into<Literal>) -> Option<Ordering> {
    order(Scalar::of(&value)?, &Operand::new(literal.into()))
}

fn text(text: &str) -> Value {
    Value::Str(text.to_owned())
}

const LESS: Option<Ordering> = Some(Ordering::Less);
const EQUAL: Option<Ordering> = Some(Ordering::Equal);
const GREATER: Option<Ordering> = Some(Ordering::Greater);

// 2^53 + 1: the first int that no double equals.
const ODD: i64 = 9_007_199_254_740_993;
const EVEN: i64 = ODD - 1;

#[test]
fn text_with_string() {
    assert!(equal("72", text("72")) && equal("", text("")) && equal("NaN", text("NaN")));
    assert!(!equal("72", text("72.0")) && !equal("a", text("A")) && !equal("a", text("a ")));
    assert_eq!(order_of(text("10"), "9"), LESS);
    assert_eq!(order_of(text("b"), "a"), GREATER);
    assert_eq!(order_of(text("ä"), "z"), GREATER);
}

#[test]
fn text_with_int() {
    for literal in ["72", "72.0", "+72", "072", "7.2e1"] {
        assert!(equal(literal, Value::Int(72)), "{literal}");
    }
    for literal in ["72.5", "", "x", "72 ", "inf"] {
        assert!(!equal(literal, Value::Int(72)), "{literal}");
    }
    assert!(equal("9007199254740993", Value::Int(ODD)) && !equal("9007199254740993", Value::Int(EVEN)));
    assert!(!equal("9223372036854775808", Value::Int(i64::MAX)));
    assert_eq!(order_of(Value::Int(10), "9"), GREATER);
    assert_eq!(order_of(Value::Int(10), "10.5"), LESS);
    assert_eq!(order_of(Value::Int(i64::MAX), "9223372036854775808"), LESS);
    assert_eq!(order_of(Value::Int(10), "ten"), None);
}

#[test]
fn text_with_double() {
    for literal in ["72.5", "72.50", "725e-1", "+72.5"] {
        assert!(equal(literal, Value::Double(72.5)), "{literal}");
    }
    assert!(equal("72", Value::Double(72.0)) && equal("0", Value::Double(-0.0)));
    assert!(equal("0.30000000000000004", Value::Double(0.1 + 0.2)));
    // As other programs show the double 1234567890123456768.
    assert!(equal("1234567890123456800", Value::Double(1_234_567_890_123_456_768.0)));
    assert!(!equal("NaN", Value::Double(f64::NAN)) && !equal("inf", Value::Double(f64::INFINITY)));
    assert_eq!(order_of(Value::Double(72.5), "72"), GREATER);
    assert_eq!(order_of(Value::Double(f64::NEG_INFINITY), "-1e300"), LESS);
    assert_eq!(order_of(Value::Double(72.5), "x"), None);
}

#[test]
fn text_with_bool() {
    assert!(equal("true", Value::Bool(true)) && equal("false", Value::Bool(false)));
    for literal in ["false", "True", "TRUE", "1", "yes", ""] {
        assert!(!equal(literal, Value::Bool(true)), "{literal}");
    }
    assert_eq!(order_of(Value::Bool(true), "true"), None);
}

#[test]
fn str_with_string() {
    let str = |text: &str| Literal::Str(text.to_owned());
    assert!(equal(str("72"), text("72")) && equal(str(""), text("")) && equal(str("true"), text("true")));
    assert!(!equal(str("72"), text("72.0")) && !equal(str("a"), text("A")));
    assert_eq!(order_of(text("10"), str("9")), LESS);
}

#[test]
fn str_with_other_types() {
    for (literal, value) in [
        ("72", Value::Int(72)),
        ("72.5", Value::Double(72.5)),
        ("true", Value::Bool(true)),
        ("", Value::Empty),
    ] {
        let literal = || Literal::Str(literal.to_owned());
        assert!(!equal(literal(), value.clone()), "{value:?}");
        assert_eq!(order_of(value.clone(), literal()), None, "{value:?}");
    }
}

#[test]
fn number_with_number() {
    assert!(equal(72, Value::Int(72)) && equal(72, Value::Double(72.0)));
    assert!(equal(72.0, Value::Int(72)) && equal(72.5, Value::Double(72.5)));
    assert!(equal(0, Value::Double(-0.0)) && equal(-0.0, Value::Int(0)));
    assert!(!equal(72, Value::Double(72.5)) && !equal(72.5, Value::Int(72)));
    assert!(!equal(ODD, Value::Double(EVEN as f64)) && equal(EVEN, Value::Double(EVEN as f64)));
    assert!(!equal(EVEN as f64, Value::Int(ODD)));
    assert!(!equal(i64::MAX, Value::Double(i64::MAX as f64)));
    assert_eq!(order_of(Value::Int(ODD), EVEN as f64), GREATER);
    assert_eq!(order_of(Value::Double(1.5), 2), LESS);
    assert_eq!(order_of(Value::Double(f64::INFINITY), i64::MAX), GREATER);
}

#[test]
fn int_with_string() {
    for value in ["72", "72.0", "072", "7.2e1"] {
        assert!(equal(72, text(value)), "{value}");
    }
    assert!(!equal(72, text("x")) && !equal(72, text("")) && !equal(72, text("72.5")));
    assert!(!equal(EVEN, text("9007199254740993")));
    assert_eq!(order_of(text("10"), 9), GREATER);
    assert_eq!(order_of(text("ten"), 9), None);
}

#[test]
fn double_with_string() {
    assert!(equal(72.5, text("72.50")) && equal(72.0, text("72")) && equal(-0.0, text("0")));
    assert!(equal(EVEN as f64, text("9007199254740993")));
    assert!(!equal(f64::INFINITY, text("inf")) && !equal(f64::INFINITY, text("1e400")));
    assert_eq!(order_of(text("10"), 9.5), GREATER);
    assert_eq!(order_of(text("ten"), 9.5), None);
}

#[test]
fn number_with_bool() {
    assert!(!equal(1, Value::Bool(true)) && !equal(0.0, Value::Bool(false)));
    assert_eq!(order_of(Value::Bool(true), 1), None);
}

#[test]
fn bool_with_bool() {
    assert!(equal(true, Value::Bool(true)) && !equal(true, Value::Bool(false)));
    assert_eq!(order_of(Value::Bool(true), true), None);
}

#[test]
fn bool_with_string() {
    assert!(equal(true, text("true")) && equal(false, text("false")));
    assert!(!equal(true, text("True")) && !equal(true, text("1")) && !equal(true, text("false")));
    assert_eq!(order_of(text("true"), true), None);
}

#[test]
fn bool_with_number() {
    assert!(!equal(true, Value::Int(1)) && !equal(false, Value::Double(0.0)));
    assert_eq!(order_of(Value::Int(1), true), None);
}

#[test]
fn nan_with_anything() {
    let nan = || Value::Double(f64::NAN);
    assert!(
        !equal(f64::NAN, nan())
            && !equal("NaN", nan())
            && !equal(0, nan())
            && !equal(f64::NAN, Value::Int(0))
    );
    assert!(!equal(f64::NAN, text("1")) && !equal(f64::NAN, text("NaN")));
    assert_eq!(order_of(nan(), f64::NAN), None);
    assert_eq!(order_of(nan(), "1"), None);
    assert_eq!(order_of(text("1"), f64::NAN), None);
}

#[test]
fn anything_with_array() {
    let array = || Value::Array(vec![text("a"), Value::Int(72), Value::Bool(true)]);
    assert!(equal("a", array()) && equal("72.0", array()) && equal(72, array()) && equal(true, array()));
    assert!(!equal("b", array()) && !equal("a", Value::Array(Vec::new())));
    let over = Operand::new(Literal::Int(70));
    assert!(any_scalar(&array(), |scalar| order(scalar, &over) == GREATER));
    assert!(!any_scalar(&array(), |scalar| order(scalar, &over) == EQUAL));
}

#[test]
fn anything_with_composed_values() {
    let nested = Value::Array(vec![Value::Array(vec![text("a")]), Value::Map(Vec::new()), Value::Empty]);
    let map = Value::Map(vec![Attribute { key: "a".to_owned(), value: text("a") }]);
    for value in [nested, map, Value::Bytes(b"a".to_vec()), Value::Empty] {
        assert!(!equal("a", value.clone()) && !equal("", value.clone()), "{value:?}");
        assert!(!equal(value.text(), value.clone()), "{value:?}");
        assert!(!any_scalar(&value, |_| true), "{value:?}");
    }
}

#[test]
fn text_that_a_pattern_sees() {
    for (value, seen) in [
        (text("a b"), "a b"),
        (Value::Int(-72), "-72"),
        (Value::Double(72.0), "72.0"),
        (Value::Double(1e300), "1e300"),
        (Value::Double(f64::NAN), "NaN"),
        (Value::Bool(false), "false"),
    ] {
        assert_eq!(Scalar::of(&value).unwrap().text(), seen);
        assert_eq!(value.text(), seen, "as the format writes it");
    }
}
