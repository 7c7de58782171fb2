//! Times and durations as Jaeger's clients write them: Go's durations, RFC 3339, and whole numbers since 1970.
//!
//! Inside they are nanoseconds since 1970. What lies before that, or after the year 2554, is brought to the nearest
//! time that can be said.

use std::fmt::Write as _;

const NANOS_PER_SECOND: i128 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// Microseconds since 1970 that are in truth milliseconds: those of 1973 to 5138 in milliseconds would lie before
/// 1973 in microseconds. Grafana's time range of a trace is written so.
const IN_TRUTH_MILLIS: std::ops::Range<i64> = 100_000_000_000..100_000_000_000_000;

/// Units of Go's durations. Both signs for micro are in use.
const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", NANOS_PER_SECOND),
    ("m", 60 * NANOS_PER_SECOND),
    ("h", 3_600 * NANOS_PER_SECOND),
];

/// The text is no time, or no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    #[error("invalid duration \"{0}\": write a number with a unit, such as 100ms, 1.2s or 1h30m")]
    Duration(String),
    #[error("missing unit in duration \"{0}\": write one of ns, us, ms, s, m, h behind the number")]
    NoUnit(String),
    #[error("duration \"{0}\" is longer than 292 years")]
    DurationTooLong(String),
    #[error("cannot parse \"{0}\" as a time: write it as 2026-11-21T10:20:30.5Z")]
    Time(String),
}

/// Nanoseconds of a duration as Go writes it.
pub fn duration_of(text: &str) -> Result<i64, TimeError> {
    let wrong = || TimeError::Duration(shown(text));
    let (is_negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut nanos: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, behind) = rest.split_at(end);
        let end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        if unit.is_empty() {
            return Err(if number.bytes().any(|b| b.is_ascii_digit()) {
                TimeError::NoUnit(shown(text))
            } else {
                wrong()
            });
        }
        let (_, of_unit) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        nanos = nanos.saturating_add(times(number, *of_unit).ok_or_else(wrong)?);
        rest = behind;
    }
    let nanos = if is_negative { -nanos } else { nanos };
    i64::try_from(nanos).map_err(|_| TimeError::DurationTooLong(shown(text)))
}

/// A number with a fraction, times a whole number; more than any duration if it is large.
fn times(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    const MORE_THAN_ANY: i128 = i64::MAX as i128 + 1;
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().unwrap_or(MORE_THAN_ANY) };
    // More digits than these say nothing of a nanosecond, as an hour has 4 * 10^12.
    let fraction = &fraction[..fraction.len().min(15)];
    let part = if fraction.is_empty() { 0 } else { fraction.parse::<i128>().ok()? };
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    Some(whole.min(MORE_THAN_ANY) * unit + part * unit / scale)
}

/// A time as RFC 3339 writes it, with any fraction of a second. A `+` that came as a space, because nobody encoded
/// it, is one.
pub fn unix_nano_of_rfc3339(text: &str) -> Result<u64, TimeError> {
    exact_unix_nano_of_rfc3339(text).map(nearest)
}

/// The same, where it lies: before 1970 it is negative.
pub fn exact_unix_nano_of_rfc3339(text: &str) -> Result<i128, TimeError> {
    rfc3339(text.trim()).ok_or_else(|| TimeError::Time(shown(text)))
}

fn rfc3339(text: &str) -> Option<i128> {
    let number = |range: std::ops::Range<usize>| {
        let digits = text.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?
    };
    let is_at = |place: usize, any_of: &[u8]| text.as_bytes().get(place).is_some_and(|b| any_of.contains(b));
    let separators: [(usize, &[u8]); 5] = [(4, b"-"), (7, b"-"), (10, b"Tt "), (13, b":"), (16, b":")];
    if !separators.iter().all(|(place, any_of)| is_at(*place, any_of)) {
        return None;
    }
    let days = days_since_1970(number(0..4)?, number(5..7)?, number(8..10)?)?;
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, zone) = fraction_of(text.get(19..)?)?;
    let seconds = days * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second - offset_of(zone)?;
    Some(i128::from(seconds) * NANOS_PER_SECOND + nanos)
}

/// Nanoseconds of a fraction, and what stands behind it.
fn fraction_of(text: &str) -> Option<(i128, &str)> {
    let Some(text) = text.strip_prefix(['.', ',']) else { return Some((0, text)) };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (fraction, rest) = text.split_at(digits);
    if fraction.is_empty() {
        return None;
    }
    let nanos: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    Some((nanos.parse().ok()?, rest))
}

/// Seconds east of Greenwich.
fn offset_of(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' | b' ' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let number = |digits: &str| {
        let is_fit = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_fit.then(|| digits.parse::<i64>().ok())?
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// Of the proleptic Gregorian calendar; years are counted from March, so that the leap day is a year's last.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && year % 100 != 0 || year % 400 == 0;
    let longest = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(is_leap),
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=longest).contains(&day) {
        return None;
    }
    let march_year = year - i64::from(month <= 2);
    let march_month = (month + 9) % 12;
    let (era, year_of_era) = (march_year.div_euclid(400), march_year.rem_euclid(400));
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// A time as RFC 3339 in UTC, its fraction as short as it can be.
pub fn write_rfc3339(unix_nano: u64, out: &mut String) {
    let day = siltstone_format::day::Day::of_unix_nano(unix_nano);
    let of_day = unix_nano - day.start_unix_nano();
    let (second, nanos) = (of_day / 1_000_000_000, of_day % 1_000_000_000);
    // Writing into a text cannot fail.
    let _ = write!(out, "{day}T{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60);
    if nanos > 0 {
        let fraction = format!("{nanos:09}");
        let _ = write!(out, ".{}", fraction.trim_end_matches('0'));
    }
    out.push('Z');
}

/// Of seconds and nanoseconds since 1970, as protobuf has them.
pub fn unix_nano_of_timestamp(seconds: i64, nanos: i32) -> u64 {
    nearest(i128::from(seconds) * NANOS_PER_SECOND + i128::from(nanos))
}

/// Of microseconds since 1970, or milliseconds in their place.
pub fn unix_nano_of_micros(micros: i64) -> u64 {
    let nanos = if IN_TRUTH_MILLIS.contains(&micros) { 1_000_000 } else { 1_000 };
    nearest(i128::from(micros) * nanos)
}

/// Of milliseconds since 1970.
pub fn unix_nano_of_millis(millis: i64) -> u64 {
    nearest(i128::from(millis) * 1_000_000)
}

fn nearest(nanos: i128) -> u64 {
    u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)
}

fn shown(text: &str) -> String {
    const SHOWN: usize = 64;
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests;
