//! Rows of blocks: which are worth reading, and what is made of those that are read.
//!
//! ```text
//! statistics, distinct values ──▶ rows worth reading ──▶ what the filter needs of them ──▶ rows that match
//! ```

use std::ops::Range;
use std::sync::Arc;

use siltstone_ask::{Filter, Narrowed, Rows, Window};
use siltstone_format::block::parts::Parts;
use siltstone_format::block::ranges::Fetched;
use siltstone_format::block::read::GroupRows;
use siltstone_format::columns::SpanColumns;

use crate::cache::OpenedBlock;
use crate::hidden::HiddenHere;
use crate::querier::{Query, QueryError};

/// Row groups of one block that are under way at the same time: all of one of a million spans.
pub(crate) const PARALLEL_GROUPS: usize = 8;
/// Rows of a group that are looked at together: several whole pages of most columns.
const PIECE_ROWS: usize = 64 * 1024;
/// Rows that lie no further apart are read together: passing them over would take as long.
const LARGEST_GAP_ROWS: usize = 64;

/// Rows of a row group that may match and start in a window: no others do.
pub(crate) struct Worth {
    pub(crate) group: usize,
    /// What is left of the question in this block.
    filter: Arc<Filter>,
    pub(crate) rows: Rows,
    /// Each of them matches.
    pub(crate) is_exact: bool,
    /// Each of them starts in the window.
    pub(crate) is_inside: bool,
}

impl Worth {
    pub(crate) fn runs(&self) -> Vec<GroupRows> {
        match self.rows.is_all() {
            true => vec![GroupRows { group: self.group, rows: 0..self.rows.of() }],
            false => runs_of(self.rows.iter(), self.group),
        }
    }

    /// Those that match and start in the window, by their places in columns that were read of some rows: at least
    /// [`Self::parts`].
    pub(crate) fn matching(
        &self,
        read: &[GroupRows],
        columns: &SpanColumns,
        window: Window,
    ) -> Result<Rows, QueryError> {
        let window = if self.is_inside { Window::ALL } else { window };
        if !self.is_exact {
            return Ok(self.filter.rows_within(window, columns)?);
        }
        let inside = window.rows(columns);
        if self.rows.is_all() {
            return Ok(inside);
        }
        Ok(self.rows.within(read.iter().map(|rows| rows.rows.clone())).and(&inside))
    }

    /// What [`Self::matching`] looks at.
    pub(crate) fn parts(&self) -> Parts {
        let parts = if self.is_exact { Parts::default() } else { self.filter.parts() };
        Parts { starts: parts.starts || !self.is_inside, ..parts }
    }
}

