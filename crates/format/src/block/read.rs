//! A spans file, read: which bytes a trace needs, and the spans that they hold.
//!
//! The caller does the I/O: it opens a file with the bytes of its metadata, asks
//! which rows may hold a trace and which ranges these rows need, fetches them in one
//! round, and gets the spans, or the parts of them that it wants.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::PageLocation;

use super::decode::{FlatValues, PageDictionary};
use super::error::{ReadError, Wrong};
use super::footer::{are_page_indexes_sound, is_footer_sound};
use super::identity::BlockIdentity;
use super::leaf::{Damage, Entry, Leaf};
use super::parts::Parts;
use super::pick::{PagePick, pick_pages};
use super::ranges::{Fetched, Page};
use super::rows::RowsReader;
use super::schema::{Fixed, LIST_LEAVES, ListColumns, parse_attribute_column, spans_schema};
use super::summary::SpansSummary;
use crate::columns::{KnownOrigin, SpanColumns};
use crate::id::TraceId;
use crate::value::ValueType;

/// Where the rows of a trace lie, or may lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRows {
    pub group: usize,
    /// Counted from the group's first row.
    pub rows: Range<usize>,
}

/// Rows of one group, ascending, and the row that the first of them becomes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pick<'a> {
    pub(crate) group: usize,
    pub(crate) parts: &'a [GroupRows],
    pub(crate) base: u32,
}

/// Origins of a block by their ids.
pub trait Origins {
    fn origin(&self, id: u32) -> Option<KnownOrigin>;
}

/// A spans file whose metadata is known.
#[derive(Debug)]
pub struct SpansFile {
    pub(crate) object: String,
    identity: BlockIdentity,
    metadata: ParquetMetaData,
    pub(crate) attributes: Vec<(ValueType, String)>,
    pub(crate) lists: ListColumns,
    /// By group, then by column.
    pub(crate) leaves: Vec<Vec<Leaf>>,
    pub(super) dictionaries: Vec<Vec<OnceLock<Arc<PageDictionary>>>>,
    /// Whether those of texts are held in little memory.
    pub(super) packs_dictionaries: bool,
}

impl SpansFile {
    /// Opens a file by the bytes from `summary.metadata_offset` to its end.
    pub fn open(object: &str, summary: &SpansSummary, metadata: &Bytes) -> Result<Self, ReadError> {
        let wrong = |wrong| ReadError::new(object, wrong);
        let expected = summary.bytes.checked_sub(summary.metadata_offset);
        if expected != Some(metadata.len() as u64) {
            return Err(wrong(Wrong::Damaged("it has another size than its catalog entry says")));
        }
        if xxhash_rust::xxh3::xxh3_64(metadata) != summary.metadata_hash {
            return Err(wrong(Wrong::Damaged("its metadata has another hash than its catalog entry says")));
        }
        let parsed = parse_metadata(metadata, summary.bytes).map_err(wrong)?;
        let file = Self::parse(object, parsed)?;
        if file.rows() != summary.rows {
            return Err(wrong(Wrong::Damaged("it has another number of rows than its catalog entry says")));
        }
        Ok(file)
    }

    /// Opens a file without an entry that vouches for it, as a repair must. Damage to
    /// the metadata may go unseen.
    pub fn open_unverified(object: &str, whole: &Bytes) -> Result<Self, ReadError> {
        let parsed = parse_unverified(whole).map_err(|wrong| ReadError::new(object, wrong))?;
        Self::parse(object, parsed)
    }

    fn parse(object: &str, metadata: ParquetMetaData) -> Result<Self, ReadError> {
        let wrong = |wrong| ReadError::new(object, wrong);
        let identity = BlockIdentity::read(object, "spans", key_values(&metadata))?;
        let schema = metadata.file_metadata().schema_descr();
        let attributes = attribute_columns(&metadata).map_err(|what| wrong(Wrong::Damaged(what)))?;
        let expected = spans_schema(attributes.iter().map(|(kind, key)| (*kind, key.as_str())));
        if expected.map_err(|error| wrong(error.into()))?.root_schema() != schema.root_schema() {
            return Err(wrong(Wrong::Damaged("its columns are not those of its version")));
        }
        let leaves = leaves_of(&metadata).map_err(&wrong)?;
        let dictionaries =
            leaves.iter().map(|group| group.iter().map(|_| OnceLock::new()).collect()).collect();
        let lists = ListColumns::after(attributes.len());
        let object = object.to_owned();
        let packs_dictionaries = false;
        Ok(Self { object, identity, metadata, attributes, lists, leaves, dictionaries, packs_dictionaries })
    }

