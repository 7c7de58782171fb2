//! How the numbers that a target is compared with are written.

use std::fmt;

use siltstone_format::value::{Value, ValueType, write_double};

use super::duration::{nanos_of, write_nanos};
use super::error::shown;
use super::time::{unix_nano_of, write_unix_nano};
use crate::field::Field;
use crate::filter::Target;
use crate::literal::Literal;

/// What the integers of a target are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Measure {
    /// Of anything.
    Count,
    /// Nanoseconds.
    Duration,
    /// Nanoseconds since 1970.
    Time,
    /// Some have names.
    Name(Field),
}

impl Measure {
    pub(super) fn of(target: &Target) -> Self {
        match target {
            Target::Field(Field::Duration | Field::EventOffset) => Self::Duration,
            Target::Field(Field::Start | Field::End | Field::EventTime) => Self::Time,
            Target::Field(field @ (Field::Kind | Field::StatusCode)) => Self::Name(*field),
            Target::Field(_) | Target::Attribute { .. } => Self::Count,
        }
    }

    /// The literal of a text that begins as a number, or why there is none.
    pub(super) fn read(self, text: &str) -> Result<Literal, String> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        if let Ok(int) = text.parse() {
            return Ok(Literal::Int(int));
        }
        if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("`{}` is over 64 bits; write it in quotes, or as a double", shown(text)));
        }
        if let Some(double) = double_of(text) {
            return Ok(Literal::Double(double));
        }
        let (nanos, instead) = match self {
            Self::Duration => {
                (nanos_of(text), "duration of whole nanoseconds; write `1.5ms`, `2s` or `1h30m`")
            }
            Self::Time => (unix_nano_of(text), "time since 1970; write `2026-08-01T12:00:00Z`"),
            Self::Count | Self::Name(_) => (
                None,
                "number; only `duration` and `event_offset` are compared with durations, and `start`, `end` and \
                 `event_time` with times",
            ),
        };
        let int = nanos.and_then(|nanos| i64::try_from(nanos).ok());
        int.map(Literal::Int).ok_or_else(|| format!("`{}` is no {instead}", shown(text)))
    }

    pub(super) fn write(self, int: i64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, u64::try_from(int)) {
            (Self::Duration, _) => write_nanos(i128::from(int), f),
            (Self::Time, Ok(unix_nano)) => write_unix_nano(unix_nano, f),
            (Self::Name(field), _) => match i32::try_from(int).ok().and_then(|int| field.name_of(int)) {
                Some(name) => f.write_str(name),
                None => write!(f, "{int}"),
            },
            _ => write!(f, "{int}"),
        }
    }
}

/// A double, be it none of the finite ones.
pub(super) fn double_of(text: &str) -> Option<f64> {
    match Value::from_text(ValueType::Double, text) {
        Ok(Value::Double(double)) => Some(double),
        _ => None,
    }
}

/// The text that gives the double's bits back.
pub(super) fn double_text(double: f64) -> String {
    let mut text = String::new();
    write_double(double, &mut text);
    text
}
