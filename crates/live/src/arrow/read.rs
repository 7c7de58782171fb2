//! Batches into columns, each span through the checks that a client's spans go through.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, UInt8Type, UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, FixedSizeBinaryArray, ListArray, PrimitiveArray, RecordBatch,
    types::ArrowPrimitiveType,
};
use siltstone_format::columns::attributes::Scalar;
use siltstone_format::columns::row::{EventFields, LinkFields, SpanFields, SpanRow};
use siltstone_format::columns::{OriginNumber, SpanColumns};
use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::value::{Attribute, Value, ValueType, attributes_from_text};

use super::BatchError;
use super::lists::type_of;
use super::origins::origins_of;

/// A segment that is being put together.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    columns: SpanColumns,
    /// Places of the sender's origins among those of the columns.
    origins: Vec<OriginNumber>,
}

impl Assembly {
    pub(crate) fn add_origins(&mut self, batch: &RecordBatch) -> Result<(), BatchError> {
        for origin in origins_of(batch)? {
            self.origins.push(self.columns.origin(Arc::new(origin)));
        }
        Ok(())
    }

    pub(crate) fn add_spans(&mut self, batch: &RecordBatch) -> Result<(), BatchError> {
        let rows = Rows::of(batch)?;
        (0..batch.num_rows()).try_for_each(|row| {
            let origin = self.origins.get(rows.origins.value(row) as usize).copied();
            let origin = origin.ok_or(BatchError::Damaged("a span of an origin that was not sent"))?;
            rows.add(row, origin, &mut self.columns)
        })
    }

    pub(crate) fn spans(&self) -> usize {
        self.columns.len()
    }

    pub(crate) fn finish(self) -> SpanColumns {
        self.columns
    }
}

/// Columns in the order of their schema.
pub(crate) struct Columns<'a> {
    rest: std::slice::Iter<'a, ArrayRef>,
}

const WRONG_TYPE: BatchError = BatchError::Damaged("a column of another type");

impl<'a> Columns<'a> {
    pub(crate) fn of(columns: &'a [ArrayRef]) -> Self {
        Self { rest: columns.iter() }
    }

    fn next(&mut self) -> Result<&'a ArrayRef, BatchError> {
        self.rest.next().ok_or(BatchError::Damaged("a column is missing"))
    }

    pub(crate) fn binary(&mut self) -> Result<&'a BinaryArray, BatchError> {
        self.next()?.as_binary_opt().ok_or(WRONG_TYPE)
    }

    pub(crate) fn unsigned(&mut self) -> Result<&'a PrimitiveArray<UInt32Type>, BatchError> {
        self.numbers()
    }

    fn numbers<T: ArrowPrimitiveType>(&mut self) -> Result<&'a PrimitiveArray<T>, BatchError> {
        self.next()?.as_primitive_opt().ok_or(WRONG_TYPE)
    }

    fn fixed(&mut self) -> Result<&'a FixedSizeBinaryArray, BatchError> {
        self.next()?.as_fixed_size_binary_opt().ok_or(WRONG_TYPE)
    }

    fn list(&mut self) -> Result<(&'a ListArray, Columns<'a>), BatchError> {
        let list = self.next()?.as_list_opt::<i32>().ok_or(WRONG_TYPE)?;
        let items = list.values().as_struct_opt().ok_or(WRONG_TYPE)?;
        Ok((list, Columns::of(items.columns())))
    }
}