impl Query<'_> {
    /// Which rows of a group are worth reading, told by statistics and distinct values.
    pub(crate) async fn worth_reading(
        &self,
        block: &Arc<OpenedBlock>,
        group: usize,
        filter: &Arc<Filter>,
        window: Window,
    ) -> Result<Worth, QueryError> {
        let all = GroupRows { group, rows: 0..block.spans.group_rows(group) };
        self.worth_reading_among(block, group, vec![all], filter, window).await
    }

    /// The same among some rows, which ascend. All rows are read for a filter that asks for parents.
    pub(crate) async fn worth_reading_among(
        &self,
        block: &Arc<OpenedBlock>,
        group: usize,
        among: Vec<GroupRows>,
        filter: &Arc<Filter>,
        window: Window,
    ) -> Result<Worth, QueryError> {
        let file = &block.spans;
        let starts = file.starts_of(group);
        let is_inside = starts.is_some_and(|(first, last)| window.contains(first) && window.contains(last));
        let count = file.group_rows(group);
        if starts.is_some_and(|(first, last)| !window.overlaps(first, last)) {
            let (filter, rows) = (Arc::clone(filter), Rows::none(count));
            return Ok(Worth { group, filter, rows, is_exact: true, is_inside: true });
        }
        let filter = self.left_to_ask(block, filter).await;
        // Most parents are named by their place in the trace, so traces must be read whole.
        let is_whole = filter.parts().parents;
        let worth = |narrowed: Narrowed| Worth {
            group,
            filter: Arc::clone(&filter),
            rows: match is_whole && !narrowed.is_exact && !narrowed.rows.is_empty() {
                true => Rows::all(count),
                false => narrowed.rows,
            },
            is_exact: narrowed.is_exact,
            is_inside: is_inside || window == Window::ALL,
        };
        let narrowing = filter.narrowing();
        if narrowing.is_empty() {
            let mut rows = Rows::none(count);
            among.into_iter().for_each(|run| rows.insert_all(run.rows));
            return Ok(worth(Narrowed { rows, is_exact: narrowing.is_whole() }));
        }
        let ranges = narrowing.ranges(file, group, &among);
        let narrow = {
            let filter = Arc::clone(&filter);
            move |block: &OpenedBlock, pages: &Fetched| {
                filter.narrowing().rows(&block.spans, group, &among, pages)
            }
        };
        Ok(worth(self.with_pages(block, ranges, narrow).await??))
    }

    /// What of a filter is not told by the terms of a block.
    pub(crate) async fn left_to_ask(&self, block: &Arc<OpenedBlock>, filter: &Arc<Filter>) -> Arc<Filter> {
        self.querier.blocks.left_to_ask(block, filter, self.purse()).await
    }

    /// Does on a worker what needs pages of a block. Those that were read before are kept as they were opened.
    pub(crate) async fn with_pages<T: Send + 'static>(
        &self,
        block: &Arc<OpenedBlock>,
        ranges: Vec<Range<u64>>,
        work: impl FnOnce(&OpenedBlock, &Fetched) -> T + Send + 'static,
    ) -> Result<T, QueryError> {
        let blocks = &self.querier.blocks;
        let fetched = blocks.fetch(block, ranges, self.purse()).await?;
        let slots = fetched.slots();
        let opened = Arc::clone(block);
        let done = self.work(move || work(&opened, &fetched)).await?;
        blocks.keep_opened(block.id, slots).await;
        Ok(done)
    }

    /// Reads parts of some rows, and makes something of them on a worker.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        block: &Arc<OpenedBlock>,
        rows: Vec<GroupRows>,
        parts: Parts,
        make: impl FnOnce(SpanColumns) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let ranges = block.spans.ranges_of(&rows, &parts);
        let read = move |block: &OpenedBlock, pages: &Fetched| {
            make(block.spans.read_parts(&rows, &parts, pages, &block.origins)?)
        };
        self.with_pages(block, ranges, read).await?
    }

    /// Reads parts of some rows of a group, and makes something of one piece after the other on a worker: pieces
    /// stay near the processor, and their memory is used again.
    pub(crate) async fn read_pieces<T: Send + 'static>(
        &self,
        block: &Arc<OpenedBlock>,
        rows: Vec<GroupRows>,
        parts: Parts,
        mut make: impl FnMut(&[GroupRows], SpanColumns) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<Vec<T>, QueryError> {
        let ranges = block.spans.ranges_of(&rows, &parts);
        let read = move |block: &OpenedBlock, pages: &Fetched| {
            // No piece may begin within a trace of which parents are wanted.
            let pieces = if parts.parents { vec![rows] } else { pieces_of(&rows) };
            let made = pieces.into_iter().map(|piece| {
                let columns = block.spans.read_parts(&piece, &parts, pages, &block.origins)?;
                make(&piece, columns)
            });
            made.collect()
        };
        self.with_pages(block, ranges, read).await?
    }
}

/// Cuts runs of a group where so many rows end.
fn pieces_of(runs: &[GroupRows]) -> Vec<Vec<GroupRows>> {
    let mut pieces: Vec<Vec<GroupRows>> = Vec::new();
    let mut number = None;
    for run in runs {
        let mut start = run.rows.start;
        while start < run.rows.end {
            let end = run.rows.end.min((start / PIECE_ROWS + 1) * PIECE_ROWS);
            let part = GroupRows { group: run.group, rows: start..end };
            match pieces.last_mut().filter(|_| number == Some(start / PIECE_ROWS)) {
                Some(piece) => piece.push(part),
                None => pieces.push(vec![part]),
            }
            number = Some(start / PIECE_ROWS);
            start = end;
        }
    }
    pieces
}

/// Rows that match, start in the window and are not hidden.
pub(crate) fn seen_rows(
    columns: &SpanColumns,
    filter: &Filter,
    window: Window,
    hidden: &HiddenHere,
) -> Result<Vec<u32>, QueryError> {
    Ok(without_hidden(&filter.rows_within(window, columns)?, columns, hidden))
}

