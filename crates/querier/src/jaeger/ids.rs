//! Trace ids as Jaeger's clients write them, and as they expect to read them.
//!
//! Written in hex: 16 digits if the first half is zero, else 32. Read in hex of 1 to 32 digits in any case, or in
//! base64 of 8 or 16 bytes, of either alphabet, padded or not. Hex wins where a text could be both.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use siltstone_format::id::TraceId;

const HEX_DIGITS: usize = 32;
const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: [GeneralPurpose; 2] =
    [GeneralPurpose::new(&STANDARD, ANY_PADDING), GeneralPurpose::new(&URL_SAFE, ANY_PADDING)];
/// Longer texts are not repeated whole in messages.
const SHOWN: usize = 64;

/// The text is no trace id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceIdError {
    #[error("TraceID cannot be longer than {HEX_DIGITS} hex characters: `{0}`")]
    TooLong(String),
    #[error("`{0}` is no trace id: write 1 to {HEX_DIGITS} hex digits")]
    NotAnId(String),
}

pub fn trace_id_of(text: &str) -> Result<TraceId, TraceIdError> {
    let shown = || text.chars().take(SHOWN).collect();
    if text.len() > HEX_DIGITS {
        return Err(TraceIdError::TooLong(shown()));
    }
    of_hex(text).or_else(|| of_base64(text)).ok_or_else(|| TraceIdError::NotAnId(shown()))
}

fn of_hex(text: &str) -> Option<TraceId> {
    // A sign is no digit, though `from_str_radix` takes one.
    let is_hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = is_hex.then(|| u128::from_str_radix(text, 16).ok())??;
    Some(TraceId(number.to_be_bytes()))
}

fn of_base64(text: &str) -> Option<TraceId> {
    let bytes = BASE64.iter().find_map(|alphabet| alphabet.decode(text).ok())?;
    trace_id_of_bytes(&bytes)
}

/// From 16 bytes, or from the last 8 of them.
pub fn trace_id_of_bytes(bytes: &[u8]) -> Option<TraceId> {
    let mut id = [0; 16];
    match bytes.len() {
        8 => id[8..].copy_from_slice(bytes),
        16 => id.copy_from_slice(bytes),
        _ => return None,
    }
    Some(TraceId(id))
}

/// The bytes of an id that Jaeger's JSON has: not a first half that is zero.
pub(crate) fn short_bytes(id: &TraceId) -> &[u8] {
    match id.0.as_slice() {
        [0, 0, 0, 0, 0, 0, 0, 0, rest @ ..] => rest,
        all => all,
    }
}

/// A trace id as Jaeger's JSON has it, for messages.
#[derive(Clone, Copy, Debug)]
pub struct ShortTraceId(pub TraceId);

impl fmt::Display for ShortTraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        short_bytes(&self.0).iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<u128, TraceIdError> {
        trace_id_of(text).map(|id| u128::from_be_bytes(id.0))
    }

    #[test]
    fn should_read_hex_of_any_length_and_case() {
        assert_eq!(read("1"), Ok(1));
        assert_eq!(read("00ABCdef"), Ok(0xab_cdef));
        assert_eq!(read("0102030405060708"), Ok(0x0102_0304_0506_0708));
        assert_eq!(read("0102030405060708090A0b0c0d0e0f10"), Ok(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10));
        assert_eq!(read("ffffffffffffffffffffffffffffffff"), Ok(u128::MAX));
    }

    #[test]
    fn should_read_base64_of_both_alphabets_padded_or_not() {
        let all = 0xfbff_bf00_0000_0000_0000_0000_0000_0001_u128;
        for text in ["+/+/AAAAAAAAAAAAAAAAAQ==", "+/+/AAAAAAAAAAAAAAAAAQ", "-_-_AAAAAAAAAAAAAAAAAQ"] {
            assert_eq!(read(text), Ok(all), "{text}");
        }
        assert_eq!(read("AAAAAAAAAAI="), Ok(2));
        // As hex it is a number already.
        assert_eq!(read("ABCDABCDABCD"), Ok(0xabcd_abcd_abcd));
    }

    #[test]
    fn should_refuse_what_is_no_id() {
        for text in ["", "+1", "0x1", "xyz", "ä", "GGGGGGGG", "12 34"] {
            assert!(matches!(read(text), Err(TraceIdError::NotAnId(_))), "{text}");
        }
        let long = "0".repeat(33);
        assert!(matches!(read(&long), Err(TraceIdError::TooLong(_))));
        assert!(read(&"ä".repeat(1_000)).unwrap_err().to_string().chars().count() < 200);
    }

    #[test]
    fn should_write_half_an_id_if_the_other_half_is_zero() {
        let written = |number: u128| ShortTraceId(TraceId(number.to_be_bytes())).to_string();
        assert_eq!(written(0), "0000000000000000");
        assert_eq!(written(0xabc), "0000000000000abc");
        assert_eq!(written(1 << 64), "00000000000000010000000000000000");
    }
}
