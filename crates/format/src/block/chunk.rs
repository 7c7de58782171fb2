//! One column of one row group: values into pages, pages into a column chunk.
//!
//! Parquet's stock writer numbers every value of a chunk again and packs indices into
//! as few bits as possible. Ours takes the numbers that the columns have already, and
//! lets an index take whole bytes where that compresses better: a compressor sees
//! repeated traces only if they repeat byte by byte (`docs/format.md` has the gain).

use std::ops::Range;

use parquet::basic::{Compression, Encoding, Type as Physical, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::schema::types::ColumnDescPtr;

use super::frame::FrameWriter;
use super::leaf::MAX_PAGE_BYTES;
use super::levels::{LevelForm, Levels};
use super::page::{PageHeader, PageKind};
use super::values::{ChunkDictionary, Values};
use super::write::EncodeError;

/// How one column is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkSettings {
    pub(crate) dictionary: bool,
    pub(crate) index: PageStatistics,
    /// Level of zstd; none for bytes that do not compress.
    pub(crate) zstd: Option<i32>,
}

/// Whether pages get bounds of their own: only where they can exclude a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageStatistics {
    Always,
    /// Where few rows have a value, most pages have none.
    IfRare,
}

// Bytes of a page before compression, about: what one lookup decompresses of a column.
// Larger pages are smaller in all; docs/format.md has the measurements.

/// Indices into a dictionary: there are many such columns.
const INDEX_PAGE_BYTES: usize = 8 * 1024;
/// Numbers of four bytes that are mostly zeros.
const SMALL_NUMBER_PAGE_BYTES: usize = 64 * 1024;
/// Ids, times and texts without a dictionary.
const PLAIN_PAGE_BYTES: usize = 16 * 1024;

/// A part of a page that is shorter than this shares the block that follows.
const LEAST_BLOCK_BYTES: usize = 64;

/// A dictionary is read far more often than it is written.
const DICTIONARY_ZSTD: i32 = 9;

const LEAST_PAGE_ROWS: usize = 2048;
/// A page of so many bytes has less rows than that, down to one.
const MOST_BODY_BYTES: usize = MAX_PAGE_BYTES / 8;
const MOST_PAGE_ROWS: usize = 64 * 1024;

/// One in this many rows at most is rare.
const RARE: usize = 64;

/// A finished chunk; offsets count from its first byte.
#[derive(Debug)]
pub(crate) struct EncodedChunk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) close: ColumnCloseResult,
}

/// Compressor and buffers that one chunk after the other uses.
pub(crate) struct ChunkEncoder {
    frames: FrameWriter,
    body: Vec<u8>,
    /// Where a part of the body ends and the next begins.
    cuts: Vec<usize>,
    packed: Vec<u8>,
}

struct Chunk<'a> {
    levels: Levels<'a>,
    values: &'a Values<'a>,
    dictionary: Option<ChunkDictionary>,
    zstd: Option<i32>,
    form: LevelForm,
    width: u8,
}

impl ChunkEncoder {
    pub(crate) fn new() -> Self {
        Self { frames: FrameWriter::new(), body: Vec::new(), cuts: Vec::new(), packed: Vec::new() }
    }

    pub(crate) fn encode(
        &mut self,
        column: &ColumnDescPtr,
        settings: ChunkSettings,
        levels: Levels<'_>,
        values: &Values<'_>,
    ) -> Result<EncodedChunk, EncodeError> {
        let dictionary = if settings.dictionary { values.dictionary() } else { None };
        let mut chunk =
            Chunk { levels, values, dictionary, zstd: settings.zstd, form: LevelForm::Packed, width: 8 };
        let pages = page_ranges(levels.rows(), chunk.page_rows());
        self.choose_forms(&mut chunk, &pages[0])?;

        let mut out = ChunkOutput::new(column);
        if let Some(dictionary) = &chunk.dictionary {
            self.body.clear();
            self.cuts.clear();
            self.body.extend_from_slice(&dictionary.plain);
            let distinct = dictionary.distinct;
            self.page(&mut out, &chunk, PageKind::Dictionary, Encoding::PLAIN, distinct)?;
        }
        let dictionary_len = out.bytes.len();
        let bounded = match settings.index {
            PageStatistics::Always => true,
            PageStatistics::IfRare => values.len() * RARE <= levels.rows(),
        };
        for rows in &pages {
            let at = out.bytes.len();
            self.write_body(&chunk, rows);
            let encoding = chunk.encoding();
            self.page(&mut out, &chunk, PageKind::Data, encoding, levels.count(rows))?;
            out.offsets.append_row_count(rows.len() as i64);
            out.offsets.append_offset_and_size(at as i64, (out.bytes.len() - at) as i32);
            if bounded {
                out.bound(values, levels.values(rows), levels.count(rows));
            }
        }
        out.finish(column, &chunk, bounded, dictionary_len)
    }

