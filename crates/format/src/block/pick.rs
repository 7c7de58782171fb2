//! Which rows of which pages are wanted.

use std::ops::Range;

use parquet::file::page_index::offset_index::PageLocation;

/// Rows of one page that are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Counted from the page's first.
    pub(crate) rows: Range<usize>,
    /// The row that the first of them becomes.
    pub(crate) target: u32,
}

/// A page of which something is wanted.
#[derive(Debug)]
pub(crate) struct PagePick<'a> {
    pub(crate) page: &'a PageLocation,
    /// Rows of the page by the index.
    pub(crate) rows: usize,
    /// Ascending.
    pub(crate) pieces: Vec<Piece>,
}

/// The pages of a chunk that hold ranges of a group's rows. Ranges are ascending; their
/// rows become those from `base` on.
pub(crate) fn pick_pages(
    pages: &[PageLocation],
    group_rows: usize,
    ranges: impl Iterator<Item = Range<usize>>,
    base: u32,
) -> Vec<PagePick<'_>> {
    let mut picks: Vec<PagePick<'_>> = Vec::new();
    let mut target = base as usize;
    let first_row = |page: &PageLocation| page.first_row_index as usize;
    for range in ranges.filter(|range| !range.is_empty()) {
        let first = pages.partition_point(|page| first_row(page) <= range.start).saturating_sub(1);
        for (index, page) in pages.iter().enumerate().skip(first) {
            let start = first_row(page);
            if start >= range.end {
                break;
            }
            let end = pages.get(index + 1).map_or(group_rows, first_row);
            let rows = range.start.max(start)..range.end.min(end);
            if rows.is_empty() {
                continue;
            }
            let piece = Piece {
                rows: rows.start - start..rows.end - start,
                target: (target + rows.start - range.start) as u32,
            };
            match picks.last_mut() {
                Some(last) if first_row(last.page) == start => last.pieces.push(piece),
                _ => picks.push(PagePick { page, rows: end - start, pieces: vec![piece] }),
            }
        }
        target += range.len();
    }
    picks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(rows: &[i64]) -> Vec<PageLocation> {
        let page = |row: &i64| PageLocation { offset: 0, compressed_page_size: 1, first_row_index: *row };
        rows.iter().map(page).collect()
    }

    #[test]
    fn should_pick_each_page_once_and_number_its_rows_on() {
        let pages = pages(&[0, 10, 20, 30]);
        let ranges = [2..4, 7..7, 8..21, 25..26, 39..40];
        let picks = pick_pages(&pages, 40, ranges.into_iter(), 100);
        let found: Vec<_> = picks
            .iter()
            .map(|pick| {
                let pieces: Vec<_> =
                    pick.pieces.iter().map(|piece| (piece.rows.clone(), piece.target)).collect();
                (pick.page.first_row_index, pick.rows, pieces)
            })
            .collect();
        let expected = [
            (0, 10, vec![(2..4, 100), (8..10, 102)]),
            (10, 10, vec![(0..10, 104)]),
            (20, 10, vec![(0..1, 114), (5..6, 115)]),
            (30, 10, vec![(9..10, 116)]),
        ];
        assert_eq!(found, expected);
        assert!(pick_pages(&pages, 40, std::iter::empty(), 0).is_empty());
    }
}
