//! Numbers compared exactly. An integer is never turned into a double: above 2^53 that would make
//! neighbours equal.

use std::cmp::Ordering;

/// A number of a span or of a filter. Wide enough for signed attributes and unsigned times alike.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    Int(i128),
    Double(f64),
}

/// How two numbers are ordered; None when one of them is NaN.
pub fn compare(left: Number, right: Number) -> Option<Ordering> {
    match (left, right) {
        (Number::Int(left), Number::Int(right)) => Some(left.cmp(&right)),
        (Number::Double(left), Number::Double(right)) => left.partial_cmp(&right),
        (Number::Int(int), Number::Double(double)) => compare_int_with_double(int, double),
        (Number::Double(double), Number::Int(int)) => {
            compare_int_with_double(int, double).map(Ordering::reverse)
        }
    }
}

fn compare_int_with_double(int: i128, double: f64) -> Option<Ordering> {
    /// 2^127: the first double above every i128, and exactly a double.
    const ABOVE_EVERY_INT: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;
    if double.is_nan() {
        return None;
    }
    if double >= ABOVE_EVERY_INT {
        return Some(Ordering::Less);
    }
    if double < -ABOVE_EVERY_INT {
        return Some(Ordering::Greater);
    }
    // Within the range of i128 the whole part of a double is an i128 exactly, and so is what is left over
    // a double exactly.
    let whole = double.trunc();
    let rest = double - whole;
    let by_whole = int.cmp(&(whole as i128));
    Some(by_whole.then_with(|| 0.0_f64.partial_cmp(&rest).unwrap_or(Ordering::Equal)))
}

/// Text as the number to be compared with `other`.
///
/// Beside a double it is read as the nearest double. Beside an integer it is read as an integer if it is one
/// and as the nearest double otherwise, so "72.0" is 72 while no digit of a long integer is lost. Words are no
/// numbers ("inf", "nan", "Infinity"), nor is what no double is near to ("1e400").
pub fn read_beside(other: Number, text: &str) -> Option<Number> {
    let as_double = || match text.parse::<f64>() {
        Ok(double) if double.is_finite() => Some(Number::Double(double)),
        _ => None,
    };
    match other {
        Number::Double(_) => as_double(),
        Number::Int(_) => text.parse().ok().map(Number::Int).or_else(as_double),
    }
}

#[cfg(test)]
mod tests {
    use Ordering::{Equal, Greater, Less};

    use super::*;

    fn int_with_double(int: i128, double: f64) -> Option<Ordering> {
        let forth = compare(Number::Int(int), Number::Double(double));
        assert_eq!(compare(Number::Double(double), Number::Int(int)), forth.map(Ordering::reverse));
        forth
    }

    #[test]
    fn should_compare_integers_with_doubles_exactly() {
        let above_2_53 = 9_007_199_254_740_993_i128;
        assert_eq!(int_with_double(above_2_53, 9_007_199_254_740_992.0), Some(Greater));
        assert_eq!(int_with_double(above_2_53 - 1, 9_007_199_254_740_992.0), Some(Equal));
        assert_eq!(int_with_double(i128::from(i64::MAX), 9_223_372_036_854_775_808.0), Some(Less));
        assert_eq!(int_with_double(i128::from(i64::MIN), -9_223_372_036_854_775_808.0), Some(Equal));
        assert_eq!(int_with_double(72, 72.5), Some(Less));
        assert_eq!(int_with_double(-72, -72.5), Some(Greater));
        assert_eq!(int_with_double(0, -0.0), Some(Equal));
        assert_eq!(int_with_double(0, f64::MIN_POSITIVE), Some(Less));
        assert_eq!(int_with_double(i128::MAX, f64::INFINITY), Some(Less));
        assert_eq!(int_with_double(i128::MIN, f64::NEG_INFINITY), Some(Greater));
        assert_eq!(
            int_with_double(i128::MIN, -170_141_183_460_469_231_731_687_303_715_884_105_728.0),
            Some(Equal)
        );
        assert_eq!(int_with_double(0, f64::NAN), None);
    }

    #[test]
    fn should_read_text_beside_what_it_is_compared_with() {
        let reads_as = |text: &str, other: Number| read_beside(other, text).and_then(|n| compare(n, other));
        assert_eq!(reads_as("9007199254740993", Number::Int(9_007_199_254_740_993)), Some(Equal));
        assert_eq!(reads_as("9007199254740993", Number::Int(9_007_199_254_740_992)), Some(Greater));
        assert_eq!(reads_as("9007199254740993", Number::Double(9_007_199_254_740_992.0)), Some(Equal));
        assert_eq!(reads_as("-9223372036854775809", Number::Int(i128::from(i64::MIN))), Some(Less));
        assert_eq!(reads_as("7.2e1", Number::Int(72)), Some(Equal));
        for not_a_number in ["", " 72", "72 ", "0x48", "7_2", "seventy", "nan", "-inf", "Infinity", "1e400"] {
            for other in [Number::Int(72), Number::Double(72.0), Number::Double(f64::INFINITY)] {
                assert_eq!(reads_as(not_a_number, other), None, "{not_a_number:?}");
            }
        }
    }
}
