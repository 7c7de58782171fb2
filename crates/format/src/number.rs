//! Numbers as texts and values say them, and their exact order.
//!
//! A text is a number if Rust's `i128` or `f64` parse accepts it, words and what
//! overflows to an infinity apart:
//!
//! | text | number |
//! |---|---|
//! | `72`, `+72`, `-72`, `072` | the int |
//! | `72.0`, `72.`, `.5`, `-1.5`, `7.2e1`, `7.2E+1` | the nearest double |
//! | digits over 38 places | the nearest double |
//! | `inf`, `infinity`, `nan` in any case and with any sign | none |
//! | `1e400` | none |
//! | spaces, `_`, `,`, `0x`, units, nothing | none |
//!
//! A string that is a number is filed in the filters under the number, so a reader
//! and a writer of blocks must agree on this to the letter.

use std::cmp::Ordering;

use crate::term::TermValue;

/// A number that is not rounded: an int is wide enough for every int and every time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Int(i128),
    Double(f64),
}

/// The number that a text says, see the module's table.
pub fn as_number(text: &str) -> Option<Number> {
    // One look at the first digit spares most strings the parsing, and excludes words.
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    if let Ok(int) = text.parse() {
        return Some(Number::Int(int));
    }
    text.parse().ok().filter(|double: &f64| double.is_finite()).map(Number::Double)
}

/// The value under which a string has its term: numbers and bools that are written as
/// strings share the term of the number or bool, so that one look answers for all
/// types that a literal coerces to.
pub fn term_value(text: &str) -> TermValue<'_> {
    match (text, as_number(text)) {
        ("true", _) => TermValue::Bool(true),
        ("false", _) => TermValue::Bool(false),
        (_, None) => TermValue::Str(text),
        (_, Some(Number::Double(double))) => TermValue::Double(double),
        (_, Some(number @ Number::Int(int))) => match i64::try_from(int) {
            Ok(int) => TermValue::Int(int),
            Err(_) => TermValue::Double(number.as_double()),
        },
    }
}

impl Number {
    /// The nearest double: what Rust's `f64` parse makes of the int's text.
    pub fn as_double(self) -> f64 {
        match self {
            Self::Int(int) => int as f64,
            Self::Double(double) => double,
        }
    }

    /// The exact order; none with a NaN. No int is rounded to a double.
    pub fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(one), Self::Int(other)) => Some(one.cmp(&other)),
            (Self::Double(one), Self::Double(other)) => one.partial_cmp(&other),
            (Self::Int(int), Self::Double(double)) => compare_int(int, double),
            (Self::Double(double), Self::Int(int)) => compare_int(int, double).map(Ordering::reverse),
        }
    }
}

fn compare_int(int: i128, double: f64) -> Option<Ordering> {
    // 2^127: below it the whole part of a double converts without loss.
    const LIMIT: f64 = -(i128::MIN as f64);
    if double.is_nan() {
        None
    } else if double >= LIMIT {
        Some(Ordering::Less)
    } else if double < -LIMIT {
        Some(Ordering::Greater)
    } else {
        let order = int.cmp(&(double.trunc() as i128));
        0.0.partial_cmp(&double.fract()).map(|of_fraction| order.then(of_fraction))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_read_ints() {
        for (text, int) in [("72", 72), ("+72", 72), ("-72", -72), ("072", 72), ("-0", 0)] {
            assert_eq!(as_number(text), Some(Number::Int(int)), "{text}");
        }
        assert_eq!(as_number("18446744073709551615"), Some(Number::Int(i128::from(u64::MAX))));
    }

    #[test]
    fn should_read_doubles() {
        for (text, double) in
            [("72.0", 72.0), ("72.", 72.0), (".5", 0.5), ("-1.5", -1.5), ("7.2e1", 72.0), ("7.2E+1", 72.0)]
        {
            assert_eq!(as_number(text), Some(Number::Double(double)), "{text}");
        }
        assert_eq!(as_number(&"9".repeat(39)), Some(Number::Double(1e39)));
    }

    #[test]
    fn should_take_no_word_no_overflow_and_no_ornament_for_a_number() {
        for text in [
            "inf",
            "-inf",
            "+infinity",
            "Infinity",
            "nan",
            "NaN",
            "-NaN",
            "1e400",
            "-1e400",
            "",
            " 72",
            "72 ",
            "1_000",
            "1,000",
            "0x10",
            "5ms",
            "+",
            "-",
            ".",
            "e5",
            "--1",
            "+-1",
            "१",
            "1.2.3",
        ] {
            assert_eq!(as_number(text), None, "{text}");
        }
    }

    #[test]
    fn should_order_ints_and_doubles_without_rounding() {
        let over = 9_007_199_254_740_993; // 2^53 + 1, which no double equals
        for (int, double, order) in [
            (72, 72.0, Ordering::Equal),
            (0, -0.0, Ordering::Equal),
            (72, 72.5, Ordering::Less),
            (-72, -72.5, Ordering::Greater),
            (73, 72.5, Ordering::Greater),
            (over, 9_007_199_254_740_992.0, Ordering::Greater),
            (i128::from(i64::MAX), 9_223_372_036_854_775_808.0, Ordering::Less),
            (i128::from(i64::MIN), -9_223_372_036_854_775_808.0, Ordering::Equal),
            (i128::MAX, 1.7014118346046923e38, Ordering::Less),
            (i128::MIN, -1.7014118346046923e38, Ordering::Equal),
            (i128::MAX, f64::INFINITY, Ordering::Less),
            (i128::MIN, f64::NEG_INFINITY, Ordering::Greater),
        ] {
            let (int, double) = (Number::Int(int), Number::Double(double));
            assert_eq!(int.compare(double), Some(order), "{int:?} {double:?}");
            assert_eq!(double.compare(int), Some(order.reverse()), "{int:?} {double:?}");
        }
        assert_eq!(Number::Int(1).compare(Number::Double(f64::NAN)), None);
    }

    #[test]
    fn should_file_strings_under_what_they_say() {
        assert_eq!(term_value("072"), TermValue::Int(72));
        assert_eq!(term_value("72.5"), TermValue::Double(72.5));
        assert_eq!(term_value("9223372036854775808"), TermValue::Double(9_223_372_036_854_775_808.0));
        assert_eq!(term_value("true"), TermValue::Bool(true));
        assert_eq!(term_value("false"), TermValue::Bool(false));
        for text in ["True", "", "cart", "inf", "12e45678", "7f3a"] {
            assert_eq!(term_value(text), TermValue::Str(text));
        }
    }
}
