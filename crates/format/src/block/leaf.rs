//! One column chunk, read: pages into values, for the rows that are wanted only.
//!
//! Parquet's stock reader makes a compressor for each chunk and walks a page from its
//! front; for one trace that is most of the time. Ours keeps one decompressor a
//! thread, opens of a page only what is needed, and finds a value by its position in the page.
//!
//! Everything that a page says is compared with the file's metadata, whose hash was
//! checked: damage gives an error, not other rows.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, Type as Physical};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::statistics::Statistics;

use super::frame::FrameReader;
use super::hybrid::{Hybrid, bits_for};
use super::page::{PageHeader, PageKind};

/// Largest page that is read, decompressed.
pub(crate) const MAX_PAGE_BYTES: usize = 1 << 28;

/// What is wrong with a chunk or a page.
pub(crate) type Damage = &'static str;

/// A value as it lies in a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Raw<'a> {
    /// A text or an id.
    Bytes(&'a [u8]),
    Four([u8; 4]),
    Eight([u8; 8]),
    Bool(bool),
}

/// What stands at one level of a column: where it belongs, and the value if there is
/// one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) repetition: u32,
    pub(crate) value: Option<Raw<'a>>,
}

/// How one chunk is read.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    physical: Physical,
    /// Bytes of a value, if all have the same.
    width: Option<usize>,
    max_definition: u32,
    max_repetition: u32,
    compressed: bool,
    encoding: Encoding,
    uncompressed_len: usize,
    /// Levels of the whole chunk.
    levels: usize,
    /// No row has a value: nothing of the chunk need be read.
    pub(crate) empty: bool,
    pub(crate) dictionary_range: Option<Range<u64>>,
}

/// The distinct values of a chunk.
#[derive(Debug)]
pub(crate) struct PageDictionary {
    body: Bytes,
    /// Where each value ends; texts only.
    ends: Vec<u32>,
    width: usize,
    len: usize,
}

impl Leaf {
    pub(crate) fn of(chunk: &ColumnChunkMetaData) -> Result<Self, Damage> {
        let column = chunk.column_descr();
        let physical = chunk.column_type();
        let width = match physical {
            Physical::INT32 => Some(4),
            Physical::INT64 | Physical::DOUBLE => Some(8),
            Physical::FIXED_LEN_BYTE_ARRAY => Some(usize::try_from(column.type_length()).unwrap_or(0)),
            Physical::BYTE_ARRAY | Physical::BOOLEAN => None,
            Physical::INT96 | Physical::FLOAT => return Err("a type that Siltstone does not write"),
        };
        let compressed = match chunk.compression() {
            Compression::UNCOMPRESSED => false,
            Compression::ZSTD(_) => true,
            _ => return Err("a compression that Siltstone does not write"),
        };
        let start = |offset: i64| u64::try_from(offset).map_err(|_| "a negative offset");
        let data = start(chunk.data_page_offset())?;
        let dictionary_range = match chunk.dictionary_page_offset() {
            Some(offset) => Some(start(offset)?..data),
            None => None,
        };
        if dictionary_range.as_ref().is_some_and(|range| range.start >= range.end) {
            return Err("a dictionary that does not lie before its pages");
        }
        let encoding = if dictionary_range.is_some() {
            Encoding::RLE_DICTIONARY
        } else if chunk.encodings().any(|encoding| encoding == Encoding::BYTE_STREAM_SPLIT) {
            Encoding::BYTE_STREAM_SPLIT
        } else {
            Encoding::PLAIN
        };
        Ok(Self {
            physical,
            width,
            max_definition: u32::from(column.max_def_level().unsigned_abs()),
            max_repetition: u32::from(column.max_rep_level().unsigned_abs()),
            compressed,
            encoding,
            uncompressed_len: usize::try_from(chunk.uncompressed_size()).map_err(|_| "a negative size")?,
            levels: usize::try_from(chunk.num_values()).map_err(|_| "a negative number of values")?,
            empty: column.max_def_level() > 0 && all_null(chunk),
            dictionary_range,
        })
    }

