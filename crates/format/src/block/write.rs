//! Columns in, block out: the spans file and the origins file with its filters.

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::SchemaDescriptor;

use super::choose::{Chosen, choose};
use super::chunk::{ChunkEncoder, ChunkSettings, EncodedChunk, PageStatistics};
use super::gather::{
    BlockOverflow, PlacedLists, Placer, attribute_values, entry_values, pick, rare_counts, rare_texts,
    services,
};
use super::identity::BlockIdentity;
use super::levels::Levels;
use super::order::Order;
use super::origins::{OriginIds, write_origins};
use super::schema::{Fixed, LIST_LEAVES, spans_schema};
use super::summary::{BlockSummary, SpansSummary};
use super::values::{TextSource, Values};
use crate::columns::{Rejected, SpanColumns};
use crate::value::ValueError;

/// How columns are written unless there is a reason for another way.
pub(crate) const SETTINGS: ChunkSettings =
    ChunkSettings { dictionary: true, index: PageStatistics::IfRare, zstd: Some(4) };

/// A block as the objects that are to be written.
#[derive(Debug)]
pub struct EncodedBlock {
    pub spans: Vec<u8>,
    pub origins: Vec<u8>,
    pub summary: BlockSummary,
}

/// Why columns cannot become a block.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("a block needs at least one span")]
    Empty,
    #[error("compressing a page failed: {0}")]
    Compress(std::io::Error),
    #[error("a page of {bytes} bytes is more than Parquet can hold: refuse such large values at the door")]
    PageTooLarge { bytes: usize },
    #[error("the block has more than a file can number: {0}")]
    TooLarge(#[from] Rejected),
    #[error("the columns hold a list entry that is no value: {0}")]
    Value(#[from] ValueError),
    #[error("the summary cannot be written: {0}")]
    Summary(#[from] serde_json::Error),
    #[error("writing Parquet failed: {0}")]
    Parquet(#[from] ParquetError),
}

/// Encodes all spans of the columns as one block.
pub fn encode_block(columns: &SpanColumns, identity: &BlockIdentity) -> Result<EncodedBlock, EncodeError> {
    if columns.is_empty() {
        return Err(EncodeError::Empty);
    }
    let order = Order::of(columns)?;
    let chosen = choose(columns);
    let ids = OriginIds::of(columns)?;
    let schema = spans_schema(chosen.columns.iter().map(|index| {
        let column = &columns.attributes[*index];
        (column.values.value_type(), columns.keys.name(column.key))
    }))?;
    let mut encoder = SpansEncoder {
        columns,
        order: &order,
        schema: &schema,
        chunks: ChunkEncoder::new(),
        columns_done: Vec::new(),
    };
    encoder.fixed_columns(&ids)?;
    encoder.attribute_columns(&chosen)?;
    encoder.list_columns(&chosen)?;
    let chunks = encoder.columns_done;
    let spans = assemble(&schema, chunks, identity.key_values("spans"), order.groups.len())?;
    let summary = SpansSummary::of(columns, &order, &spans);
    let (origins, summary) = write_origins(columns, &ids, summary, identity)?;
    Ok(EncodedBlock { spans: spans.bytes, origins, summary })
}

/// Chunks of one column, a row group each.
type ColumnChunks = Vec<EncodedChunk>;

struct SpansEncoder<'a> {
    columns: &'a SpanColumns,
    order: &'a Order,
    schema: &'a SchemaDescriptor,
    chunks: ChunkEncoder,
    columns_done: Vec<ColumnChunks>,
}

impl SpansEncoder<'_> {
    /// Encodes the next column of the schema, a group at a time.
    fn column<'v>(
        &mut self,
        settings: ChunkSettings,
        mut group: impl FnMut(&std::ops::Range<usize>) -> (Option<Vec<u32>>, Values<'v>),
    ) -> Result<(), EncodeError> {
        let column = self.schema.column(self.columns_done.len());
        let mut done = Vec::with_capacity(self.order.groups.len());
        for places in &self.order.groups {
            let (present, values) = group(places);
            let rows = places.len();
            let levels = match &present {
                Some(present) => Levels::Optional { rows, present },
                None => Levels::Required { rows },
            };
            done.push(self.chunks.encode(&column, settings, levels, &values)?);
        }
        self.columns_done.push(done);
        Ok(())
    }

    fn fixed_columns(&mut self, ids: &OriginIds) -> Result<(), EncodeError> {
        let (columns, order) = (self.columns, self.order);
        let (services, service_of_origin) = services(columns)?;
        let mut placer = Placer::new(columns.len());
        for fixed in Fixed::ALL {
            let settings = fixed_settings(fixed);
            match fixed {
                Fixed::StatusMessage | Fixed::TraceState => {
                    let column = if fixed == Fixed::TraceState {
                        &columns.trace_states
                    } else {
                        &columns.status_messages
                    };
                    let placed = placer.place(&column.rows, order);
                    self.column(settings, |group| {
                        let part = placed.group(group);
                        (Some(part.present), rare_texts(column, part.indices))
                    })?;
                }
                Fixed::DroppedAttributes | Fixed::DroppedEvents | Fixed::DroppedLinks => {
                    let column = match fixed {
                        Fixed::DroppedAttributes => &columns.dropped_attributes,
                        Fixed::DroppedEvents => &columns.dropped_events,
                        _ => &columns.dropped_links,
                    };
                    let placed = placer.place(&column.rows, order);
                    self.column(settings, |group| {
                        let part = placed.group(group);
                        (Some(part.present), rare_counts(column, part.indices))
                    })?;
                }
                _ => self.column(settings, |group| {
                    let rows = &order.rows[group.clone()];
                    match fixed {
                        Fixed::TraceId => {
                            (None, bytes16(rows.iter().map(|row| columns.trace_ids[*row as usize].0)))
                        }
                        Fixed::SpanId => {
                            (None, bytes8(rows.iter().map(|row| columns.span_ids[*row as usize].0)))
                        }
                        Fixed::Seq => (None, Values::Unsigned32(order.seq[group.clone()].to_vec())),
                        Fixed::ParentSeq => {
                            let (present, values) = some_of(order.parent_seq[group.clone()].iter().copied());
                            (Some(present), Values::Unsigned32(values))
                        }
                        Fixed::ParentSpanId => {
                            let absent = group.clone().map(|place| match order.parent_seq[place] {
                                Some(_) => None,
                                None => columns.parents[order.rows[place] as usize],
                            });
                            let (present, values) = some_of(absent);
                            (Some(present), bytes8(values.into_iter().map(|id| id.0)))
                        }
                        Fixed::StartTime => (None, Values::Ints64(pick(&columns.starts, rows))),
                        Fixed::Duration => (None, Values::Ints64(pick(&columns.durations, rows))),
                        Fixed::Kind => (None, Values::Ints32(pick(&columns.kinds, rows))),
                        Fixed::StatusCode => (None, Values::Ints32(pick(&columns.status_codes, rows))),
                        Fixed::Flags => (None, Values::Unsigned32(pick(&columns.flags, rows))),
                        Fixed::Name => (None, texts(&columns.names, pick(&columns.names_of_rows, rows))),
                        Fixed::ServiceName => {
                            let origins = rows.iter().map(|row| columns.origins_of_rows[*row as usize]);
                            let numbers = origins.map(|origin| service_of_origin[origin as usize]).collect();
                            (None, texts(&services, numbers))
                        }
                        _ => {
                            let origins = rows.iter().map(|row| columns.origins_of_rows[*row as usize]);
                            (None, Values::Unsigned32(origins.map(|origin| ids.of_origin(origin)).collect()))
                        }
                    }
                })?,
            }
        }
        Ok(())
    }

    fn attribute_columns(&mut self, chosen: &Chosen) -> Result<(), EncodeError> {
        let mut placer = Placer::new(self.columns.len());
        for index in &chosen.columns {
            let column = &self.columns.attributes[*index];
            let placed = placer.place(&column.rows, self.order);
            self.column(SETTINGS, |group| {
                let part = placed.group(group);
                (Some(part.present), attribute_values(column, part.indices))
            })?;
        }
        Ok(())
    }

    fn list_columns(&mut self, chosen: &Chosen) -> Result<(), EncodeError> {
        let columns = self.columns;
        let overflow = BlockOverflow::of(columns, &chosen.spilled, self.order)?;
        let events = PlacedLists::of(&columns.events.rows, self.order);
        let links = PlacedLists::of(&columns.links.rows, self.order);
        let first = self.columns_done.len();
        self.columns_done.resize_with(first + LIST_LEAVES, Vec::new);
        for group in &self.order.groups {
            let mut leaf = first;
            let mut write = |encoder: &mut ChunkEncoder, levels: Levels<'_>, values: Values<'_>| {
                let chunk = encoder.encode(&self.schema.column(leaf), SETTINGS, levels, &values)?;
                self.columns_done[leaf].push(chunk);
                leaf += 1;
                Ok::<(), EncodeError>(())
            };
            let out = &mut self.chunks;

            let levels = overflow.lists.levels(group);
            for values in entry_values(&overflow.entries, &overflow.texts, &overflow.lists.elements(group)) {
                write(out, Levels::List(&levels), values)?;
            }

            let texts_of =
                |numbers: &[u32], elements: &[u32]| texts(&columns.list_texts.texts, pick(numbers, elements));
            let (levels, elements) = (events.levels(group), events.elements(group));
            let times = pick(&columns.events.times, &elements).into_iter().map(u64::cast_signed).collect();
            for values in [
                Values::Ints64(times),
                texts_of(&columns.events.names, &elements),
                texts_of(&columns.events.attributes, &elements),
                Values::Unsigned32(pick(&columns.events.dropped, &elements)),
            ] {
                write(out, Levels::List(&levels), values)?;
            }

            let (levels, elements) = (links.levels(group), links.elements(group));
            for values in [
                bytes16(elements.iter().map(|index| columns.links.trace_ids[*index as usize].0)),
                bytes8(elements.iter().map(|index| columns.links.span_ids[*index as usize].0)),
                texts_of(&columns.links.trace_states, &elements),
                Values::Unsigned32(pick(&columns.links.flags, &elements)),
                texts_of(&columns.links.attributes, &elements),
                Values::Unsigned32(pick(&columns.links.dropped, &elements)),
            ] {
                write(out, Levels::List(&levels), values)?;
            }
        }
        Ok(())
    }
}

fn fixed_settings(fixed: Fixed) -> ChunkSettings {
    match fixed {
        Fixed::TraceId => ChunkSettings { dictionary: false, index: PageStatistics::Always, ..SETTINGS },
        // Random bytes: compressing them costs time and gains nothing.
        Fixed::SpanId | Fixed::ParentSpanId => ChunkSettings { dictionary: false, zstd: None, ..SETTINGS },
        // Their bytes vary apart from each other: split, not numbered.
        Fixed::StartTime | Fixed::Duration | Fixed::OriginId | Fixed::Seq | Fixed::ParentSeq => {
            ChunkSettings { dictionary: false, ..SETTINGS }
        }
        _ => SETTINGS,
    }
}

fn texts(texts: &crate::columns::dictionary::Dictionary, numbers: Vec<u32>) -> Values<'_> {
    Values::Texts { texts: TextSource::Dictionary(texts), numbers }
}