    /// Tries the forms of levels and indices on one page and keeps the smaller ones.
    fn choose_forms(&mut self, chunk: &mut Chunk<'_>, rows: &Range<usize>) -> Result<(), EncodeError> {
        if let Levels::Optional { present, rows } = chunk.levels
            && !present.is_empty()
            && present.len() < rows
        {
            let first = 0..rows.min(8192);
            let mut size_of = |form| {
                self.body.clear();
                chunk.levels.write(&first, form, &mut self.body);
                compress(&mut self.frames, chunk.zstd, &self.body, &[], &mut self.packed)
            };
            let (packed, runs) = (size_of(LevelForm::Packed)?, size_of(LevelForm::Runs)?);
            chunk.form = if runs < packed { LevelForm::Runs } else { LevelForm::Packed };
        }
        if let Some(dictionary) = &chunk.dictionary {
            let (narrow, whole) = dictionary.widths();
            chunk.width = whole;
            if narrow != whole {
                let range = chunk.levels.values(rows);
                let mut size_of = |width| {
                    self.body.clear();
                    dictionary.write_indices(range.clone(), width, &mut self.body);
                    compress(&mut self.frames, chunk.zstd, &self.body, &[], &mut self.packed)
                };
                if size_of(narrow)? < size_of(whole)? {
                    chunk.width = narrow;
                }
            }
        }
        Ok(())
    }

    fn write_body(&mut self, chunk: &Chunk<'_>, rows: &Range<usize>) {
        self.body.clear();
        self.cuts.clear();
        chunk.levels.write(rows, chunk.form, &mut self.body);
        let levels = self.body.len();
        if levels >= LEAST_BLOCK_BYTES {
            self.cuts.push(levels);
        }
        let range = chunk.levels.values(rows);
        match (&chunk.dictionary, chunk.values.plain_encoding()) {
            (Some(dictionary), _) => dictionary.write_indices(range, chunk.width, &mut self.body),
            (None, Encoding::BYTE_STREAM_SPLIT) => {
                let stream = range.len();
                chunk.values.write_split(range, &mut self.body);
                if stream >= LEAST_BLOCK_BYTES {
                    self.cuts.extend((levels + stream..self.body.len()).step_by(stream));
                }
            }
            (None, _) => chunk.values.write_plain(range, &mut self.body),
        }
    }

    /// Appends the body as a page.
    fn page(
        &mut self,
        out: &mut ChunkOutput,
        chunk: &Chunk<'_>,
        kind: PageKind,
        encoding: Encoding,
        values: usize,
    ) -> Result<(), EncodeError> {
        let level =
            if kind == PageKind::Dictionary { chunk.zstd.map(|_| DICTIONARY_ZSTD) } else { chunk.zstd };
        compress(&mut self.frames, level, &self.body, &self.cuts, &mut self.packed)?;
        let header = PageHeader {
            kind,
            uncompressed_len: self.body.len(),
            compressed_len: self.packed.len(),
            crc: crc32fast::hash(&self.packed),
            values,
            encoding,
        };
        if self.body.len().max(self.packed.len()) > MAX_PAGE_BYTES {
            return Err(EncodeError::PageTooLarge { bytes: self.body.len() });
        }
        let at = out.bytes.len();
        header.write(&mut out.bytes);
        out.uncompressed += out.bytes.len() - at + self.body.len();
        out.bytes.extend_from_slice(&self.packed);
        Ok(())
    }
}

impl Chunk<'_> {
    /// Rows that fill a page.
    fn page_rows(&self) -> usize {
        let rows = self.levels.rows().max(1);
        let values = match &self.dictionary {
            Some(dictionary) => self.values.len() * usize::from(dictionary.widths().1) / 8,
            None => self.values.plain_len(),
        };
        let levels = self.levels.count(&(0..self.levels.rows())) / 8;
        let target = match (&self.dictionary, self.values) {
            (Some(_), _) => INDEX_PAGE_BYTES,
            (None, Values::Unsigned32(_)) => SMALL_NUMBER_PAGE_BYTES,
            (None, _) => PLAIN_PAGE_BYTES,
        };
        let mut fill = (target * rows / (values + levels).max(1)).clamp(LEAST_PAGE_ROWS, MOST_PAGE_ROWS);
        // Texts may be as long as whole pages: then less rows than is usual.
        while fill > 1 && values > MOST_BODY_BYTES && self.longest_page(fill) > MOST_BODY_BYTES {
            fill /= 2;
        }
        fill
    }

    /// Bytes of texts in the page that has most of them.
    fn longest_page(&self, page_rows: usize) -> usize {
        let pages = page_ranges(self.levels.rows(), page_rows).into_iter();
        pages.map(|rows| self.values.text_len(self.levels.values(&rows))).max().unwrap_or(0)
    }

    fn encoding(&self) -> Encoding {
        if self.dictionary.is_some() { Encoding::RLE_DICTIONARY } else { self.values.plain_encoding() }
    }
}