    /// Opens a page whose bytes are exactly these, header included.
    fn open<'a>(
        &self,
        page: &'a [u8],
        kind: PageKind,
        encoding: Encoding,
    ) -> Result<(PageHeader, Body<'a>), Damage> {
        let (header, length) = PageHeader::read(page).ok_or("a page header that Siltstone does not write")?;
        if header.kind != kind || header.encoding != encoding {
            return Err("a page of another kind");
        }
        let most = self.uncompressed_len.min(MAX_PAGE_BYTES);
        if header.compressed_len != page.len() - length || header.uncompressed_len > most {
            return Err("a page of another size than the index says");
        }
        let stored = &page[length..];
        if crc32fast::hash(stored) != header.crc {
            return Err("a page whose checksum is wrong");
        }
        if self.compressed {
            let frame = FrameReader::new(stored, header.uncompressed_len)?;
            return Ok((header, Body::Frame(frame)));
        }
        if stored.len() != header.uncompressed_len {
            return Err("a page of another length than its header says");
        }
        Ok((header, Body::Plain(stored)))
    }

    /// Opens the dictionary page whose bytes are exactly these.
    pub(crate) fn dictionary(&self, page: &Bytes) -> Result<PageDictionary, Damage> {
        let (header, mut body) = self.open(page, PageKind::Dictionary, Encoding::PLAIN)?;
        let body = Bytes::copy_from_slice(body.whole()?);
        let len = header.values;
        let (ends, width) = match self.width {
            Some(width) if width.checked_mul(len) == Some(body.len()) => (Vec::new(), width),
            Some(_) => return Err("a dictionary of another length"),
            None if self.physical == Physical::BYTE_ARRAY => (text_ends(&body, len)?, 0),
            None => return Err("a dictionary of truth values"),
        };
        Ok(PageDictionary { body, ends, width, len })
    }

    /// Calls `each` with what stands in a range of a page's rows. `page_rows` is the
    /// number of rows that the page has by the index.
    pub(crate) fn read_page(
        &self,
        page: &Bytes,
        page_rows: usize,
        rows: Range<usize>,
        dictionary: Option<&Arc<PageDictionary>>,
        mut each: impl FnMut(Entry<'_>) -> Result<(), Damage>,
    ) -> Result<(), Damage> {
        let (header, mut body) = self.open(page, PageKind::Data, self.encoding)?;
        if header.values > self.levels {
            return Err("a page with more values than its chunk");
        }
        let place = |body: &[u8]| self.place(body, header.values, page_rows, rows.clone());
        let wanted = match self.max_definition {
            0 => place(body.whole()?)?,
            // The first block need not hold all levels.
            _ => place(body.front()?).or_else(|_| place(body.whole()?))?,
        };
        let mut values = match wanted.values.is_empty() {
            // Most columns have nothing in the few rows of a trace: their values stay packed.
            true => None,
            false => {
                let values = &body.whole()?[wanted.values_start..];
                let opened = PageValues::open(self, values, wanted.values.end, dictionary)?;
                Some(opened.range(wanted.values)?)
            }
        };
        for (index, definition) in wanted.definitions.into_iter().enumerate() {
            if definition > self.max_definition {
                return Err("a level that the column cannot have");
            }
            let value = match &mut values {
                Some(values) if definition == self.max_definition => Some(values.next()?),
                _ => None,
            };
            each(Entry { repetition: wanted.repetitions.get(index).copied().unwrap_or(0), value })?;
        }
        Ok(())
    }

    /// Finds the levels of some rows of a page, and which of its values are theirs.
    fn place(
        &self,
        body: &[u8],
        levels: usize,
        page_rows: usize,
        rows: Range<usize>,
    ) -> Result<Wanted, Damage> {
        let mut rest = body;
        let repetitions = self.levels(&mut rest, self.max_repetition, levels)?;
        let definitions = self.levels(&mut rest, self.max_definition, levels)?;
        let range = match &repetitions {
            None if levels == page_rows => rows,
            None => return Err("a page with another number of rows than the index says"),
            Some(repetitions) => level_range(repetitions, levels, page_rows, rows)?,
        };
        let all_of = |levels: &Hybrid<'_>| {
            let mut all = Vec::with_capacity(range.len());
            levels.for_each(range.clone(), |level| all.push(level));
            all
        };
        let count = |range: Range<usize>| {
            definitions.as_ref().map_or(range.len(), |levels| levels.count(range, self.max_definition))
        };
        // Mostly there is nothing, and then what lies before need not be counted; what
        // lies behind never is.
        let within = count(range.clone());
        let before = if within == 0 { 0 } else { count(0..range.start) };
        Ok(Wanted {
            repetitions: repetitions.as_ref().map_or_else(Vec::new, all_of),
            definitions: definitions.as_ref().map_or_else(|| vec![0; range.len()], all_of),
            values: before..before + within,
            values_start: body.len() - rest.len(),
        })
    }

    fn levels<'a>(&self, rest: &mut &'a [u8], max: u32, count: usize) -> Result<Option<Hybrid<'a>>, Damage> {
        if max == 0 {
            return Ok(None);
        }
        let broken = "levels that end too soon";
        let (length, tail) = rest.split_first_chunk::<4>().ok_or(broken)?;
        let (levels, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(broken)?;
        *rest = tail;
        Hybrid::parse(levels, bits_for(max), count).map(Some).ok_or(broken)
    }
}

