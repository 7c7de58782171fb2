//! What who reads a file from front to back asks beside the rows.

use std::ops::Range;
use std::sync::OnceLock;

use parquet::file::page_index::column_index::{ByteArrayColumnIndex, ColumnIndexMetaData};

use super::read::SpansFile;
use super::schema::Fixed;
use crate::id::TraceId;

impl SpansFile {
    /// The bytes of a row group.
    pub fn group_range(&self, group: usize) -> Range<u64> {
        let chunks = self.metadata().row_group(group).columns().iter();
        let ranges = chunks.map(|chunk| {
            let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset()).unsigned_abs();
            start..start.saturating_add(chunk.compressed_size().unsigned_abs())
        });
        let all = ranges.reduce(|all, next| all.start.min(next.start)..all.end.max(next.end));
        all.unwrap_or_default()
    }

    /// The first trace of a row group, if its bounds are known.
    pub fn first_trace_of(&self, group: usize) -> Option<TraceId> {
        self.trace_bound(group, |index, _| index.min_value(0))
    }

    /// The last trace of a row group, if its bounds are known.
    pub fn last_trace_of(&self, group: usize) -> Option<TraceId> {
        self.trace_bound(group, |index, last| index.max_value(last))
    }

    /// Holds dictionaries of many texts in a third of the memory: for who reads rows of many files at the same time.
    /// Nothing else can be asked of these columns then.
    pub fn pack_dictionaries(&mut self) {
        self.packs_dictionaries = true;
    }

    /// Frees the dictionaries of a row group that were read.
    pub fn forget_dictionaries(&mut self, group: usize) {
        if let Some(dictionaries) = self.dictionaries.get_mut(group) {
            dictionaries.fill_with(OnceLock::new);
        }
    }

    /// A bound of a group by its pages, of which the last one has this number.
    fn trace_bound(
        &self,
        group: usize,
        bound: impl Fn(&ByteArrayColumnIndex, usize) -> Option<&[u8]>,
    ) -> Option<TraceId> {
        let index = self.metadata().column_index()?.get(group)?.get(Fixed::TraceId as usize)?;
        let ColumnIndexMetaData::FIXED_LEN_BYTE_ARRAY(index) = index else { return None };
        let last = (index.num_pages() as usize).checked_sub(1)?;
        bound(index, last)?.try_into().ok().map(TraceId)
    }
}
