//! Ids as fixed bytes. Hex exists only here and at the edges of the system.

use std::fmt;
use std::str::FromStr;

use ulid::Ulid;

/// The text was not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}: expected {expected}")]
pub struct IdError {
    what: &'static str,
    expected: &'static str,
    text: String,
}

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:literal, $what:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// An id of only zero bytes means "no id" in OTLP.
            pub fn is_zero(&self) -> bool {
                self.0 == [0; $len]
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let wrong = || IdError { what: $what, expected: $expected, text: text.to_owned() };
                let digits = text.as_bytes();
                if digits.len() != 2 * $len {
                    return Err(wrong());
                }
                let mut id = [0; $len];
                for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
                    let nibble = |digit: u8| char::from(digit).to_digit(16);
                    let (Some(high), Some(low)) = (nibble(pair[0]), nibble(pair[1])) else {
                        return Err(wrong());
                    };
                    *byte = (high << 4 | low) as u8;
                }
                Ok(Self(id))
            }
        }
    };
}

byte_id!(
    /// Names one trace.
    TraceId, 16, "trace id", "32 hex digits"
);
byte_id!(
    /// Names one span within its trace; senders may use one id for two spans.
    SpanId, 8, "span id", "16 hex digits"
);

macro_rules! ulid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Ulid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            /// Accepts the canonical form only, so that an object has one name.
            fn from_str(text: &str) -> Result<Self, IdError> {
                match Ulid::from_string(text) {
                    Ok(id) if id.to_string() == text => Ok(Self(id)),
                    _ => Err(IdError { what: $what, expected: "26 characters of a ULID", text: text.to_owned() }),
                }
            }
        }
    };
}

ulid_id!(
    /// Names one block for ever.
    BlockId, "block id"
);
ulid_id!(
    /// Names one incarnation of a writer.
    WriterId, "writer id"
);
ulid_id!(
    /// Names a page of the catalog, a filter group or a job.
    ObjectId, "object id"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_round_trip_hex_in_lower_case_and_accept_upper_case() {
        let id: TraceId = "00FF102030405060708090a0b0c0d0e0".parse().unwrap();
        assert_eq!(id.to_string(), "00ff102030405060708090a0b0c0d0e0");
        assert_eq!(id.to_string().parse::<TraceId>().unwrap(), id);
        assert!(!id.is_zero());
        assert!(SpanId::default().is_zero());
    }

    #[test]
    fn should_refuse_what_is_not_an_id() {
        for text in ["", "12", "zzzzzzzzzzzzzzzz", "00000000000000000", "ääääääää"] {
            let error = text.parse::<SpanId>().unwrap_err().to_string();
            assert!(error.contains("16 hex digits"), "{error}");
        }
    }

    #[test]
    fn should_accept_only_the_canonical_ulid() {
        let text = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
        assert_eq!(text.parse::<BlockId>().unwrap().to_string(), text);
        for wrong in
            ["01arz3ndektsv4rrffq69g5fav", "01ARZ3NDEKTSV4RRFFQ69G5FA", "81ARZ3NDEKTSV4RRFFQ69G5FAV", ""]
        {
            assert!(wrong.parse::<BlockId>().is_err(), "{wrong}");
        }
    }
}