/// A page's body, whole or as far as it was needed.
enum Body<'a> {
    Plain(&'a [u8]),
    Frame(FrameReader<'a>),
}

impl Body<'_> {
    fn front(&mut self) -> Result<&[u8], Damage> {
        match self {
            Self::Plain(body) => Ok(body),
            Self::Frame(frame) => frame.front(),
        }
    }

    fn whole(&mut self) -> Result<&[u8], Damage> {
        match self {
            Self::Plain(body) => Ok(body),
            Self::Frame(frame) => frame.whole(),
        }
    }
}

/// What some rows have in a page.
struct Wanted {
    repetitions: Vec<u32>,
    definitions: Vec<u32>,
    /// Their values, counted from the page's first.
    values: Range<usize>,
    /// Where the values begin in the body.
    values_start: usize,
}

/// Whether the chunk's statistics say that it holds no value.
fn all_null(chunk: &ColumnChunkMetaData) -> bool {
    let nulls = chunk.statistics().and_then(Statistics::null_count_opt);
    nulls.is_some_and(|nulls| i64::try_from(nulls) == Ok(chunk.num_values()))
}

/// The levels of a range of rows, where a row begins with repetition 0.
fn level_range(
    repetitions: &Hybrid<'_>,
    levels: usize,
    page_rows: usize,
    rows: Range<usize>,
) -> Result<Range<usize>, Damage> {
    if repetitions.count(0..levels, 0) != page_rows {
        return Err("a page with another number of rows than the index says");
    }
    if repetitions.position(0, 0) != Some(0) {
        return Err("a list that does not begin with its page");
    }
    let level_of = |row| repetitions.position(row, 0).unwrap_or(levels);
    Ok(level_of(rows.start)..level_of(rows.end))
}

/// The values of an opened page.
struct PageValues<'a> {
    leaf: &'a Leaf,
    bytes: &'a [u8],
    count: usize,
    indices: Option<(Hybrid<'a>, &'a PageDictionary)>,
}

impl<'a> PageValues<'a> {
    /// Opens the values of a page, of which at least `needed` must be there.
    fn open(
        leaf: &'a Leaf,
        bytes: &'a [u8],
        needed: usize,
        dictionary: Option<&'a Arc<PageDictionary>>,
    ) -> Result<Self, Damage> {
        let mut values = Self { leaf, bytes, count: 0, indices: None };
        if leaf.encoding == Encoding::RLE_DICTIONARY {
            let dictionary = dictionary.ok_or("a page whose dictionary is missing")?;
            let (width, packed) = bytes.split_first().ok_or("indices that end too soon")?;
            let indices = Hybrid::parse_front(packed, *width, needed).ok_or("indices that end too soon")?;
            values.indices = Some((indices, dictionary));
        } else if let Some(width) = leaf.width {
            values.count = bytes.len().checked_div(width).unwrap_or(0);
            if values.count < needed || values.count * width != bytes.len() {
                return Err("values of another length than their number");
            }
        }
        Ok(values)
    }

    /// A cursor over a range of the values.
    fn range(self, range: Range<usize>) -> Result<ValueCursor<'a>, Damage> {
        let mut picked = Vec::new();
        let mut at = 0;
        if let Some((indices, _)) = &self.indices {
            picked.reserve(range.len());
            indices.for_each(range.clone(), |index| picked.push(index));
        } else if self.leaf.physical == Physical::BYTE_ARRAY {
            // Plain texts are found only by passing those before.
            for _ in 0..range.start {
                read_text(self.bytes, &mut at)?;
            }
        }
        Ok(ValueCursor { values: self, next: range.start, first: range.start, picked, at })
    }
}

struct ValueCursor<'a> {
    values: PageValues<'a>,
    next: usize,
    first: usize,
    picked: Vec<u32>,
    at: usize,
}