/// Compresses into `out`, and says how many bytes that takes.
fn compress(
    frames: &mut FrameWriter,
    level: Option<i32>,
    body: &[u8],
    cuts: &[usize],
    out: &mut Vec<u8>,
) -> Result<usize, EncodeError> {
    match level {
        Some(level) => frames.compress(level, body, cuts, out).map_err(EncodeError::Compress)?,
        None => {
            out.clear();
            out.extend_from_slice(body);
        }
    }
    Ok(out.len())
}

fn page_ranges(rows: usize, page_rows: usize) -> Vec<Range<usize>> {
    (0..rows.max(1)).step_by(page_rows).map(|start| start..(start + page_rows).min(rows)).collect()
}

struct ChunkOutput {
    bytes: Vec<u8>,
    uncompressed: usize,
    offsets: OffsetIndexBuilder,
    bounds: ColumnIndexBuilder,
}

impl ChunkOutput {
    fn new(column: &ColumnDescPtr) -> Self {
        Self {
            bytes: Vec::new(),
            uncompressed: 0,
            offsets: OffsetIndexBuilder::new(),
            bounds: ColumnIndexBuilder::new(column.physical_type()),
        }
    }

    fn bound(&mut self, values: &Values<'_>, range: Range<usize>, levels: usize) {
        let nulls = levels - range.len();
        let empty = range.is_empty();
        let statistics = values.statistics(range, nulls as u64);
        let bytes = |bound: Option<&[u8]>| bound.map(<[u8]>::to_vec);
        match (bytes(statistics.min_bytes_opt()), bytes(statistics.max_bytes_opt())) {
            (Some(min), Some(max)) => self.bounds.append(false, min, max, nulls as i64),
            _ if empty => self.bounds.append(true, Vec::new(), Vec::new(), nulls as i64),
            // A page without bounds leaves the whole chunk without them.
            _ => self.bounds.to_invalid(),
        }
    }

    fn finish(
        mut self,
        column: &ColumnDescPtr,
        chunk: &Chunk<'_>,
        bounded: bool,
        dictionary_len: usize,
    ) -> Result<EncodedChunk, EncodeError> {
        let rows = chunk.levels.rows();
        let levels = chunk.levels.count(&(0..rows));
        let nulls = (levels - chunk.values.len()) as u64;
        let mut encodings = vec![Encoding::RLE, chunk.encoding()];
        encodings.extend(chunk.dictionary.as_ref().map(|_| Encoding::PLAIN));
        let compression = match chunk.zstd {
            Some(level) => Compression::ZSTD(ZstdLevel::try_new(level)?),
            None => Compression::UNCOMPRESSED,
        };
        let metadata = ColumnChunkMetaData::builder(column.clone())
            .set_encodings(encodings)
            .set_compression(compression)
            .set_num_values(levels as i64)
            .set_total_compressed_size(self.bytes.len() as i64)
            .set_total_uncompressed_size(self.uncompressed as i64)
            .set_dictionary_page_offset(chunk.dictionary.as_ref().map(|_| 0))
            .set_data_page_offset(dictionary_len as i64)
            .set_statistics(chunk.values.chunk_statistics(chunk.dictionary.as_ref(), nulls))
            .build()?;
        let column_index = if bounded && self.bounds.valid() {
            if column.physical_type() == Physical::FIXED_LEN_BYTE_ARRAY {
                self.bounds.set_boundary_order(parquet::basic::BoundaryOrder::ASCENDING);
            }
            Some(self.bounds.build()?)
        } else {
            None
        };
        let close = ColumnCloseResult {
            bytes_written: self.bytes.len() as u64,
            rows_written: rows as u64,
            metadata,
            bloom_filter: None,
            column_index,
            offset_index: Some(self.offsets.build()),
        };
        Ok(EncodedChunk { bytes: self.bytes, close })
    }
}