/// Those of the rows that are not hidden.
pub(crate) fn without_hidden(rows: &Rows, columns: &SpanColumns, hidden: &HiddenHere) -> Vec<u32> {
    let is_seen = |row: &usize| {
        hidden.is_nothing() || !hidden.hides(&columns.trace_ids[*row], columns.starts[*row].cast_unsigned())
    };
    rows.iter().filter(is_seen).map(|row| row as u32).collect()
}

/// Ascending rows of a group as few runs, with what lies between rows that are near each other.
pub(crate) fn runs_of(rows: impl Iterator<Item = usize>, group: usize) -> Vec<GroupRows> {
    runs_with_gaps(rows, group, LARGEST_GAP_ROWS)
}

/// Ascending rows of a group as runs, and nothing else.
pub(crate) fn exact_runs_of(rows: impl Iterator<Item = usize>, group: usize) -> Vec<GroupRows> {
    runs_with_gaps(rows, group, 0)
}

fn runs_with_gaps(rows: impl Iterator<Item = usize>, group: usize, gap: usize) -> Vec<GroupRows> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for row in rows {
        match runs.last_mut() {
            Some(run) if row <= run.end + gap => run.end = row + 1,
            _ => runs.push(row..row + 1),
        }
    }
    runs.into_iter().map(|rows| GroupRows { group, rows }).collect()
}

/// Where ascending rows of a group are when these runs were read.
pub(crate) fn places_of<'a>(
    rows: impl Iterator<Item = usize> + 'a,
    runs: &'a [GroupRows],
) -> impl Iterator<Item = usize> + 'a {
    let (mut run, mut before) = (0, 0);
    rows.map(move |row| {
        while let Some(current) = runs.get(run)
            && current.rows.end <= row
        {
            before += current.rows.len();
            run += 1;
        }
        before + runs.get(run).map_or(0, |current| row - current.rows.start)
    })
}

/// Which rows of a group ascending places are when these runs were read.
pub(crate) fn rows_at<'a>(
    places: impl Iterator<Item = usize> + 'a,
    runs: &'a [GroupRows],
) -> impl Iterator<Item = usize> + 'a {
    let (mut run, mut before) = (0, 0);
    places.map(move |place| {
        while let Some(current) = runs.get(run)
            && before + current.rows.len() <= place
        {
            before += current.rows.len();
            run += 1;
        }
        runs.get(run).map_or(0, |current| current.rows.start + place - before)
    })
}

/// How many rows these are.
pub(crate) fn rows_in(runs: &[GroupRows]) -> usize {
    runs.iter().map(|run| run.rows.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_find_rows_again_in_the_runs_that_hold_them() {
        let rows = [3, 4, 9, 5_000, 10_000, 10_001];
        let runs = runs_of(rows.into_iter(), 0);
        let ranges: Vec<_> = runs.iter().map(|run| run.rows.clone()).collect();
        assert_eq!(ranges, [3..10, 5_000..5_001, 10_000..10_002]);
        assert_eq!(rows_in(&runs), 10);
        let read: Vec<usize> = ranges.into_iter().flatten().collect();
        let places = places_of(rows.into_iter(), &runs);
        assert!(places.zip(rows).all(|(place, row)| read[place] == row));
        let places = [0, 6, 7, 8, 9];
        assert!(rows_at(places.into_iter(), &runs).zip(places).all(|(row, place)| read[place] == row));
        assert!(runs_of(std::iter::empty(), 0).is_empty());
    }

    #[test]
    fn should_cut_runs_into_pieces() {
        let runs = [3..10, 20..PIECE_ROWS + 1, PIECE_ROWS + 5..4 * PIECE_ROWS];
        let runs = runs.map(|rows| GroupRows { group: 2, rows });
        let pieces: Vec<Vec<_>> = pieces_of(&runs)
            .into_iter()
            .map(|piece| piece.into_iter().map(|run| (run.rows.start, run.rows.end)).collect())
            .collect();
        let at = |number: usize| number * PIECE_ROWS;
        assert_eq!(
            pieces,
            [
                vec![(3, 10), (20, at(1))],
                vec![(at(1), at(1) + 1), (at(1) + 5, at(2))],
                vec![(at(2), at(3))],
                vec![(at(3), at(4))],
            ]
        );
        assert!(pieces_of(&[]).is_empty());
    }
}