    pub fn identity(&self) -> &BlockIdentity {
        &self.identity
    }

    pub fn rows(&self) -> u64 {
        self.metadata.row_groups().iter().map(|group| group.num_rows().unsigned_abs()).sum()
    }

    /// The row groups and all rows of each.
    pub fn groups(&self) -> impl Iterator<Item = GroupRows> {
        (0..self.leaves.len()).map(|group| GroupRows { group, rows: 0..self.group_rows(group) })
    }

    /// The attributes that have a column of their own.
    pub fn attributes(&self) -> &[(ValueType, String)] {
        &self.attributes
    }

    /// The file's Parquet metadata, for engines that scan it.
    pub fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }

    /// Rows whose pages may hold a trace: from the page index alone. Empty if the
    /// trace is certainly not there.
    pub fn find(&self, trace: &TraceId) -> Vec<GroupRows> {
        self.find_all(std::slice::from_ref(trace))
    }

    /// The same of some traces, which ascend. Rows ascend and do not overlap.
    pub fn find_all(&self, traces: &[TraceId]) -> Vec<GroupRows> {
        let mut found: Vec<GroupRows> = Vec::new();
        for group in 0..self.leaves.len() {
            for next in traces.iter().filter_map(|trace| self.find_in(group, trace, trace)) {
                match found.last_mut() {
                    Some(last) if last.group == group && next.rows.start <= last.rows.end => {
                        last.rows.end = last.rows.end.max(next.rows.end);
                    }
                    _ => found.push(next),
                }
            }
        }
        found
    }

    /// The same for traces from the first to the last one, both included.
    pub fn find_between(&self, first: &TraceId, last: &TraceId) -> Vec<GroupRows> {
        (0..self.leaves.len()).filter_map(|group| self.find_in(group, first, last)).collect()
    }

    fn find_in(&self, group: usize, from: &TraceId, to: &TraceId) -> Option<GroupRows> {
        let column = Fixed::TraceId as usize;
        let index = self.metadata.column_index().and_then(|index| index.get(group)?.get(column));
        let Some(ColumnIndexMetaData::FIXED_LEN_BYTE_ARRAY(index)) = index else {
            // Without bounds every row may be it.
            return Some(GroupRows { group, rows: 0..self.group_rows(group) });
        };
        let pages = index.num_pages() as usize;
        // The first page that does not end before the traces; pages are in order.
        let (mut first, mut after) = (0, pages);
        while first < after {
            let middle = first.midpoint(after);
            if index.max_value(middle) < Some(&from.0[..]) {
                first = middle + 1;
            } else {
                after = middle;
            }
        }
        let mut end = first;
        while end < pages && index.min_value(end) <= Some(&to.0[..]) {
            end += 1;
        }
        if first == end {
            return None;
        }
        let locations = self.locations(group, column);
        let row = |page: usize| {
            locations.get(page).map_or(self.group_rows(group), |page| page.first_row_index as usize)
        };
        Some(GroupRows { group, rows: row(first)..row(end) })
    }

    /// The ranges that reading whole spans needs, see [`Self::ranges_of`].
    pub fn ranges(&self, rows: &GroupRows) -> Vec<Range<u64>> {
        self.ranges_of(std::slice::from_ref(rows), &Parts::all())
    }

    /// The ranges that reading parts of some rows needs, unsorted; the dictionaries that
    /// were read before are not among them. Of rows that ascend none is there twice.
    pub fn ranges_of(&self, rows: &[GroupRows], parts: &Parts) -> Vec<Range<u64>> {
        let mut ranges = Vec::new();
        for run in ascending_runs(rows) {
            for column in self.columns_of(run[0].group, parts) {
                ranges.extend(self.column_ranges(column, run));
            }
        }
        ranges
    }

    /// The same for one column and ascending rows of one group.
    pub(crate) fn column_ranges(&self, column: usize, run: &[GroupRows]) -> impl Iterator<Item = Range<u64>> {
        let group = run.first().map_or(0, |rows| rows.group);
        let pages = self.picks(group, column, run, 0).into_iter().map(|pick| page_range(pick.page));
        self.unread_dictionary(group, column).into_iter().chain(pages)
    }

    /// The columns that reading parts of a group's rows needs: what is empty is not read.
    fn columns_of(&self, group: usize, parts: &Parts) -> impl Iterator<Item = usize> {
        let fixed = Fixed::ALL.into_iter().filter(|fixed| parts.holds(*fixed)).map(|fixed| fixed as usize);
        let attributes = (Fixed::ALL.len()..).zip(&self.attributes);
        let attributes = attributes.filter(|(_, (_, key))| parts.attributes.holds(key));
        let lists = [
            (&self.lists.overflow, !parts.attributes.is_empty()),
            (&self.lists.events, parts.events),
            (&self.lists.links, parts.links),
        ];
        let lists = lists.into_iter().filter(|(_, wanted)| *wanted).flat_map(|(leaves, _)| leaves.clone());
        let columns = fixed.chain(attributes.map(|(column, _)| column)).chain(lists);
        columns.filter(move |column| !self.is_empty(group, *column))
    }

    /// The place of a dictionary that was not read before.
    pub(crate) fn unread_dictionary(&self, group: usize, column: usize) -> Option<Range<u64>> {
        let range = self.leaves[group][column].dictionary_range.clone();
        range.filter(|_| self.dictionaries[group][column].get().is_none())
    }

    /// Whether no row of a group has a value in a column.
    pub(crate) fn is_empty(&self, group: usize, column: usize) -> bool {
        self.leaves[group][column].empty
    }

    /// The spans of a trace, given the ranges of the rows that may hold it.
    pub fn read_trace(
        &self,
        trace: &TraceId,
        found: &[GroupRows],
        fetched: &Fetched,
        origins: &dyn Origins,
    ) -> Result<SpanColumns, ReadError> {
        self.read_traces(std::slice::from_ref(trace), found, fetched, origins)
    }

    /// The spans of some traces, which ascend, one trace after the other. Each page is
    /// opened once for all of them.
    pub fn read_traces(
        &self,
        traces: &[TraceId],
        found: &[GroupRows],
        fetched: &Fetched,
        origins: &dyn Origins,
    ) -> Result<SpanColumns, ReadError> {
        let (mut exact, mut ids) = (Vec::new(), Vec::new());
        for run in ascending_runs(found) {
            self.rows_of_traces(traces, run, fetched, &mut exact, &mut ids)?;
        }
        self.read(&exact, RowsReader::new(self, fetched, &Parts::all(), origins).of_traces(ids))
    }

    /// Whole spans, see [`Self::read_parts`].
    pub fn read_rows(
        &self,
        rows: &[GroupRows],
        fetched: &Fetched,
        origins: &dyn Origins,
    ) -> Result<SpanColumns, ReadError> {
        self.read_parts(rows, &Parts::all(), fetched, origins)
    }

    /// Parts of the spans of some rows in their order. These may be any rows, unless
    /// parents are wanted: a parent is named by its place, so they must then be whole
    /// traces. What is not wanted stays empty.
    pub fn read_parts(
        &self,
        rows: &[GroupRows],
        parts: &Parts,
        fetched: &Fetched,
        origins: &dyn Origins,
    ) -> Result<SpanColumns, ReadError> {
        self.read(rows, RowsReader::new(self, fetched, parts, origins))
    }

    pub(super) fn read(
        &self,
        rows: &[GroupRows],
        mut reader: RowsReader<'_>,
    ) -> Result<SpanColumns, ReadError> {
        let within =
            |part: &GroupRows| part.group < self.leaves.len() && part.rows.end <= self.group_rows(part.group);
        let count = rows.iter().fold(0usize, |sum, part| sum.saturating_add(part.rows.len()));
        if !rows.iter().all(within) || count >= u32::MAX as usize {
            return Err(ReadError::new(
                &self.object,
                Wrong::Damaged("it has not the rows that are asked for"),
            ));
        }
        // Each page is opened once for all rows that are wanted of it.
        for run in ascending_runs(rows) {
            reader.read(run)?;
        }
        reader.finish()
    }

    /// Memory of what was made of its metadata, about, without dictionaries.
    pub fn parsed_bytes(&self) -> usize {
        let of_chunk = size_of::<Leaf>() + size_of::<OnceLock<Arc<PageDictionary>>>();
        let chunks: usize = self.leaves.iter().map(Vec::len).sum();
        self.metadata.memory_size() + chunks * of_chunk
    }

    /// Bytes of the decompressed dictionaries that are held.
    pub fn held_bytes(&self) -> usize {
        self.dictionaries
            .iter()
            .flatten()
            .filter_map(OnceLock::get)
            .map(|dictionary| dictionary.bytes())
            .sum()
    }

    /// Appends the exact rows of traces among ascending rows of a group that may hold them,
    /// and the trace of each of these rows.
    fn rows_of_traces(
        &self,
        traces: &[TraceId],
        run: &[GroupRows],
        fetched: &Fetched,
        exact: &mut Vec<GroupRows>,
        ids_of_rows: &mut Vec<TraceId>,
    ) -> Result<(), ReadError> {
        let Some(group) = run.first().map(|rows| rows.group) else { return Ok(()) };
        let pick = Pick { group, parts: run, base: 0 };
        let mut last = 0;
        self.read_pages(pick, Fixed::TraceId as usize, fetched, |leaf, page, stored, dictionary| {
            let first_row = page.page.first_row_index as usize;
            let mut pieces = page.pieces.iter().map(|piece| first_row + piece.rows.start);
            leaf.read_flat(stored, page.rows, &page.pieces, dictionary, &mut Vec::new(), |values| {
                values.each_run(|ids| {
                    let row = pieces.next().unwrap_or_default();
                    // Whoever looks for a place in them relies on their order.
                    for id in ids {
                        let id = u128::from_be_bytes(*id);
                        if id < last {
                            return Err("traces that are not in their order");
                        }
                        last = id;
                    }
                    for found in rows_among(traces, ids) {
                        ids_of_rows.extend(ids[found.clone()].iter().map(|id| TraceId(*id)));
                        let rows = row + found.start..row + found.end;
                        match exact.last_mut() {
                            Some(last) if last.group == group && last.rows.end == rows.start => {
                                last.rows.end = rows.end;
                            }
                            _ => exact.push(GroupRows { group, rows }),
                        }
                    }
                    Ok(())
                })
            })
        })
    }

    /// Reads a column of single values, page by page: appends the rows that have one to
    /// `present`, unless all must, and calls `each` with the values of these.
    pub(crate) fn read_flat(
        &self,
        pick: Pick<'_>,
        column: usize,
        fetched: &Fetched,
        present: &mut Vec<u32>,
        mut each: impl FnMut(FlatValues<'_>) -> Result<(), Damage>,
    ) -> Result<(), ReadError> {
        self.read_pages(pick, column, fetched, |leaf, page, stored, dictionary| {
            leaf.read_flat(stored, page.rows, &page.pieces, dictionary, present, &mut each)
        })
    }

    /// Calls `each` for all that stands in a column of a list.
    pub(crate) fn read_list(
        &self,
        pick: Pick<'_>,
        column: usize,
        fetched: &Fetched,
        mut each: impl FnMut(Entry<'_>) -> Result<(), Damage>,
    ) -> Result<(), ReadError> {
        self.read_pages(pick, column, fetched, |leaf, page, stored, dictionary| {
            leaf.read_page(stored, page.rows, &page.pieces, dictionary, &mut each)
        })
    }

    fn read_pages(
        &self,
        pick: Pick<'_>,
        column: usize,
        fetched: &Fetched,
        mut read: impl FnMut(&Leaf, &PagePick<'_>, &Page, Option<&PageDictionary>) -> Result<(), Damage>,
    ) -> Result<(), ReadError> {
        let group = pick.group;
        let leaf = &self.leaves[group][column];
        if leaf.empty {
            return Ok(());
        }
        let dictionary = self.dictionary(group, column, fetched)?;
        for page in self.picks(group, column, pick.parts, pick.base) {
            let stored = fetched.page(&page_range(page.page));
            let stored = stored.map_err(|wrong| ReadError::new(&self.object, wrong))?;
            read(leaf, &page, &stored, dictionary.as_deref())
                .map_err(|what| self.damage(group, column, what))?;
        }
        Ok(())
    }

    fn picks(&self, group: usize, column: usize, parts: &[GroupRows], base: u32) -> Vec<PagePick<'_>> {
        let ranges = parts.iter().map(|part| part.rows.clone());
        pick_pages(self.locations(group, column), self.group_rows(group), ranges, base)
    }

    pub(crate) fn dictionary(
        &self,
        group: usize,
        column: usize,
        fetched: &Fetched,
    ) -> Result<Option<Arc<PageDictionary>>, ReadError> {
        let leaf = &self.leaves[group][column];
        let Some(range) = &leaf.dictionary_range else { return Ok(None) };
        let slot = &self.dictionaries[group][column];
        if let Some(held) = slot.get() {
            return Ok(Some(held.clone()));
        }
        let page = fetched.get(range).map_err(|wrong| ReadError::new(&self.object, wrong))?;
        let mut read = leaf.dictionary(&page).map_err(|what| self.damage(group, column, what))?;
        if self.packs_dictionaries && !leaf.is_list() {
            read = read.packed();
        }
        Ok(Some(slot.get_or_init(|| Arc::new(read)).clone()))
    }

    pub(crate) fn damage(&self, group: usize, column: usize, what: &'static str) -> ReadError {
        let column = self.metadata.file_metadata().schema_descr().column(column).path().string();
        ReadError::new(&self.object, Wrong::Page { column, group, what })
    }

    /// How many rows a row group has.
    pub fn group_rows(&self, group: usize) -> usize {
        // Checked to be a row count when the file was opened.
        self.metadata.row_group(group).num_rows() as usize
    }

    fn locations(&self, group: usize, column: usize) -> &[PageLocation] {
        let index = self.metadata.offset_index().and_then(|index| index.get(group)?.get(column));
        index.map_or(&[], |index| index.page_locations().as_slice())
    }
}

/// Rows of one group that ascend, and those that follow them.
fn ascending_runs(rows: &[GroupRows]) -> impl Iterator<Item = &[GroupRows]> {
    rows.chunk_by(|one, next| one.group == next.group && one.rows.end <= next.rows.start)
}

/// Parses metadata from the end of a file, whose last bytes these are.
pub(crate) fn parse_metadata(tail: &Bytes, file_size: u64) -> Result<ParquetMetaData, Wrong> {
    // That the page index is missing is an error of ours only if the file is ours.
    let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    reader.try_parse_sized(tail, file_size)?;
    Ok(reader.finish()?)
}

/// Parses the metadata of a whole file that nothing vouches for.
pub(crate) fn parse_unverified(whole: &Bytes) -> Result<ParquetMetaData, Wrong> {
    if !is_footer_sound(whole) {
        return Err(claims_too_much("its footer"));
    }
    let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip);
    reader.try_parse(whole)?;
    let metadata = reader.finish()?;
    if !are_page_indexes_sound(whole, &metadata) {
        return Err(claims_too_much("its page index"));
    }
    let reader = ParquetMetaDataReader::new_with_metadata(metadata);
    let mut reader = reader.with_page_index_policy(PageIndexPolicy::Optional);
    reader.read_page_indexes(whole)?;
    Ok(reader.finish()?)
}