impl<'a> ValueCursor<'a> {
    fn next(&mut self) -> Result<Raw<'a>, Damage> {
        let index = self.next;
        self.next += 1;
        let leaf = self.values.leaf;
        let bytes = self.values.bytes;
        if let Some((_, dictionary)) = &self.values.indices {
            let number = self.picked.get(index - self.first).ok_or("fewer values than levels")?;
            return leaf.raw(dictionary.get(*number)?);
        }
        match (leaf.physical, leaf.width) {
            (Physical::BYTE_ARRAY, _) => read_text(bytes, &mut self.at).map(Raw::Bytes),
            (Physical::BOOLEAN, _) => {
                let byte = bytes.get(index / 8).ok_or("fewer values than levels")?;
                Ok(Raw::Bool(byte >> (index % 8) & 1 == 1))
            }
            (Physical::INT32, _) if leaf.encoding == Encoding::BYTE_STREAM_SPLIT => {
                split_value(bytes, self.values.count, index).map(Raw::Four)
            }
            (Physical::INT64 | Physical::DOUBLE, _) if leaf.encoding == Encoding::BYTE_STREAM_SPLIT => {
                split_value(bytes, self.values.count, index).map(Raw::Eight)
            }
            (_, Some(width)) => {
                leaf.raw(bytes.get(index * width..(index + 1) * width).ok_or("fewer values than levels")?)
            }
            (_, None) => Err("a type that Siltstone does not write"),
        }
    }
}

impl Leaf {
    fn raw<'a>(&self, bytes: &'a [u8]) -> Result<Raw<'a>, Damage> {
        let wrong = "a value of another length than its type";
        match self.physical {
            Physical::INT32 => bytes.try_into().map(Raw::Four).map_err(|_| wrong),
            Physical::INT64 | Physical::DOUBLE => bytes.try_into().map(Raw::Eight).map_err(|_| wrong),
            _ => Ok(Raw::Bytes(bytes)),
        }
    }
}

impl PageDictionary {
    fn get(&self, number: u32) -> Result<&[u8], Damage> {
        let index = number as usize;
        if index >= self.len {
            return Err("an index beyond its dictionary");
        }
        Ok(match self.width {
            // A text's length stands before it.
            0 => {
                let start = if index == 0 { 4 } else { self.ends[index - 1] as usize + 4 };
                &self.body[start..self.ends[index] as usize]
            }
            width => &self.body[index * width..(index + 1) * width],
        })
    }

    /// Memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.body.len() + 4 * self.ends.len()
    }
}

/// A value whose bytes lie in streams of their own.
fn split_value<const N: usize>(bytes: &[u8], count: usize, index: usize) -> Result<[u8; N], Damage> {
    let mut value = [0; N];
    for (stream, byte) in value.iter_mut().enumerate() {
        *byte = *bytes.get(stream * count + index).ok_or("fewer values than levels")?;
    }
    Ok(value)
}

fn text_ends(body: &[u8], len: usize) -> Result<Vec<u32>, Damage> {
    let mut ends = Vec::with_capacity(len.min(body.len() / 4));
    let mut at = 0;
    for _ in 0..len {
        read_text(body, &mut at)?;
        ends.push(at as u32);
    }
    if at == body.len() { Ok(ends) } else { Err("a dictionary of another length") }
}

fn read_text<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], Damage> {
    let broken = "a text that ends too soon";
    let rest = bytes.get(*at..).ok_or(broken)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(broken)?;
    let length = u32::from_le_bytes(*length) as usize;
    let text = rest.get(..length).ok_or(broken)?;
    *at += 4 + length;
    Ok(text)
}

/// The pages of a chunk that hold a range of a group's rows, each with the group's
/// first row in it and its rows.
pub(crate) fn pages_of<'a>(
    locations: &'a [PageLocation],
    group_rows: usize,
    rows: &Range<usize>,
) -> impl Iterator<Item = (&'a PageLocation, usize, usize)> {
    let first =
        locations.partition_point(|page| (page.first_row_index as usize) <= rows.start).saturating_sub(1);
    let end = rows.end;
    (first..locations.len())
        .map(move |index| {
            let start = locations[index].first_row_index as usize;
            let next = locations.get(index + 1).map_or(group_rows, |page| page.first_row_index as usize);
            (&locations[index], start, next.saturating_sub(start))
        })
        .take_while(move |(_, start, _)| *start < end)
}
