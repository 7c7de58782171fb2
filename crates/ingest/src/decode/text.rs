//! Nested values and attribute lists from the wire straight into their exact text, as
//! `siltstone_format::value` would write what a decoder made of them.

use siltstone_format::value::{
    MAX_NESTING, ValueType, write_base64, write_int, write_json_bytes, write_json_double, write_json_key,
    write_json_string,
};

use super::depth::Depth;
use super::fields::list;
use super::value::{Any, PairValue, Pieces, any, joined_list, joined_value, pair, value_bytes};
use super::wire::{Malformed, Wire};
use crate::export::SpanFault;

impl From<Malformed> for SpanFault {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Appends the text of a value that has no column, and says of which type it is.
pub(crate) fn write_columnless(
    message: &[u8],
    value: &Any<'_>,
    depth: Depth,
    out: &mut String,
) -> Result<ValueType, SpanFault> {
    match value {
        Any::Bytes(bytes) => {
            write_base64(bytes, out);
            Ok(ValueType::Bytes)
        }
        Any::Array(_) => write_json(message, value, 0, depth, out).map(|()| ValueType::Array),
        Any::Map(_) => write_json(message, value, 0, depth, out).map(|()| ValueType::Map),
        Any::Empty | Any::Str(_) | Any::Bool(_) | Any::Int(_) | Any::Double(_) => Ok(ValueType::Empty),
    }
}

/// Appends one attribute of an event, link, resource or scope to their list, if it is not over the limit.
/// `depth` is within the KeyValue.
pub(crate) fn write_checked_pair(
    message: &[u8],
    attribute_bytes: usize,
    depth: Depth,
    out: &mut String,
) -> Result<(), SpanFault> {
    write_pair(message, Some(attribute_bytes), 0, depth, out)
}

/// Appends one pair of a map, with the comma between it and what stands before.
fn write_pair(
    message: &[u8],
    limit: Option<usize>,
    nesting: usize,
    depth: Depth,
    out: &mut String,
) -> Result<(), SpanFault> {
    let pair = pair(message, depth)?;
    let joined;
    let value = match pair.value {
        PairValue::Missing => &[],
        PairValue::Whole(value) => value,
        PairValue::InPieces => {
            joined = joined_value(message, depth)?;
            &joined
        }
    };
    // A value that is not there needs no depth.
    let inner = match pair.value {
        PairValue::Missing => depth,
        _ => depth.enter().ok_or(SpanFault::TooDeep)?,
    };
    let any = any(value, inner)?;
    if limit.is_some_and(|limit| pair.key.len() + value_bytes(value, &any) > limit) {
        return Err(SpanFault::AttributeTooLarge);
    }
    if !out.ends_with('{') {
        out.push(',');
    }
    write_json_key(utf8(pair.key)?, out);
    write_json(value, &any, nesting, inner, out)
}

/// Appends a value as JSON. `nesting` counts the arrays and maps around it, `depth` is within the AnyValue.
fn write_json(
    message: &[u8],
    value: &Any<'_>,
    nesting: usize,
    depth: Depth,
    out: &mut String,
) -> Result<(), SpanFault> {
    match value {
        Any::Empty => out.push_str("null"),
        Any::Str(text) => write_json_string(utf8(text)?, out),
        Any::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Any::Int(int) => write_int(*int, out),
        Any::Double(double) => write_json_double(*double, out),
        Any::Bytes(bytes) => write_json_bytes(bytes, out),
        Any::Array(list) | Any::Map(list) => {
            if nesting >= MAX_NESTING {
                return Err(SpanFault::TooDeep);
            }
            let inner = depth.enter().ok_or(SpanFault::TooDeep)?;
            let write = if matches!(value, Any::Array(_)) { write_items } else { write_pairs };
            match list {
                Pieces::Whole(list) => write(list, nesting + 1, inner, out)?,
                Pieces::Several => write(&joined_list(message, depth)?, nesting + 1, inner, out)?,
            }
        }
    }
    Ok(())
}

fn write_items(items: &[u8], nesting: usize, depth: Depth, out: &mut String) -> Result<(), SpanFault> {
    out.push('[');
    let mut wire = Wire::new(items);
    let mut first = true;
    while !wire.is_empty() {
        match wire.key()? {
            list::ITEM => {
                let item = wire.bytes()?;
                let inner = depth.enter().ok_or(SpanFault::TooDeep)?;
                if !first {
                    out.push(',');
                }
                first = false;
                write_json(item, &any(item, inner)?, nesting, inner, out)?;
            }
            other => wire.skip(other, list::ALL, depth)?,
        }
    }
    out.push(']');
    Ok(())
}

fn write_pairs(pairs: &[u8], nesting: usize, depth: Depth, out: &mut String) -> Result<(), SpanFault> {
    out.push('{');
    let mut wire = Wire::new(pairs);
    while !wire.is_empty() {
        match wire.key()? {
            list::ITEM => {
                let item = wire.bytes()?;
                let inner = depth.enter().ok_or(SpanFault::TooDeep)?;
                write_pair(item, None, nesting, inner, out)?;
            }
            other => wire.skip(other, list::ALL, depth)?,
        }
    }
    out.push('}');
    Ok(())
}

pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, SpanFault> {
    std::str::from_utf8(bytes).map_err(|_| SpanFault::NotUtf8)
}