fn claims_too_much(what: &str) -> Wrong {
    Wrong::NotParquet(ParquetError::General(format!("{what} claims more than it holds")))
}

/// Where each of some traces is among ids of rows, both ascending.
fn rows_among<'a>(traces: &'a [TraceId], ids: &'a [[u8; 16]]) -> impl Iterator<Item = Range<usize>> + 'a {
    let traces = ids.first().zip(ids.last()).map_or(&traces[..0], |(first, last)| {
        let from = traces.partition_point(|trace| trace.0 < *first);
        let to = traces.partition_point(|trace| trace.0 <= *last);
        &traces[from..to]
    });
    let rows =
        |trace: &TraceId| ids.partition_point(|id| *id < trace.0)..ids.partition_point(|id| *id <= trace.0);
    traces.iter().map(rows).filter(|rows| !rows.is_empty())
}

pub(crate) fn key_values(metadata: &ParquetMetaData) -> &[parquet::file::metadata::KeyValue] {
    metadata.file_metadata().key_value_metadata().map_or(&[], Vec::as_slice)
}

fn attribute_columns(metadata: &ParquetMetaData) -> Result<Vec<(ValueType, String)>, &'static str> {
    let schema = metadata.file_metadata().schema_descr();
    let attributes = Fixed::ALL.len()..schema.num_columns().saturating_sub(LIST_LEAVES);
    attributes
        .map(|index| {
            let column = schema.column(index);
            let (kind, key) = parse_attribute_column(column.name())?;
            Some((kind, key.to_owned()))
        })
        .collect::<Option<_>>()
        .ok_or("its columns are not those of a spans file")
}

