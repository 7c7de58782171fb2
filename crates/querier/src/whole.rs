//! All traces that have a span which starts in a window, whole, wherever their other spans lie, slice by slice of
//! trace ids.
//!
//! ```text
//! a range of ids ──▶ ids and starts in the window's blocks ──▶ the traces ──▶ blocks that may hold them ──▶ rows
//!       ▲                       │
//!       └──── too many: halves ─┘
//! ```
//!
//! Blocks are sorted by trace, so that a range of ids is a run of rows in each; what is held at a time is one
//! slice. All slices are of one view. Blocks outside of the window are asked by their trace filters, and read where
//! these say so.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt, stream};
use siltstone_ask::slice::{Chunk, Slice};
use siltstone_ask::{Filter, Window};
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_format::block::parts::Parts;
use siltstone_format::block::ranges::Fetched;
use siltstone_format::block::read::GroupRows;
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::{BlockId, TraceId};
use siltstone_format::tenant::Tenant;
use siltstone_live::question::{Question, Wanted};

use crate::cache::OpenedBlock;
use crate::hidden::HiddenHere;
use crate::ids::{Ids, Notes, ROWS_OF_A_SLICE, after, even_ranges, overlaps};
use crate::limits::LimitReached;
use crate::once::joined;
use crate::plan::Plan;
use crate::querier::{Query, QueryError};
use crate::traces::{once_in_order, only_traces};
use crate::view::View;

/// Rows of which a slice is halved, unless they are of one trace.
const MOST_ROWS: usize = 4 * ROWS_OF_A_SLICE as usize;
/// Blocks that are read at the same time.
const PARALLEL_BLOCKS: usize = 4;
/// Traces for which blocks are chosen without asking their own filters: groups of filters were asked.
const FEW_TRACES: usize = 1_000;
/// Runs that lie no further apart are fetched together: pages have more rows than that.
const LARGEST_GAP_ROWS: usize = 4_096;

/// A walk over whole traces, see [`Query::next_slice`].
pub(crate) struct WholeTraces {
    window: Window,
    parts: Parts,
    view: View,
    /// Of the blocks that may hold a span which starts in the window.
    plan: Plan,
    inside: HashSet<BlockId>,
    /// What is still to be walked, the next one last.
    left: Vec<Ids>,
    most_rows: usize,
}

/// What a range of ids turned out to be.
enum Found {
    Slice(Slice),
    /// Too much: to be cut behind this trace.
    Halves(TraceId),
}

