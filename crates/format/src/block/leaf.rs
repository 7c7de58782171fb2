//! One column chunk, read: pages into values, for the rows that are wanted only.
//!
//! Parquet's stock reader makes a compressor for each chunk and walks a page from its
//! front; for one trace that is most of the time. Ours keeps one decompressor a
//! thread, opens of a page only what is needed, and finds a value by its position in the page.
//! Columns of single values are read a page's rows at a time, lists an element at a time.
//!
//! Everything that a page says is compared with the file's metadata, whose hash was
//! checked: damage gives an error, not other rows.

use std::ops::Range;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, Type as Physical};
use parquet::file::metadata::ColumnChunkMetaData;

use super::decode::{FlatValues, PageDictionary, PageValues, Raw};
use super::frame::FrameReader;
use super::hybrid::{Hybrid, bits_for};
use super::opened::OpenedPage;
use super::page::{PageHeader, PageKind};
use super::pick::Piece;
use super::ranges::Page;

/// Largest page that is read, decompressed.
pub(crate) const MAX_PAGE_BYTES: usize = 1 << 28;

/// What is wrong with a chunk or a page.
pub(crate) type Damage = &'static str;

const OTHER_ROWS: Damage = "a page with another number of rows than the index says";
const WRONG_LEVEL: Damage = "a level that the column cannot have";

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
    pub(super) physical: Physical,
    /// Bytes of a value, if all have the same.
    pub(super) width: Option<usize>,
    max_definition: u32,
    max_repetition: u32,
    compressed: bool,
    pub(super) encoding: Encoding,
    uncompressed_len: usize,
    /// Levels of the whole chunk.
    levels: usize,
    /// No row has a value: nothing of the chunk need be read.
    pub(crate) empty: bool,
    /// Most rows have a value: a page is opened at once, not its levels first.
    dense: bool,
    pub(crate) dictionary_range: Option<Range<u64>>,
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
            empty: column.max_def_level() > 0 && nulls(chunk) == Some(chunk.num_values()),
            dense: nulls(chunk).is_some_and(|nulls| nulls < chunk.num_values() / 2),
            dictionary_range,
        })
    }

    /// Every row has one value.
    pub(crate) fn is_required(&self) -> bool {
        self.max_definition == 0 && self.max_repetition == 0
    }

    /// A row may have several values.
    pub(crate) fn is_list(&self) -> bool {
        self.max_repetition > 0
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
        PageDictionary::parse(self, body.whole()?, header.values)
    }

    /// Reads pieces of a page of single values: appends the rows that have one to
    /// `present`, unless all must, and gives `each` the values of these, if there are any.
    /// `page_rows` is the number of rows that the page has by the index.
    pub(crate) fn read_flat(
        &self,
        page: &Page,
        page_rows: usize,
        pieces: &[Piece],
        dictionary: Option<&PageDictionary>,
        present: &mut Vec<u32>,
        each: impl FnOnce(FlatValues<'_>) -> Result<(), Damage>,
    ) -> Result<(), Damage> {
        let (levels, mut body) = self.open_data(page)?;
        if levels != page_rows || self.max_repetition > 0 {
            return Err(OTHER_ROWS);
        }
        let (ranges, start) = match self.max_definition {
            0 => (pieces.iter().map(|piece| piece.rows.clone()).collect(), 0),
            _ => {
                let before = present.len();
                let front = if self.dense { body.whole()? } else { body.front()? };
                match self.presence(front, levels, pieces, present) {
                    Ok(found) => found,
                    // The first block need not hold all levels.
                    Err(_) => {
                        present.truncate(before);
                        self.presence(body.whole()?, levels, pieces, present)?
                    }
                }
            }
        };
        // Most columns have nothing in the few rows of a trace: their values stay packed.
        let Some(last) = ranges.last() else { return Ok(()) };
        let values = PageValues::open(self, &body.whole()?[start..], last.end, dictionary)?;
        each(FlatValues { values, ranges: &ranges })?;
        body.keep(page, levels);
        Ok(())
    }

    /// Appends the rows that have a value; gives where these values lie, counted from the
    /// page's first, and where the values begin in the body.
    fn presence(
        &self,
        body: &[u8],
        levels: usize,
        pieces: &[Piece],
        present: &mut Vec<u32>,
    ) -> Result<(Vec<Range<usize>>, usize), Damage> {
        let mut rest = body;
        let definitions = self.levels(&mut rest, self.max_definition, levels)?.ok_or(WRONG_LEVEL)?;
        let mut ranges = Vec::new();
        let (mut row, mut value) = (0, 0);
        for piece in pieces {
            let before = present.len();
            definitions.append_ones(piece.rows.clone(), piece.target, present).ok_or(WRONG_LEVEL)?;
            let within = present.len() - before;
            // Mostly there is nothing, and then what lies before need not be counted; what
            // lies behind never is.
            if within > 0 {
                value += definitions.count(row..piece.rows.start, 1);
                ranges.push(value..value + within);
                (row, value) = (piece.rows.end, value + within);
            }
        }
        Ok((ranges, body.len() - rest.len()))
    }

    /// Calls `each` with what stands in pieces of a page's rows.
    pub(crate) fn read_page(
        &self,
        page: &Page,
        page_rows: usize,
        pieces: &[Piece],
        dictionary: Option<&PageDictionary>,
        mut each: impl FnMut(Entry<'_>) -> Result<(), Damage>,
    ) -> Result<(), Damage> {
        let (levels, mut body) = self.open_data(page)?;
        for piece in pieces {
            let place = |body: &[u8]| self.place(body, levels, page_rows, piece.rows.clone());
            let wanted = match self.max_definition {
                0 => place(body.whole()?)?,
                _ => place(body.front()?).or_else(|_| place(body.whole()?))?,
            };
            self.read_piece(&mut body, wanted, dictionary, &mut each)?;
        }
        body.keep(page, levels);
        Ok(())
    }

    fn read_piece(
        &self,
        body: &mut Body<'_>,
        wanted: Wanted,
        dictionary: Option<&PageDictionary>,
        mut each: impl FnMut(Entry<'_>) -> Result<(), Damage>,
    ) -> Result<(), Damage> {
        let mut values = match wanted.values.is_empty() {
            true => None,
            false => {
                let values = &body.whole()?[wanted.values_start..];
                let opened = PageValues::open(self, values, wanted.values.end, dictionary)?;
                Some(opened.range(wanted.values)?)
            }
        };
        for (index, definition) in wanted.definitions.into_iter().enumerate() {
            if definition > self.max_definition {
                return Err(WRONG_LEVEL);
            }
            let value = match &mut values {
                Some(values) if definition == self.max_definition => Some(values.next()?),
                _ => None,
            };
            each(Entry { repetition: wanted.repetitions.get(index).copied().unwrap_or(0), value })?;
        }
        Ok(())
    }

    /// Opens a data page, and says how many levels it has.
    fn open_data<'a>(&self, page: &'a Page) -> Result<(usize, Body<'a>), Damage> {
        let stored = match page {
            Page::Stored(stored, _) => stored,
            Page::Opened(page) => return Ok((page.levels(), Body::Plain(page.body()))),
        };
        let (header, body) = self.open(stored, PageKind::Data, self.encoding)?;
        if header.values > self.levels {
            return Err("a page with more values than its chunk");
        }
        Ok((header.values, body))
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
            None => return Err(OTHER_ROWS),
            Some(repetitions) => level_range(repetitions, levels, page_rows, rows)?,
        };
        let all_of = |levels: &Hybrid<'_>| {
            let mut all = Vec::with_capacity(range.len());
            levels.append(range.clone(), &mut all);
            all
        };
        let count = |range: Range<usize>| {
            definitions.as_ref().map_or(range.len(), |levels| levels.count(range, self.max_definition))
        };
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

    /// Leaves a page where it is wanted, if all of it was decompressed.
    fn keep(&self, page: &Page, levels: usize) {
        if let (Page::Stored(stored, Some(slot)), Self::Frame(frame)) = (page, self)
            && let Some(body) = frame.opened()
        {
            slot.get_or_init(|| OpenedPage::new(levels, stored.len(), body));
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

/// How many levels have no value, if the chunk's statistics say so.
fn nulls(chunk: &ColumnChunkMetaData) -> Option<i64> {
    i64::try_from(chunk.statistics()?.null_count_opt()?).ok()
}

/// The levels of a range of rows, where a row begins with repetition 0.
fn level_range(
    repetitions: &Hybrid<'_>,
    levels: usize,
    page_rows: usize,
    rows: Range<usize>,
) -> Result<Range<usize>, Damage> {
    if repetitions.count(0..levels, 0) != page_rows {
        return Err(OTHER_ROWS);
    }
    if repetitions.position(0, 0) != Some(0) {
        return Err("a list that does not begin with its page");
    }
    let level_of = |row| repetitions.position(row, 0).unwrap_or(levels);
    Ok(level_of(rows.start)..level_of(rows.end))
}