fn bytes16(ids: impl Iterator<Item = [u8; 16]>) -> Values<'static> {
    Values::Bytes { width: 16, bytes: ids.flatten().collect() }
}

fn bytes8(ids: impl Iterator<Item = [u8; 8]>) -> Values<'static> {
    Values::Bytes { width: 8, bytes: ids.flatten().collect() }
}

/// Rows that have a value, and the values.
fn some_of<T>(values: impl Iterator<Item = Option<T>>) -> (Vec<u32>, Vec<T>) {
    values.enumerate().filter_map(|(row, value)| Some((row as u32, value?))).unzip()
}

/// A finished Parquet file, and where its metadata begins.
pub(crate) struct ParquetFile {
    pub(crate) bytes: Vec<u8>,
    pub(crate) metadata_offset: usize,
}

/// Puts chunks together: `chunks` by column, then by row group.
pub(crate) fn assemble(
    schema: &SchemaDescriptor,
    chunks: Vec<Vec<EncodedChunk>>,
    key_values: Vec<KeyValue>,
    groups: usize,
) -> Result<ParquetFile, EncodeError> {
    assemble_after(Vec::new(), schema, chunks, key_values, groups)
}

/// The same behind bytes of our own that stand between the magic and the first group.
pub(crate) fn assemble_after(
    prefix: Vec<u8>,
    schema: &SchemaDescriptor,
    chunks: Vec<Vec<EncodedChunk>>,
    key_values: Vec<KeyValue>,
    groups: usize,
) -> Result<ParquetFile, EncodeError> {
    let size: usize = chunks.iter().flatten().map(|chunk| chunk.bytes.len()).sum();
    let properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::UNCOMPRESSED)
        .set_created_by(concat!("siltstone ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(key_values))
        .build();
    let sink = Vec::with_capacity(size + size / 32 + prefix.len() + 4096);
    let mut writer = SerializedFileWriter::new(sink, schema.root_schema_ptr(), Arc::new(properties))?;
    writer.write_all(&prefix).map_err(ParquetError::from)?;
    let mut columns: Vec<_> = chunks.into_iter().map(Vec::into_iter).collect();
    for _ in 0..groups {
        let mut group = writer.next_row_group()?;
        for chunk in columns.iter_mut().filter_map(Iterator::next) {
            group.append_column(&bytes::Bytes::from(chunk.bytes), chunk.close)?;
        }
        group.close()?;
    }
    let metadata_offset = writer.bytes_written();
    writer.finish()?;
    let bytes = std::mem::take(writer.inner_mut());
    Ok(ParquetFile { bytes, metadata_offset })
}
