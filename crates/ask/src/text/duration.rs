//! Durations as people write them: `1.5ms`, `2s`, `1h30m`, `90d`.

use std::fmt;

/// Units with their nanoseconds, the largest first. Both signs for micro are in use.
const UNITS: [(&str, i128); 10] = [
    ("w", 7 * 86_400 * SECOND),
    ("d", 86_400 * SECOND),
    ("h", 3_600 * SECOND),
    ("m", 60 * SECOND),
    ("s", SECOND),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ns", 1),
];
const SECOND: i128 = 1_000_000_000;

/// Units that a duration is written in if it is a multiple of them, and those that may have a fraction.
const WHOLE: [&str; 3] = ["d", "h", "m"];
const WITH_FRACTION: [&str; 3] = ["s", "ms", "us"];

/// More digits than any duration has.
const MAX_DIGITS: usize = 20;

/// The nanoseconds of a duration, if they are whole.
pub(crate) fn nanos_of(text: &str) -> Option<i128> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut nanos = 0_i128;
    let mut rest = unsigned;
    loop {
        let (number, behind) = rest.split_at(rest.find(char::is_alphabetic)?);
        let end = behind.find(|character: char| !character.is_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let (_, of_unit) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        nanos = nanos.checked_add(times(number, of_unit)?)?;
        if behind.is_empty() {
            return Some(if text.starts_with('-') { -nanos } else { nanos });
        }
        rest = behind;
    }
}

/// A number with a fraction, times a unit.
fn times(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| {
        let are_digits = text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() <= MAX_DIGITS;
        text.parse::<i128>().ok().filter(|_| are_digits)
    };
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = digits(fraction)?.checked_mul(unit)?;
    if part % scale != 0 {
        return None;
    }
    digits(whole)?.checked_mul(unit)?.checked_add(part / scale)
}

/// Writes a duration in the largest unit in which it is short.
pub(crate) fn write_nanos(nanos: i128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if nanos == 0 {
        return f.write_str("0s");
    }
    let of = |unit: &str| UNITS.into_iter().find(|(name, _)| *name == unit);
    if let Some((unit, size)) = WHOLE.into_iter().filter_map(of).find(|(_, size)| nanos % size == 0) {
        return write!(f, "{}{unit}", nanos / size);
    }
    let is_short = |size: i128| nanos.abs() >= size && nanos % (size / 1_000) == 0;
    match WITH_FRACTION.into_iter().filter_map(of).find(|(_, size)| is_short(*size)) {
        Some((unit, size)) => {
            let sign = if nanos < 0 { "-" } else { "" };
            let (whole, thousandths) = (nanos.abs() / size, nanos.abs() % size / (size / 1_000));
            let fraction = format!(".{thousandths:03}");
            let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
            write!(f, "{sign}{whole}{fraction}{unit}")
        }
        None => write!(f, "{nanos}ns"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Written(i128);

    impl fmt::Display for Written {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write_nanos(self.0, f)
        }
    }

    #[test]
    fn should_write_durations_in_short_and_read_them_again() {
        for (nanos, expected) in [
            (0, "0s"),
            (1, "1ns"),
            (-1, "-1ns"),
            (1_500, "1.5us"),
            (1_500_000, "1.5ms"),
            (-1_500_000, "-1.5ms"),
            (1_234_567, "1234.567us"),
            (2 * SECOND, "2s"),
            (90 * SECOND, "90s"),
            (100 * SECOND + 5_000_000, "100.005s"),
            (1_000_000_001, "1000000.001us"),
            (5_400 * SECOND, "90m"),
            (36 * 3_600 * SECOND, "36h"),
            (7 * 86_400 * SECOND, "7d"),
            (i128::from(i64::MAX), "9223372036854775.807us"),
            (i128::from(i64::MIN), "-9223372036854775.808us"),
        ] {
            assert_eq!(Written(nanos).to_string(), expected);
            assert_eq!(nanos_of(expected), Some(nanos), "{expected}");
        }
    }

    #[test]
    fn should_read_sums_fractions_and_both_signs_for_micro() {
        for (text, nanos) in [
            ("1h30m", 5_400 * SECOND),
            ("-1m0.5s", -60_500_000_000),
            ("0.25h", 900 * SECOND),
            ("2w", 14 * 86_400 * SECOND),
            ("3µs", 3_000),
            ("3μs", 3_000),
            ("+3us", 3_000),
            ("1.0ns", 1),
        ] {
            assert_eq!(nanos_of(text), Some(nanos), "{text}");
        }
    }

    #[test]
    fn should_refuse_what_is_no_duration_of_whole_nanoseconds() {
        let long = format!("{}s", "9".repeat(40));
        for text in [
            "", "-", "5", "ms", "5sec", "1.5ns", ".s", "1.s", ".5s", "1..5s", "--1s", "1s-1s", "1h30", "1 s",
            &long,
        ] {
            assert_eq!(nanos_of(text), None, "{text}");
        }
    }
}