struct Rows<'a> {
    trace_ids: &'a FixedSizeBinaryArray,
    span_ids: &'a FixedSizeBinaryArray,
    parents: &'a FixedSizeBinaryArray,
    starts: &'a PrimitiveArray<Int64Type>,
    durations: &'a PrimitiveArray<Int64Type>,
    kinds: &'a PrimitiveArray<Int32Type>,
    status_codes: &'a PrimitiveArray<Int32Type>,
    flags: &'a PrimitiveArray<UInt32Type>,
    names: &'a BinaryArray,
    status_messages: &'a BinaryArray,
    trace_states: &'a BinaryArray,
    dropped_attributes: &'a PrimitiveArray<UInt32Type>,
    dropped_events: &'a PrimitiveArray<UInt32Type>,
    dropped_links: &'a PrimitiveArray<UInt32Type>,
    origins: &'a PrimitiveArray<UInt32Type>,
    attributes: Attributes<'a>,
    events: Events<'a>,
    links: Links<'a>,
}

impl<'a> Rows<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, BatchError> {
        let mut columns = Columns::of(batch.columns());
        // In the order of the schema.
        Ok(Self {
            trace_ids: columns.fixed()?,
            span_ids: columns.fixed()?,
            parents: columns.fixed()?,
            starts: columns.numbers()?,
            durations: columns.numbers()?,
            kinds: columns.numbers()?,
            status_codes: columns.numbers()?,
            flags: columns.numbers()?,
            names: columns.binary()?,
            status_messages: columns.binary()?,
            trace_states: columns.binary()?,
            dropped_attributes: columns.numbers()?,
            dropped_events: columns.numbers()?,
            dropped_links: columns.numbers()?,
            origins: columns.numbers()?,
            attributes: Attributes::of(columns.list()?)?,
            events: Events::of(columns.list()?)?,
            links: Links::of(columns.list()?)?,
        })
    }

    fn add(&self, row: usize, origin: OriginNumber, columns: &mut SpanColumns) -> Result<(), BatchError> {
        let mut span = columns.span();
        self.attributes.add(row, &mut span)?;
        self.events.add(row, &mut span)?;
        self.links.add(row, &mut span)?;
        let (start, duration) = (self.starts.value(row), self.durations.value(row));
        let parent = match self.parents.is_null(row) {
            true => None,
            false => Some(SpanId(id(self.parents.value(row))?)),
        };
        let fields = SpanFields {
            trace_id: TraceId(id(self.trace_ids.value(row))?),
            span_id: SpanId(id(self.span_ids.value(row))?),
            parent_span_id: parent,
            trace_state: self.trace_states.value(row),
            flags: self.flags.value(row),
            name: self.names.value(row),
            kind: self.kinds.value(row),
            start_unix_nano: start.cast_unsigned(),
            end_unix_nano: start.wrapping_add(duration).cast_unsigned(),
            status_code: self.status_codes.value(row),
            status_message: self.status_messages.value(row),
            dropped_attributes_count: self.dropped_attributes.value(row),
            dropped_events_count: self.dropped_events.value(row),
            dropped_links_count: self.dropped_links.value(row),
        };
        Ok(span.finish(&fields, origin)?)
    }
}

struct Attributes<'a> {
    list: &'a ListArray,
    keys: &'a BinaryArray,
    types: &'a PrimitiveArray<UInt8Type>,
    texts: &'a BinaryArray,
    bits: &'a PrimitiveArray<Int64Type>,
}

impl<'a> Attributes<'a> {
    fn of((list, mut items): (&'a ListArray, Columns<'a>)) -> Result<Self, BatchError> {
        let (keys, types) = (items.binary()?, items.numbers()?);
        Ok(Self { list, keys, types, texts: items.binary()?, bits: items.numbers()? })
    }

    fn add(&self, row: usize, span: &mut SpanRow<'_>) -> Result<(), BatchError> {
        for at in items_of(self.list, row)? {
            let (key, text, bits) = (self.keys.value(at), self.texts.value(at), self.bits.value(at));
            let kind = type_of(self.types.value(at));
            match kind.ok_or(BatchError::Damaged("a value of an unknown type"))? {
                ValueType::Str => span.scalar(key, Scalar::Str(text))?,
                ValueType::Int if text.is_empty() => span.scalar(key, Scalar::Int(bits))?,
                ValueType::Double if text.is_empty() => {
                    span.scalar(key, Scalar::Double(f64::from_bits(bits.cast_unsigned())))?;
                }
                ValueType::Bool if text.is_empty() => span.scalar(key, Scalar::Bool(bits != 0))?,
                kind => span.attribute(key, &Value::from_text(kind, utf8(text)?)?)?,
            }
        }
        Ok(())
    }
}

