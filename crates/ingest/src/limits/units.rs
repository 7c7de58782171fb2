//! Sizes and times as people write them in a settings file.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SIZES: [(&str, u64); 10] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

const TIMES: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// The word for no bound.
const UNLIMITED: &str = "unlimited";
const FOREVER: &str = "forever";

/// A number of bytes: `1048576`, `"64MiB"`, `"unlimited"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteCount(pub u64);

/// How long: `"30d"`, `"1h30m"`, or none: `"forever"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep(pub Option<Duration>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    #[error("`{0}` is not a number of bytes: write 1048576, \"64MiB\", \"1GB\" or \"unlimited\"")]
    Bytes(String),
    #[error("`{0}` is not a duration: write \"30d\", \"12h\", \"1h30m\" or \"forever\"")]
    Duration(String),
}

impl FromStr for ByteCount {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if text == UNLIMITED {
            return Ok(Self(u64::MAX));
        }
        let bytes =
            count_and_unit(text).filter(|(_, _, rest)| rest.is_empty()).and_then(|(count, unit, _)| {
                let (_, size) = SIZES.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
                count.checked_mul(size)
            });
        bytes.map(Self).ok_or_else(|| UnitError::Bytes(text.to_owned()))
    }
}

impl FromStr for Keep {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if text == FOREVER {
            return Ok(Self(None));
        }
        duration(text)
            .map(|duration| Self(Some(duration)))
            .ok_or_else(|| UnitError::Duration(text.to_owned()))
    }
}

fn duration(text: &str) -> Option<Duration> {
    let mut millis = 0_u64;
    let mut rest = text;
    while !rest.is_empty() || text.is_empty() {
        let (count, unit, behind) = count_and_unit(rest)?;
        let (_, size) = TIMES.into_iter().find(|(name, _)| *name == unit)?;
        millis = millis.checked_add(count.checked_mul(size)?)?;
        rest = behind;
    }
    Some(Duration::from_millis(millis))
}

/// Leading digits, the letters that follow them, and the rest.
fn count_and_unit(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (count, behind) = text.split_at(digits);
    let behind = behind.trim_start_matches(' ');
    let letters = behind.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(behind.len());
    let (unit, rest) = behind.split_at(letters);
    Some((count.parse().ok()?, unit, rest))
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == u64::MAX { f.write_str(UNLIMITED) } else { write!(f, "{}", self.0) }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(duration) = self.0 else { return f.write_str(FOREVER) };
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        // The largest unit that it is a multiple of.
        let whole = TIMES.into_iter().rev().find(|(_, size)| millis.is_multiple_of(*size));
        let (unit, size) = whole.filter(|_| millis > 0).unwrap_or(("s", 1_000));
        write!(f, "{}{unit}", millis / size)
    }
}

impl Serialize for ByteCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Settings files know signed numbers only.
        if i64::try_from(self.0).is_ok() {
            serializer.serialize_u64(self.0)
        } else {
            serializer.collect_str(self)
        }
    }
}

impl Serialize for Keep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = ByteCount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes, like 1048576 or \"64MiB\"")
            }

            fn visit_u64<E: Error>(self, bytes: u64) -> Result<ByteCount, E> {
                Ok(ByteCount(bytes))
            }

            fn visit_i64<E: Error>(self, bytes: i64) -> Result<ByteCount, E> {
                let positive = u64::try_from(bytes);
                positive.map(ByteCount).map_err(|_| E::invalid_value(Unexpected::Signed(bytes), &self))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ByteCount, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Bytes)
    }
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn should_read_bytes() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("17B", 17),
            ("64MiB", 64 << 20),
            ("64 mib", 64 << 20),
            ("1kB", 1_000),
            ("2TiB", 2 << 40),
            ("unlimited", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(ByteCount(bytes)), "{text}");
        }
        for text in
            ["", "MiB", "-1", "1.5GiB", "1XB", "1M", "64MiB!", "17000000TiB", "Unlimited", " 1", "1MiB2"]
        {
            assert_eq!(text.parse::<ByteCount>(), Err(UnitError::Bytes(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn should_read_durations() {
        for (text, seconds) in
            [("30d", 2_592_000), ("12h", 43_200), ("1h30m", 5_400), ("2w", 1_209_600), ("0s", 0)]
        {
            assert_eq!(text.parse(), Ok(Keep(Some(Duration::from_secs(seconds)))), "{text}");
        }
        assert_eq!("250ms".parse(), Ok(Keep(Some(Duration::from_millis(250)))));
        assert_eq!("forever".parse(), Ok(Keep(None)));
        for text in
            ["", "30", "d", "-1d", "1.5h", "1y", "1D", "1h30", "99999999999999999999d", "9999999999999d"]
        {
            assert_eq!(text.parse::<Keep>(), Err(UnitError::Duration(text.to_owned())), "{text}");
        }
    }

    proptest! {
        #[test]
        fn should_read_what_it_writes(number in any::<u64>(), some in any::<bool>()) {
            prop_assert_eq!(ByteCount(number).to_string().parse(), Ok(ByteCount(number)));
            let keep = Keep(some.then(|| Duration::from_millis(number)));
            prop_assert_eq!(keep.to_string().parse(), Ok(keep));
        }
    }
}
