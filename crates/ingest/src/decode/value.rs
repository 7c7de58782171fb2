//! Attributes on the wire: a KeyValue and its AnyValue, looked at where they lie.
//!
//! A message that is sent in pieces (a value or an array that occurs twice) means the pieces put together.
//! That is rare, so only then bytes are copied.

use super::depth::Depth;
use super::fields as names;
use super::wire::{Malformed, Wire};

/// A key with its value's message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: PairValue<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum PairValue<'a> {
    Missing,
    Whole(&'a [u8]),
    /// See [`joined_value`].
    InPieces,
}

/// What an AnyValue holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Any<'a> {
    Empty,
    Str(&'a [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(&'a [u8]),
    /// The message of a list of values.
    Array(Pieces<'a>),
    /// The message of a list of pairs.
    Map(Pieces<'a>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Pieces<'a> {
    Whole(&'a [u8]),
    /// See [`joined_list`].
    Several,
}

/// Reads a KeyValue; `depth` is within it.
#[inline]
pub(crate) fn pair(message: &[u8], depth: Depth) -> Result<Pair<'_>, Malformed> {
    // What nearly every sender writes: a key and a value, both of less than 128 bytes.
    if let [0x0a, key_length, rest @ ..] = message
        && *key_length < 0x80
        && let Some((key, [0x12, value_length, value @ ..])) = rest.split_at_checked(usize::from(*key_length))
        && *value_length < 0x80
        && usize::from(*value_length) == value.len()
    {
        return Ok(Pair { key, value: PairValue::Whole(value) });
    }
    any_pair(message, depth)
}

fn any_pair(message: &[u8], depth: Depth) -> Result<Pair<'_>, Malformed> {
    let mut wire = Wire::new(message);
    let mut key: &[u8] = &[];
    let mut value = PairValue::Missing;
    while !wire.is_empty() {
        match wire.key()? {
            names::pair::KEY => key = wire.bytes()?,
            names::pair::VALUE => {
                let piece = wire.bytes()?;
                let is_first = matches!(value, PairValue::Missing);
                value = if is_first { PairValue::Whole(piece) } else { PairValue::InPieces };
            }
            names::pair::KEY_INDEX => drop(wire.varint()?),
            other => wire.skip(other, names::pair::ALL, depth)?,
        }
    }
    Ok(Pair { key, value })
}

/// The value of a KeyValue that has it in several pieces.
#[cold]
pub(crate) fn joined_value(message: &[u8], depth: Depth) -> Result<Vec<u8>, Malformed> {
    joined(message, names::pair::VALUE, depth)
}

/// The pieces of one member of a message that was read before, so that all else in it is known to be right.
pub(crate) fn joined(message: &[u8], member: u32, depth: Depth) -> Result<Vec<u8>, Malformed> {
    let mut wire = Wire::new(message);
    let mut whole = Vec::new();
    while !wire.is_empty() {
        match wire.key()? {
            key if key == member => whole.extend_from_slice(wire.bytes()?),
            other => wire.skip(other, 0, depth)?,
        }
    }
    Ok(whole)
}

/// Reads an AnyValue; `depth` is within it.
#[inline]
pub(crate) fn any(message: &[u8], depth: Depth) -> Result<Any<'_>, Malformed> {
    match message {
        [0x0a, length, text @ ..] if *length < 0x80 && usize::from(*length) == text.len() => {
            Ok(Any::Str(text))
        }
        [0x18, int] if *int < 0x80 => Ok(Any::Int(i64::from(*int))),
        _ => any_other(message, depth),
    }
}

fn any_other(message: &[u8], depth: Depth) -> Result<Any<'_>, Malformed> {
    let mut wire = Wire::new(message);
    let mut any = Any::Empty;
    while !wire.is_empty() {
        any = match wire.key()? {
            names::any::STR => Any::Str(wire.bytes()?),
            names::any::BOOL => Any::Bool(wire.varint()? != 0),
            names::any::INT => Any::Int(wire.varint()?.cast_signed()),
            names::any::DOUBLE => Any::Double(f64::from_bits(wire.fixed64()?)),
            names::any::ARRAY => {
                let piece = wire.bytes()?;
                Any::Array(if matches!(any, Any::Array(_)) { Pieces::Several } else { Pieces::Whole(piece) })
            }
            names::any::MAP => {
                let piece = wire.bytes()?;
                Any::Map(if matches!(any, Any::Map(_)) { Pieces::Several } else { Pieces::Whole(piece) })
            }
            names::any::BYTES => Any::Bytes(wire.bytes()?),
            // A reference into a table that traces do not have.
            names::any::STR_INDEX => {
                wire.varint()?;
                Any::Empty
            }
            other => {
                wire.skip(other, names::any::ALL, depth)?;
                any
            }
        };
    }
    Ok(any)
}

/// What a value counts towards the limit on attributes: strings and bytes as they are, others as sent.
#[inline]
pub(crate) fn value_bytes(message: &[u8], value: &Any<'_>) -> usize {
    match value {
        Any::Str(bytes) | Any::Bytes(bytes) => bytes.len(),
        Any::Empty | Any::Bool(_) | Any::Int(_) | Any::Double(_) | Any::Array(_) | Any::Map(_) => {
            message.len()
        }
    }
}

/// The list of an AnyValue that ends as an array or a map in several pieces: those after the last value of
/// another kind.
#[cold]
pub(crate) fn joined_list(message: &[u8], depth: Depth) -> Result<Vec<u8>, Malformed> {
    let mut wire = Wire::new(message);
    let mut whole = Vec::new();
    let mut last = 0;
    while !wire.is_empty() {
        let key = wire.key()?;
        if !matches!(
            key,
            names::any::STR
                | names::any::BOOL
                | names::any::INT
                | names::any::DOUBLE
                | names::any::ARRAY
                | names::any::MAP
                | names::any::BYTES
                | names::any::STR_INDEX
        ) {
            wire.skip(key, names::any::ALL, depth)?;
            continue;
        }
        if key != last {
            whole.clear();
            last = key;
        }
        match key {
            names::any::ARRAY | names::any::MAP => whole.extend_from_slice(wire.bytes()?),
            _ => wire.skip(key, 0, depth)?,
        }
    }
    Ok(whole)
}