/// Prepares every chunk for reading, and checks what later reading relies on.
pub(crate) fn leaves_of(metadata: &ParquetMetaData) -> Result<Vec<Vec<Leaf>>, Wrong> {
    let offsets = metadata.offset_index().ok_or(Wrong::Damaged("it has no page index"))?;
    let rows = metadata.row_groups().iter().try_fold(0u64, |sum, group| {
        sum.checked_add(u64::try_from(group.num_rows()).ok()?).filter(|sum| *sum < u64::from(u32::MAX))
    });
    if rows.is_none() {
        return Err(Wrong::Damaged("its number of rows is none that a block can have"));
    }
    let mut groups = Vec::with_capacity(metadata.num_row_groups());
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let rows = group.num_rows();
        let mut leaves = Vec::with_capacity(group.num_columns());
        for (column, chunk) in group.columns().iter().enumerate() {
            let damage = |what| Wrong::Page { column: chunk.column_path().string(), group: number, what };
            let index = offsets.get(number).and_then(|index| index.get(column));
            let pages = index.ok_or_else(|| damage("it has no page index"))?.page_locations();
            check_pages(pages, rows, chunk).map_err(damage)?;
            leaves.push(Leaf::of(chunk).map_err(damage)?);
        }
        groups.push(leaves);
    }
    Ok(groups)
}

fn check_pages(pages: &[PageLocation], rows: i64, chunk: &ColumnChunkMetaData) -> Result<(), &'static str> {
    let first = pages.first().ok_or("it has no pages")?;
    let ascending = pages.windows(2).all(|pair| {
        pair[0].first_row_index < pair[1].first_row_index
            && pair[0].offset.checked_add(i64::from(pair[0].compressed_page_size)) == Some(pair[1].offset)
    });
    let last = pages.last().unwrap_or(first);
    let sound = first.first_row_index == 0
        && last.first_row_index < rows.max(1)
        && first.offset == chunk.data_page_offset()
        && first.offset >= 0
        && pages.iter().all(|page| page.compressed_page_size > 0)
        && last.offset.checked_add(i64::from(last.compressed_page_size)).is_some();
    if ascending && sound { Ok(()) } else { Err("its page index contradicts itself") }
}

pub(crate) fn page_range(page: &PageLocation) -> Range<u64> {
    // Checked to be ascending and not negative when the file was opened.
    let start = page.offset.unsigned_abs();
    start..start + u64::from(page.compressed_page_size.unsigned_abs())
}
