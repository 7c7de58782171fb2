//! One batch as the two parts of an Arrow IPC message.
//!
//! Both sides know the schema, so it does not travel, and what comes in is checked against it before the
//! stock reader sees it: that one trusts a message's places and counts, and would panic.

use std::collections::HashMap;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::RecordBatchDecoder;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow_ipc::{FieldNode, MetadataVersion, root_as_message};
use arrow_schema::{DataType, Field};
use bytes::Bytes;

use super::BatchError;
use super::schema::Table;

/// Buffers begin at multiples of that: our writer pads them.
const ALIGNMENT: usize = 8;

/// A batch as bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    /// What is where in the body: a flatbuffer.
    pub(crate) head: Bytes,
    pub(crate) body: Bytes,
}

impl Frame {
    pub(crate) fn encode(batch: &RecordBatch) -> Result<Self, BatchError> {
        let mut dictionaries = DictionaryTracker::new(false);
        let (_, encoded) = IpcDataGenerator::default().encode(
            batch,
            &mut dictionaries,
            &IpcWriteOptions::default(),
            &mut IpcWriteContext::default(),
        )?;
        Ok(Self { head: encoded.ipc_message.into(), body: encoded.arrow_data.into() })
    }

    pub(crate) fn decode(&self, table: Table) -> Result<RecordBatch, BatchError> {
        let message = root_as_message(&self.head)
            .map_err(|_| BatchError::Damaged("its head is not that of an Arrow message"))?;
        let batch =
            message.header_as_record_batch().ok_or(BatchError::Damaged("it is not a batch of rows"))?;
        let is_plain = message.version() == MetadataVersion::V5
            && batch.compression().is_none()
            && batch.variadicBufferCounts().is_none_or(|counts| counts.is_empty());
        let (Some(nodes), Some(buffers), true) = (batch.nodes(), batch.buffers(), is_plain) else {
            return Err(BatchError::Damaged("it is written in a way that is not spoken here"));
        };
        let mut layout = Layout {
            nodes: nodes.iter().collect(),
            buffers: buffers.iter().map(|buffer| (buffer.offset(), buffer.length())).collect(),
            body: self.body.len(),
        };
        let rows = usize::try_from(batch.length()).map_err(|_| BatchError::Damaged("negative rows"))?;
        layout.nodes.reverse();
        layout.buffers.reverse();
        for field in table.schema().fields() {
            layout.check(field, Some(rows))?;
        }
        if !layout.nodes.is_empty() || !layout.buffers.is_empty() {
            return Err(BatchError::Damaged("it has more columns than its table"));
        }
        let body = aligned(&self.body);
        let none = HashMap::new();
        let version = message.version();
        let decoder = RecordBatchDecoder::try_new(&body, batch, table.schema().clone(), &none, &version)?;
        Ok(decoder.read_record_batch()?)
    }
}

/// What a message says of its parts; the next one last.
struct Layout<'a> {
    nodes: Vec<&'a FieldNode>,
    buffers: Vec<(i64, i64)>,
    body: usize,
}

impl Layout<'_> {
    /// Checks the parts of one column; gives how many rows it has.
    fn check(&mut self, field: &Field, rows: Option<usize>) -> Result<(), BatchError> {
        let node = self.nodes.pop().ok_or(BatchError::Damaged("a column is missing"))?;
        let count = |count: i64| usize::try_from(count).map_err(|_| BatchError::Damaged("a negative count"));
        let (length, nulls) = (count(node.length())?, count(node.null_count())?);
        // Each row has a byte in the body, so nothing is reserved for rows that are not there.
        if length > self.body || rows.is_some_and(|rows| rows != length) {
            return Err(BatchError::Damaged("a column has another number of rows"));
        }
        if nulls > if field.is_nullable() { length } else { 0 } {
            return Err(BatchError::Damaged("a column has values missing"));
        }
        self.buffer(if nulls > 0 { length.div_ceil(8) } else { 0 }, 1)?;
        match field.data_type() {
            DataType::FixedSizeBinary(width) => self.buffer(width_of(i64::from(*width), length), 1),
            DataType::Binary => {
                self.offsets(length)?;
                self.buffer(0, 1)
            }
            DataType::List(item) => {
                self.offsets(length)?;
                self.check(item, None)
            }
            DataType::Struct(fields) => fields.iter().try_for_each(|field| self.check(field, Some(length))),
            other => match other.primitive_width() {
                Some(width) => self.buffer(width.saturating_mul(length), width),
                None => Err(BatchError::Damaged("a column of a type that is not used here")),
            },
        }
    }

    fn offsets(&mut self, length: usize) -> Result<(), BatchError> {
        let width = size_of::<i32>();
        self.buffer(if length == 0 { 0 } else { (length + 1) * width }, width)
    }

    /// Of values of so many bytes each: the stock reader would panic at a part of one, or at one that lies askew.
    fn buffer(&mut self, least: usize, width: usize) -> Result<(), BatchError> {
        let (offset, length) = self.buffers.pop().ok_or(BatchError::Damaged("a column is missing"))?;
        let place = usize::try_from(offset).ok().zip(usize::try_from(length).ok());
        let is_inside = place.is_some_and(|(offset, length)| {
            let is_whole = length.is_multiple_of(width) && offset.is_multiple_of(ALIGNMENT);
            is_whole && length >= least && offset.checked_add(length).is_some_and(|end| end <= self.body)
        });
        if is_inside { Ok(()) } else { Err(BatchError::Damaged("a column reaches out of its message")) }
    }
}

/// The bytes where values of all widths may lie in place: those from the network lie anywhere.
fn aligned(bytes: &Bytes) -> Buffer {
    match bytes.as_ptr().addr().is_multiple_of(ALIGNMENT) {
        true => Buffer::from(bytes.clone()),
        false => Buffer::from_slice_ref(bytes),
    }
}

fn width_of(width: i64, length: usize) -> usize {
    usize::try_from(width).unwrap_or(usize::MAX).saturating_mul(length)
}
