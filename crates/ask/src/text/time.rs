//! Times as people write them: `2026-08-01T12:00:00.5Z`, or a day, which stands for its first moment. All are UTC.

use std::fmt;

use siltstone_format::day::Day;

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const NANOS_PER_DAY: i128 = 86_400_000_000_000;
/// The most digits of a fraction.
const NANO_DIGITS: usize = 9;

/// Nanoseconds since 1970.
pub(super) fn unix_nano_of(text: &str) -> Option<i128> {
    let (day, clock) = text.split_at_checked("2026-08-01".len())?;
    let day: Day = day.parse().ok()?;
    let of_day = if clock.is_empty() { 0 } else { nanos_of_day(clock)? };
    Some(i128::from(day.0) * NANOS_PER_DAY + i128::from(of_day))
}

fn nanos_of_day(clock: &str) -> Option<u64> {
    let clock = clock.strip_prefix('T')?.strip_suffix('Z')?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.split(':');
    let mut part = |count: u64| number_of(parts.next()?).filter(|number| *number < count);
    let (hour, minute, second) = (part(24)?, part(60)?, part(60)?);
    if parts.next().is_some() || fraction.is_empty() || fraction.len() > NANO_DIGITS {
        return None;
    }
    let nanos = digits(&format!("{fraction:0<NANO_DIGITS$}"))?;
    Some((hour * 3_600 + minute * 60 + second) * NANOS_PER_SECOND + nanos)
}

fn number_of(text: &str) -> Option<u64> {
    digits(text).filter(|_| text.len() == 2)
}

/// A number without a sign.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Writes a time with a fraction as short as it can be.
pub(super) fn write_unix_nano(unix_nano: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let day = Day::of_unix_nano(unix_nano);
    let of_day = unix_nano - day.start_unix_nano();
    let (second, nanos) = (of_day / NANOS_PER_SECOND, of_day % NANOS_PER_SECOND);
    write!(f, "{day}T{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)?;
    if nanos > 0 {
        write!(f, ".{}", format!("{nanos:0NANO_DIGITS$}").trim_end_matches('0'))?;
    }
    f.write_str("Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Written(u64);

    impl fmt::Display for Written {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write_unix_nano(self.0, f)
        }
    }

    #[test]
    fn should_write_times_and_read_them_again() {
        for (unix_nano, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (1, "1970-01-01T00:00:00.000000001Z"),
            (1_785_586_200_500_000_000, "2026-08-01T12:10:00.5Z"),
            (951_868_799_999_999_999, "2000-02-29T23:59:59.999999999Z"),
            (i64::MAX as u64, "2262-04-11T23:47:16.854775807Z"),
        ] {
            assert_eq!(Written(unix_nano).to_string(), expected);
            assert_eq!(unix_nano_of(expected), Some(i128::from(unix_nano)), "{expected}");
        }
        assert_eq!(unix_nano_of("2026-08-01"), unix_nano_of("2026-08-01T00:00:00.000Z"));
        assert_eq!(unix_nano_of("9999-12-31"), Some(2_932_896 * NANOS_PER_DAY));
    }

    #[test]
    fn should_refuse_what_is_no_time() {
        for text in [
            "",
            "2026-08-0",
            "2026-02-30",
            "1969-12-31",
            "2026-08-01T",
            "2026-08-01T12:00:00",
            "2026-08-01T12:00Z",
            "2026-08-01T24:00:00Z",
            "2026-08-01T12:60:00Z",
            "2026-08-01T12:00:60Z",
            "2026-08-01T12:00:00:00Z",
            "2026-08-01T+1:00:00Z",
            "2026-08-01T1:00:00Z",
            "2026-08-01T12:00:00.Z",
            "2026-08-01T12:00:00.0000000001Z",
            "2026-08-01T12:00:00+02:00",
            "2026-08-0äT12:00:00Z",
        ] {
            assert_eq!(unix_nano_of(text), None, "{text}");
        }
    }
}
