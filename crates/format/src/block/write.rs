//! Columns in, block out: the spans file and the origins file with its filters, at once or piece by piece.

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::SchemaDescriptor;

use super::choose::{Chosen, Layout};
use super::chunk::{ChunkEncoder, ChunkSettings, EncodedChunk, PageStatistics};
use super::gather::{
    BlockOverflow, PlacedLists, Placer, attribute_values, entry_values, no_values, pick, rare_counts,
    rare_texts, services,
};
use super::identity::BlockIdentity;
use super::levels::Levels;
use super::order::{LastTrace, Order, SameSpans};
use super::origins::{OriginTable, OriginsFileContents};
use super::schema::{Fixed, LIST_LEAVES, spans_schema};
use super::summary::{BlockSummary, RunningSummary};
use super::values::{TextSource, Values};
use crate::columns::{Rejected, SpanColumns};
use crate::filter::collect::Terms;
use crate::filter::split_block::FilterKey;
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
    let mut writer = BlockWriter::new(identity.clone(), &Layout::of(columns), 0)?;
    writer.append(columns, SameSpans::Keep)?;
    writer.finish()
}

/// Writes a block piece by piece, in the order of its rows: what was appended is held encoded.
pub struct BlockWriter {
    identity: BlockIdentity,
    layout: Layout,
    schema: SchemaDescriptor,
    file: SerializedFileWriter<Vec<u8>>,
    chunks: ChunkEncoder,
    last: LastTrace,
    origins: OriginTable,
    terms: Terms,
    /// The traces, each once.
    traces: Vec<FilterKey>,
    summary: RunningSummary,
}

impl BlockWriter {
    /// A block with these attribute columns, of so many bytes, about.
    pub fn new(identity: BlockIdentity, layout: &Layout, bytes: usize) -> Result<Self, EncodeError> {
        let schema = spans_schema(layout.attributes())?;
        let file = begin_file(Vec::with_capacity(bytes), &schema, identity.key_values("spans"))?;
        Ok(Self {
            identity,
            layout: layout.clone(),
            schema,
            file,
            chunks: ChunkEncoder::new(),
            last: LastTrace::default(),
            origins: OriginTable::default(),
            terms: Terms::default(),
            traces: Vec::new(),
            summary: RunningSummary::default(),
        })
    }

    /// Appends spans in any order, as row groups of their own. All of them come behind those that were appended
    /// before, by trace, start and id; the first trace may go on with the last one of these. Says how many spans
    /// said what another one says, if they are collapsed.
    pub fn append(&mut self, columns: &SpanColumns, same: SameSpans) -> Result<usize, EncodeError> {
        if columns.is_empty() {
            return Ok(0);
        }
        let order = Order::of(columns, same, &mut self.last)?;
        let ids = self.origins.add(columns)?;
        let chosen = self.layout.choose(columns);
        let mut encoder = SpansEncoder {
            columns,
            layout: &self.layout,
            order: &order,
            schema: &self.schema,
            chunks: &mut self.chunks,
            columns_done: Vec::new(),
        };
        encoder.fixed_columns(&ids)?;
        encoder.attribute_columns(&chosen)?;
        encoder.list_columns(&chosen)?;
        let chunks = encoder.columns_done;
        write_groups(&mut self.file, chunks, order.groups.len())?;
        self.terms.add(columns)?;
        let same_trace = |a: &u32, b: &u32| columns.trace_ids[*a as usize] == columns.trace_ids[*b as usize];
        for trace in order.rows.chunk_by(same_trace) {
            let key = FilterKey::of_trace(&columns.trace_ids[trace[0] as usize]);
            // One that goes on was noted before.
            if self.traces.last() != Some(&key) {
                self.traces.push(key);
            }
        }
        self.summary.add(columns, &order);
        Ok(columns.len() - order.rows.len())
    }

    pub fn rows(&self) -> u64 {
        self.summary.rows
    }

    /// Bytes of the spans file so far.
    pub fn file_bytes(&self) -> usize {
        self.file.bytes_written()
    }

    /// Bytes that are held, about: those of the files, and what filters are made of.
    pub fn held_bytes(&self) -> usize {
        self.file.bytes_written() + self.origins.bytes() + self.terms.bytes() + self.traces.len() * 8
    }

    /// Writes the ends of both files.
    pub fn finish(self) -> Result<EncodedBlock, EncodeError> {
        if self.summary.rows == 0 {
            return Err(EncodeError::Empty);
        }
        let spans = end_file(self.file)?;
        let summary = self.summary.finish(&spans);
        let contents = OriginsFileContents { origins: self.origins, traces: &self.traces, terms: self.terms };
        let (origins, summary) = contents.write(summary, self.identity)?;
        Ok(EncodedBlock { spans: spans.bytes, origins, summary })
    }
}

/// Chunks of one column, a row group each.
type ColumnChunks = Vec<EncodedChunk>;

struct SpansEncoder<'a> {
    columns: &'a SpanColumns,
    layout: &'a Layout,
    order: &'a Order,
    schema: &'a SchemaDescriptor,
    chunks: &'a mut ChunkEncoder,
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

    fn fixed_columns(&mut self, ids: &[u32]) -> Result<(), EncodeError> {
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
                            (None, Values::Unsigned32(origins.map(|origin| ids[origin as usize]).collect()))
                        }
                    }
                })?,
            }
        }
        Ok(())
    }

    fn attribute_columns(&mut self, chosen: &Chosen) -> Result<(), EncodeError> {
        let mut placer = Placer::new(self.columns.len());
        for (attribute, (kind, _)) in chosen.columns.iter().zip(self.layout.attributes()) {
            let Some(index) = attribute else {
                self.column(SETTINGS, |_| (Some(Vec::new()), no_values(kind)))?;
                continue;
            };
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
            let out = &mut *self.chunks;

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

/// Begins a Parquet file behind bytes that are there.
pub(crate) fn begin_file(
    sink: Vec<u8>,
    schema: &SchemaDescriptor,
    key_values: Vec<KeyValue>,
) -> Result<SerializedFileWriter<Vec<u8>>, EncodeError> {
    let properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::UNCOMPRESSED)
        .set_created_by(concat!("siltstone ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(key_values))
        .build();
    Ok(SerializedFileWriter::new(sink, schema.root_schema_ptr(), Arc::new(properties))?)
}

/// Adds row groups: `chunks` by column, then by group.
pub(crate) fn write_groups(
    file: &mut SerializedFileWriter<Vec<u8>>,
    chunks: Vec<Vec<EncodedChunk>>,
    groups: usize,
) -> Result<(), EncodeError> {
    let size: usize = chunks.iter().flatten().map(|chunk| chunk.bytes.len()).sum();
    file.inner_mut().reserve(size + size / 32 + 4096);
    let mut columns: Vec<_> = chunks.into_iter().map(Vec::into_iter).collect();
    for _ in 0..groups {
        let mut group = file.next_row_group()?;
        for chunk in columns.iter_mut().filter_map(Iterator::next) {
            group.append_column(&bytes::Bytes::from(chunk.bytes), chunk.close)?;
        }
        group.close()?;
    }
    Ok(())
}

/// Writes the metadata of a file.
pub(crate) fn end_file(mut file: SerializedFileWriter<Vec<u8>>) -> Result<ParquetFile, EncodeError> {
    let metadata_offset = file.bytes_written();
    file.finish()?;
    Ok(ParquetFile { bytes: std::mem::take(file.inner_mut()), metadata_offset })
}