impl Query<'_> {
    /// Begins a walk. Of the spans these parts are read, and their ids and starts.
    pub(crate) async fn whole_traces(
        &mut self,
        tenant: &Tenant,
        window: Window,
        parts: Parts,
    ) -> Result<WholeTraces, QueryError> {
        // Live traces must be whole too.
        let wanted = Wanted::Matching { filter: None, window: Window::ALL };
        let view = self.open(&Question { tenant: tenant.clone(), wanted }).await?;
        let plan = self.planner(&view).of_filter(&Filter::all(), window).await;
        let mut plan = plan.map_err(|error| self.late_or(&view, error.into()))?;
        self.lacks(std::mem::take(&mut plan.missing));
        let inside = plan.blocks.iter().map(BlockEntry::id).collect();
        let blocks = plan.blocks.iter().map(|entry| &entry.summary.spans);
        let blocks = blocks.map(|spans| (spans.first_trace..=spans.last_trace, spans.rows));
        let left = if window.is_empty() { Vec::new() } else { even_ranges(blocks) };
        let parts = Parts { trace_ids: true, span_ids: true, starts: true, ..parts };
        let most_rows = MOST_ROWS.min(self.limits.spans);
        Ok(WholeTraces { window, parts, view, plan, inside, left, most_rows })
    }

    /// The next traces by their ids; none, if these were all.
    pub(crate) async fn next_slice(&mut self, walk: &mut WholeTraces) -> Result<Option<Slice>, QueryError> {
        while let Some(ids) = walk.left.pop() {
            let found = self.slice(walk, &ids).await.map_err(|error| self.late_or(&walk.view, error))?;
            if self.is_expired(&walk.view) {
                return Err(QueryError::Expired);
            }
            match found {
                Some(Found::Slice(slice)) => return Ok(Some(slice)),
                Some(Found::Halves(middle)) => {
                    walk.left.push(after(middle)..=*ids.end());
                    walk.left.push(*ids.start()..=middle);
                }
                None => {}
            }
        }
        Ok(None)
    }

    async fn slice(&mut self, walk: &WholeTraces, ids: &Ids) -> Result<Option<Found>, QueryError> {
        let notes = self.notes(walk, ids).await?;
        if notes.rows > walk.most_rows
            && let Some(middle) = notes.middle()
        {
            return Ok(Some(Found::Halves(middle)));
        }
        let wanted = notes.traces.into_iter().filter(|(_, noted)| noted.is_wanted);
        let wanted: Arc<Vec<TraceId>> = Arc::new(wanted.map(|(trace, _)| trace).collect());
        if wanted.is_empty() {
            return Ok(None);
        }
        let plan = self.planner(&walk.view).of_traces(&wanted).await?;
        self.lacks(plan.missing);
        let Some(chunks) = self.chunks(walk, &plan.blocks, &wanted, &walk.parts).await? else {
            return match &wanted[..] {
                [_] => Err(LimitReached::Spans(self.limits.spans).into()),
                several => Ok(Some(Found::Halves(several[several.len() / 2 - 1]))),
            };
        };
        let (mut slice, doubtful) = self.work(move || Slice::of(chunks)).await?;
        if !doubtful.is_empty() {
            let doubtful = Arc::new(doubtful);
            let whole = self.chunks(walk, &plan.blocks, &doubtful, &Parts::all()).await?;
            let whole = whole.ok_or(LimitReached::Spans(self.limits.spans))?;
            let collapse = move || {
                let (once, collapsed) = once(&whole)?;
                Ok::<_, QueryError>((slice.with_instead(&doubtful, once), collapsed))
            };
            let collapsed;
            (slice, collapsed) = self.work(collapse).await??;
            self.cost.collapsed(collapsed);
        }
        Ok(Some(Found::Slice(slice)))
    }

    /// Which traces there are in a range, by what may start in the window: live spans and the window's blocks.
    async fn notes(&self, walk: &WholeTraces, ids: &Ids) -> Result<Notes, QueryError> {
        let mut notes = Notes::default();
        for segment in &walk.view.live {
            let hidden = walk.plan.hidden.at(segment.known_deletions);
            notes.add(&segment.spans, ids, walk.window, &hidden);
        }
        let here = walk.plan.blocks.iter().filter(|entry| overlaps(entry, ids));
        let reads: Vec<_> = here.map(|entry| self.notes_of_block(walk, entry, ids)).collect();
        let mut reads = stream::iter(reads).buffer_unordered(PARALLEL_BLOCKS);
        while let Some(read) = reads.next().await {
            notes.merge(read?);
            if notes.rows > walk.most_rows && notes.traces.len() > 1 {
                break;
            }
        }
        Ok(notes)
    }

    async fn notes_of_block(
        &self,
        walk: &WholeTraces,
        entry: &BlockEntry,
        ids: &Ids,
    ) -> Result<Notes, QueryError> {
        let block = self.querier.blocks.open(entry, self.purse()).await?;
        let hidden = Arc::new(walk.plan.hidden.at(entry.clean_through));
        let parts = Parts { trace_ids: true, starts: true, ..Parts::default() };
        let mut notes = Notes::default();
        for rows in block.spans.find_between(ids.start(), ids.end()) {
            let (ids, window, hidden) = (ids.clone(), walk.window, Arc::clone(&hidden));
            let note = move |columns: SpanColumns| {
                let mut notes = Notes::default();
                notes.add(&columns, &ids, window, &hidden);
                Ok(notes)
            };
            notes.merge(self.read(&block, vec![rows], parts.clone(), note).await?);
            if notes.rows > walk.most_rows && notes.traces.len() > 1 {
                break;
            }
        }
        Ok(notes)
    }

    /// Parts of all spans of some traces. None: these are more than may be held.
    async fn chunks(
        &self,
        walk: &WholeTraces,
        blocks: &[BlockEntry],
        traces: &Arc<Vec<TraceId>>,
        parts: &Parts,
    ) -> Result<Option<Vec<Chunk>>, QueryError> {
        let mut chunks = Vec::new();
        for segment in &walk.view.live {
            let hidden = walk.plan.hidden.at(segment.known_deletions);
            chunks.push(live_chunk(&segment.spans, traces, &hidden)?);
        }
        let reads: Vec<_> =
            blocks.iter().map(|entry| self.chunk_of_block(walk, entry, traces, parts)).collect();
        let mut reads = stream::iter(reads).buffered(PARALLEL_BLOCKS);
        let mut rows: usize = chunks.iter().map(|chunk| chunk.rows.len()).sum();
        while let Some(read) = reads.next().await {
            let Some(chunk) = read? else { continue };
            rows += chunk.rows.len();
            if rows > self.limits.spans {
                return Ok(None);
            }
            chunks.push(chunk);
        }
        Ok(Some(chunks))
    }

    async fn chunk_of_block(
        &self,
        walk: &WholeTraces,
        entry: &BlockEntry,
        traces: &Arc<Vec<TraceId>>,
        parts: &Parts,
    ) -> Result<Option<Chunk>, QueryError> {
        let blocks = &self.querier.blocks;
        let must_ask = traces.len() > FEW_TRACES && !walk.inside.contains(&entry.id());
        let may_hold = match must_ask {
            true => Arc::new(blocks.held_traces(entry, traces, self.purse()).await),
            false => Arc::clone(traces),
        };
        if may_hold.is_empty() {
            return Ok(None);
        }
        let block = blocks.open(entry, self.purse()).await?;
        let rows = self.rows_of_traces(&block, &may_hold).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        self.cost.read_block();
        let near = joined(rows.clone(), LARGEST_GAP_ROWS);
        let ranges = block.spans.ranges_of(&near, parts);
        let parts = parts.clone();
        let hidden = walk.plan.hidden.at(entry.clean_through);
        let read = move |block: &OpenedBlock, pages: &Fetched| {
            let columns = block.spans.read_parts(&rows, &parts, pages, &block.origins)?;
            Ok::<_, QueryError>(Chunk::of(columns, |trace, start| !hidden.hides(trace, start)))
        };
        let chunk = self.with_pages(&block, ranges, read).await??;
        blocks.used(&block).await;
        Ok(Some(chunk))
    }

    /// Exactly the rows that are of some traces, which are sorted: whole traces, as parents are named by places.
    async fn rows_of_traces(
        &self,
        block: &Arc<OpenedBlock>,
        traces: &Arc<Vec<TraceId>>,
    ) -> Result<Vec<GroupRows>, QueryError> {
        let mut pages: Vec<GroupRows> = traces.iter().flat_map(|trace| block.spans.find(trace)).collect();
        pages.sort_by_key(|rows| (rows.group, rows.rows.start));
        let pages = joined(pages, 0);
        let (of_columns, traces) = (pages.clone(), Arc::clone(traces));
        let ids = Parts { trace_ids: true, ..Parts::default() };
        self.read(block, pages, ids, move |columns| Ok(runs_of(&columns.trace_ids, &of_columns, &traces)))
            .await
    }
}

