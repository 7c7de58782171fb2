//! UTC days, as the catalog cuts time.

use std::fmt;
use std::str::FromStr;

const NANOS_PER_DAY: u64 = 86_400_000_000_000;

/// Days since 1970-01-01, written as `2026-11-21`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub u32);

/// The text is not a day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a day: expected the form 2026-11-21")]
pub struct DayError(String);

impl Day {
    /// The day in which a time lies.
    pub fn of_unix_nano(nanos: u64) -> Self {
        // u64 nanoseconds end in the year 2554, so the count of days fits.
        Self((nanos / NANOS_PER_DAY) as u32)
    }

    /// First nanosecond of the day.
    pub fn start_unix_nano(self) -> u64 {
        u64::from(self.0) * NANOS_PER_DAY
    }

    /// Year, month, day of the proleptic Gregorian calendar; years are counted
    /// from March, so that the leap day is a year's last.
    fn civil(self) -> (u32, u32, u32) {
        let days = self.0 + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        (year_of_era + era * 400 + u32::from(month <= 2), month, day)
    }

    fn from_civil(year: u32, month: u32, day: u32) -> Option<Self> {
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let march_year = year - u32::from(month <= 2);
        let (era, year_of_era) = (march_year / 400, march_year % 400);
        let march_month = if month > 2 { month - 3 } else { month + 9 };
        let day_of_year = (153 * march_month + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let found = Self((era * 146_097 + day_of_era).checked_sub(719_468)?);
        // A day such as February 30th would come back as another one.
        (found.civil() == (year, month, day)).then_some(found)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for Day {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let wrong = || DayError(text.to_owned());
        let bytes = text.as_bytes();
        if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
            return Err(wrong());
        }
        let number = |range| {
            let digits: &str = text.get(range)?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        let parts = (number(0..4), number(5..7), number(8..10));
        let (Some(year), Some(month), Some(day)) = parts else { return Err(wrong()) };
        Self::from_civil(year, month, day).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_round_trip_every_day_of_the_range() {
        for count in 0..213_504 {
            assert_eq!(Day(count).to_string().parse::<Day>().unwrap(), Day(count));
        }
        assert_eq!(Day(0).to_string(), "1970-01-01");
        assert_eq!(Day(11_016).to_string(), "2000-02-29");
        assert_eq!(Day::of_unix_nano(u64::MAX).to_string(), "2554-07-21");
    }

    #[test]
    fn should_refuse_days_that_do_not_exist() {
        for text in ["2023-02-29", "2023-13-01", "2023-00-10", "1969-12-31", "2023-1-01", "+023-01-01", ""] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
    }

    #[test]
    fn should_start_at_midnight() {
        let day = Day(20_000);
        assert_eq!(Day::of_unix_nano(day.start_unix_nano()), day);
        assert_eq!(Day::of_unix_nano(day.start_unix_nano() - 1), Day(19_999));
    }
}