struct Events<'a> {
    list: &'a ListArray,
    times: &'a PrimitiveArray<UInt64Type>,
    names: &'a BinaryArray,
    dropped: &'a PrimitiveArray<UInt32Type>,
    attributes: &'a BinaryArray,
}

impl<'a> Events<'a> {
    fn of((list, mut items): (&'a ListArray, Columns<'a>)) -> Result<Self, BatchError> {
        let (times, names) = (items.numbers()?, items.binary()?);
        Ok(Self { list, times, names, dropped: items.numbers()?, attributes: items.binary()? })
    }

    fn add(&self, row: usize, span: &mut SpanRow<'_>) -> Result<(), BatchError> {
        for at in items_of(self.list, row)? {
            let fields = EventFields {
                time_unix_nano: self.times.value(at),
                name: self.names.value(at),
                dropped_attributes_count: self.dropped.value(at),
            };
            span.event(&fields, &attributes(self.attributes.value(at))?)?;
        }
        Ok(())
    }
}

struct Links<'a> {
    list: &'a ListArray,
    trace_ids: &'a FixedSizeBinaryArray,
    span_ids: &'a FixedSizeBinaryArray,
    trace_states: &'a BinaryArray,
    flags: &'a PrimitiveArray<UInt32Type>,
    dropped: &'a PrimitiveArray<UInt32Type>,
    attributes: &'a BinaryArray,
}

impl<'a> Links<'a> {
    fn of((list, mut items): (&'a ListArray, Columns<'a>)) -> Result<Self, BatchError> {
        let (trace_ids, span_ids, trace_states) = (items.fixed()?, items.fixed()?, items.binary()?);
        let (flags, dropped, attributes) = (items.numbers()?, items.numbers()?, items.binary()?);
        Ok(Self { list, trace_ids, span_ids, trace_states, flags, dropped, attributes })
    }

    fn add(&self, row: usize, span: &mut SpanRow<'_>) -> Result<(), BatchError> {
        for at in items_of(self.list, row)? {
            let fields = LinkFields {
                trace_id: TraceId(id(self.trace_ids.value(at))?),
                span_id: SpanId(id(self.span_ids.value(at))?),
                trace_state: self.trace_states.value(at),
                flags: self.flags.value(at),
                dropped_attributes_count: self.dropped.value(at),
            };
            span.link(&fields, &attributes(self.attributes.value(at))?)?;
        }
        Ok(())
    }
}

/// Where the items of a row lie. Offsets were checked when the batch was read.
fn items_of(list: &ListArray, row: usize) -> Result<Range<usize>, BatchError> {
    let offsets = list.value_offsets();
    let at = |row: usize| offsets.get(row).and_then(|offset| usize::try_from(*offset).ok());
    let range = at(row).zip(at(row + 1)).map(|(start, end)| start..end);
    range
        .filter(|range| range.end <= list.values().len())
        .ok_or(BatchError::Damaged("a list that reaches beyond its items"))
}

fn id<const N: usize>(bytes: &[u8]) -> Result<[u8; N], BatchError> {
    bytes.try_into().map_err(|_| WRONG_TYPE)
}

pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, BatchError> {
    std::str::from_utf8(bytes).map_err(|_| BatchError::Damaged("a text that is not UTF-8"))
}

/// The attributes whose text this is.
pub(crate) fn attributes(text: &[u8]) -> Result<Vec<Attribute>, BatchError> {
    Ok(attributes_from_text(utf8(text)?)?)
}