/// Runs of rows that are of some traces, among the rows of some pages.
fn runs_of(ids: &[TraceId], pages: &[GroupRows], traces: &[TraceId]) -> Vec<GroupRows> {
    let mut runs: Vec<GroupRows> = Vec::new();
    let mut row = 0;
    for page in pages {
        let of_page = &ids[row..row + page.rows.len()];
        row += page.rows.len();
        let mut first = page.rows.start;
        for run in of_page.chunk_by(|one, next| one == next) {
            let rows = first..first + run.len();
            first = rows.end;
            if traces.binary_search(&run[0]).is_err() {
                continue;
            }
            match runs.last_mut() {
                Some(last) if last.group == page.group && last.rows.end == rows.start => {
                    last.rows.end = rows.end;
                }
                _ => runs.push(GroupRows { group: page.group, rows }),
            }
        }
    }
    runs
}

fn live_chunk(columns: &SpanColumns, traces: &[TraceId], hidden: &HiddenHere) -> Result<Chunk, QueryError> {
    let chosen = only_traces(columns, traces)?.unwrap_or_else(|| columns.clone());
    Ok(Chunk::of(chosen, |trace, start| !hidden.hides(trace, start)))
}

/// Whole spans, each once, and how many were there more often.
fn once(chunks: &[Chunk]) -> Result<(SpanColumns, usize), QueryError> {
    let mut spans = Vec::new();
    for chunk in chunks {
        for row in &chunk.rows {
            spans.push(chunk.columns.get(*row as usize)?);
        }
    }
    let before = spans.len();
    let spans = once_in_order(spans);
    let mut columns = SpanColumns::default();
    for span in &spans {
        // It was in columns before, so it is fit for columns.
        columns.push(span).map_err(|rejected| QueryError::Refused(rejected.to_string()))?;
    }
    Ok((columns, before - spans.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(number: u8) -> TraceId {
        TraceId([number; 16])
    }

    fn rows(group: usize, rows: std::ops::Range<usize>) -> GroupRows {
        GroupRows { group, rows }
    }

    #[test]
    fn should_find_exactly_the_rows_of_traces_among_those_of_pages() {
        let ids = [1, 1, 2, 3, 3, 3, 5, 5].map(trace);
        let pages = [rows(0, 10..14), rows(1, 0..2), rows(1, 7..9)];
        let found = |wanted: &[u8]| {
            runs_of(&ids, &pages, &wanted.iter().map(|number| trace(*number)).collect::<Vec<_>>())
        };
        assert_eq!(found(&[1, 2]), [rows(0, 10..13)]);
        assert_eq!(found(&[1, 3]), [rows(0, 10..12), rows(0, 13..14), rows(1, 0..2)]);
        assert_eq!(found(&[2, 4, 5]), [rows(0, 12..13), rows(1, 7..9)]);
        assert_eq!(found(&[4]), []);
    }
}
