//! Find spans: those that match, in an order, so many of them, each once.
//!
//! As with traces, blocks are scanned the most promising first until none of those left can hold better. First only
//! what ranks spans is read, then the ids of those that may be among the first, then the first ones, whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt, stream};
use siltstone_ask::{Filter, Window, canonical_span, collapse};
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_format::block::parts::Parts;
use siltstone_format::block::read::GroupRows;
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;

use crate::cache::OpenedBlock;
use crate::hidden::HiddenHere;
use crate::limits::LimitReached;
use crate::plan::Plan;
use crate::querier::{Answer, Querier, Query, QueryError};
use crate::rank::Order;
use crate::scan::{places_of, runs_of, seen_rows};
use crate::view::View;

/// Blocks that are scanned at the same time.
const PARALLEL_BLOCKS: usize = 4;
/// Row groups of one block that are under way at the same time.
const PARALLEL_GROUPS: usize = 4;

/// Which spans are looked for.
#[derive(Clone, Debug)]
pub struct SpanSearch {
    pub tenant: Tenant,
    pub filter: Filter,
    /// They start in it.
    pub window: Window,
    /// By their own starts, or their own durations. Ties go by trace, id and content.
    pub order: Order,
    pub limit: usize,
    /// Behind the last span of an earlier answer.
    pub after: Option<SpanPosition>,
}

/// A span's place in an order: an answer goes on behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanPosition {
    /// Smaller comes first.
    pub rank: i128,
    pub trace: TraceId,
    pub span: SpanId,
    /// A hash of all that the span says.
    pub content: u128,
}

#[derive(Debug, Default)]
pub struct FoundSpans {
    /// In order.
    pub spans: Vec<Span>,
    /// Where to go on, if there are more.
    pub next: Option<SpanPosition>,
}

/// What tells spans apart without their contents.
type Key = (i128, TraceId, SpanId);

/// Where rows with a key are: a block by its number in the plan, or live spans.
type Place = Option<usize>;

/// The first keys of those that were added. Different keys are different spans, so that these hold all spans that
/// can be in the answer, and one more.
struct First {
    keys: BTreeMap<Key, BTreeSet<Place>>,
    most: usize,
    after: Option<SpanPosition>,
}

/// What all scans of one search share.
struct Shared<'a> {
    search: &'a SpanSearch,
    filter: Arc<Filter>,
    plan: &'a Plan,
    first: Mutex<First>,
}

impl Querier {
    pub async fn find_spans(&self, search: &SpanSearch) -> Result<Answer<FoundSpans>, QueryError> {
        self.within(&search.tenant, async |mut query| {
            let found = query.find_spans(search).await?;
            Ok(query.answer(found))
        })
        .await
    }
}

impl Query<'_> {
    async fn find_spans(&mut self, search: &SpanSearch) -> Result<FoundSpans, QueryError> {
        if search.limit == 0 || search.window.is_empty() {
            return Ok(FoundSpans::default());
        }
        let filter = Arc::new(search.filter.clone());
        let (view, mut plan) = self.open_matching(&search.tenant, &filter, search.window).await?;
        plan.blocks.sort_by_key(|entry| (search.best_rank(entry), entry.id()));
        // Of the spans of an earlier answer the last one may come again, by its key.
        let most = search.limit.saturating_add(2);
        let first = First { keys: BTreeMap::new(), most, after: search.after };
        let shared = Shared { search, filter, plan: &plan, first: Mutex::new(first) };
        let found = self.first_of_all(&view, &shared).await.map_err(|error| self.late_or(&view, error))?;
        if self.is_expired(&view) {
            return Err(QueryError::Expired);
        }
        self.lacks(plan.missing);
        Ok(self.in_order(search, found))
    }

    /// The spans whose keys come first.
    async fn first_of_all(&self, view: &View, shared: &Shared<'_>) -> Result<Vec<Span>, QueryError> {
        let (search, plan) = (shared.search, shared.plan);
        for segment in &view.live {
            let hidden = plan.hidden.at(segment.known_deletions);
            let rows = seen_rows(&segment.spans, &shared.filter, search.window, &hidden)?;
            self.add(shared, None, keys_of(&segment.spans, rows.into_iter(), search.order))?;
        }
        let entries = plan.blocks.iter().enumerate();
        let scans: Vec<_> = entries.map(|(number, entry)| self.scan_block(number, entry, shared)).collect();
        let mut scans = stream::iter(scans).buffered(PARALLEL_BLOCKS).enumerate();
        let may_be_better = |entry: &BlockEntry| !shared.is_beyond(search.best_rank(entry));
        let mut next = plan.blocks.first();
        while next.is_some_and(may_be_better)
            && let Some((number, scanned)) = scans.next().await
        {
            scanned?;
            next = plan.blocks.get(number + 1);
        }
        drop(scans);
        self.whole(view, shared).await
    }

    async fn scan_block(
        &self,
        number: usize,
        entry: &BlockEntry,
        shared: &Shared<'_>,
    ) -> Result<(), QueryError> {
        let block = self.querier.blocks.open(entry, self.purse()).await?;
        self.cost.read_block();
        let hidden = Arc::new(shared.plan.hidden.at(entry.clean_through));
        let scans: Vec<_> =
            block.spans.groups().map(|group| self.keys_of_group(&block, group, &hidden, shared)).collect();
        let mut scans = stream::iter(scans).buffer_unordered(PARALLEL_GROUPS);
        while let Some(keys) = scans.try_next().await? {
            self.add(shared, Some(number), keys.into_iter())?;
        }
        drop(scans);
        self.querier.blocks.used(&block).await;
        Ok(())
    }

    async fn keys_of_group(
        &self,
        block: &Arc<OpenedBlock>,
        group: GroupRows,
        hidden: &Arc<HiddenHere>,
        shared: &Shared<'_>,
    ) -> Result<Vec<Key>, QueryError> {
        let (order, window) = (shared.search.order, shared.search.window);
        let parts = Parts { starts: true, ..shared.filter.parts() };
        let parts = Parts { durations: parts.durations || order == Order::Longest, ..parts };
        self.cost.scanned(group.rows.len());
        let filter = Arc::clone(&shared.filter);
        let ranks = self.read(block, vec![group.clone()], parts, move |columns| {
            let rows = filter.rows_within(window, &columns)?;
            let ranks =
                rows.iter().map(|row| (row as u32, columns.starts[row], rank_of(&columns, row, order)));
            Ok(ranks.collect::<Vec<_>>())
        });
        let ranks = shared.promising(ranks.await?, hidden);
        if ranks.is_empty() {
            return Ok(Vec::new());
        }
        let runs = runs_of(ranks.iter().map(|(row, ..)| *row as usize), group.group);
        let ids = Parts { trace_ids: true, span_ids: true, ..Parts::default() };
        let (of_runs, hidden) = (runs.clone(), Arc::clone(hidden));
        self.read(block, runs, ids, move |columns| {
            let places = places_of(ranks.iter().map(|(row, ..)| *row as usize), &of_runs).zip(&ranks);
            let seen = places.filter(|(place, (_, start, _))| {
                !hidden.hides(&columns.trace_ids[*place], start.cast_unsigned())
            });
            let key = |(place, (_, _, rank)): (usize, &(u32, i64, i128))| {
                (*rank, columns.trace_ids[place], columns.span_ids[place])
            };
            Ok(seen.map(key).collect())
        })
        .await
    }

    fn add(
        &self,
        shared: &Shared<'_>,
        place: Place,
        keys: impl Iterator<Item = Key>,
    ) -> Result<(), QueryError> {
        let mut first = shared.first.lock().unwrap_or_else(PoisonError::into_inner);
        keys.for_each(|key| first.add(key, place));
        match first.keys.len() > self.limits.spans.saturating_add(2) {
            true => Err(LimitReached::Spans(self.limits.spans).into()),
            false => Ok(()),
        }
    }

    /// All spans with the first keys.
    async fn whole(&self, view: &View, shared: &Shared<'_>) -> Result<Vec<Span>, QueryError> {
        let (search, plan) = (shared.search, shared.plan);
        let keys = shared.keys();
        let mut traces = BTreeMap::<Place, BTreeSet<TraceId>>::new();
        for ((_, trace, _), places) in &keys {
            for place in places {
                traces.entry(*place).or_default().insert(*trace);
            }
        }
        let mut spans = Vec::new();
        for segment in view.live.iter().filter(|_| traces.contains_key(&None)) {
            let hidden = plan.hidden.at(segment.known_deletions);
            for row in seen_rows(&segment.spans, &shared.filter, search.window, &hidden)? {
                let row = row as usize;
                if keys.contains_key(&key_of(&segment.spans, row, search.order)) {
                    spans.push(segment.spans.get(row)?);
                }
            }
        }
        let is_first = |span: &Span| {
            search.window.contains(span.start_unix_nano)
                && keys.contains_key(&(rank_of_span(span, search.order), span.trace_id, span.span_id))
                && search.filter.matches(span)
        };
        let reads: Vec<_> = traces
            .into_iter()
            .filter_map(|(place, traces)| Some((plan.blocks.get(place?)?, traces)))
            .map(|(entry, traces)| async move {
                let traces = Arc::new(traces.into_iter().collect());
                self.traces_of_block(entry, &traces, &plan.hidden).await
            })
            .collect();
        let mut reads = stream::iter(reads).buffered(PARALLEL_BLOCKS);
        while let Some(read) = reads.try_next().await? {
            spans.extend(read.into_iter().filter(&is_first));
            if spans.len() > self.limits.spans {
                return Err(LimitReached::Spans(self.limits.spans).into());
            }
        }
        Ok(spans)
    }

    fn in_order(&self, search: &SpanSearch, spans: Vec<Span>) -> FoundSpans {
        let before = spans.len();
        let spans = collapse(spans);
        self.cost.collapsed(before - spans.len());
        let mut placed: Vec<(SpanPosition, Span)> =
            spans.into_iter().map(|span| (SpanPosition::of(&span, search.order), span)).collect();
        placed.retain(|(position, _)| search.after.is_none_or(|after| *position > after));
        placed.sort_by_key(|(position, _)| *position);
        let is_all = placed.len() <= search.limit;
        placed.truncate(search.limit);
        let next = placed.last().map(|(position, _)| *position).filter(|_| !is_all);
        FoundSpans { spans: placed.into_iter().map(|(_, span)| span).collect(), next }
    }
}

impl SpanSearch {
    /// What the best span of a block may be.
    fn best_rank(&self, entry: &BlockEntry) -> i128 {
        let spans = &entry.summary.spans;
        let earliest = spans.min_start_unix_nano.max(self.window.start);
        match self.order {
            Order::Oldest => self.order.rank_of_start(earliest),
            Order::Newest => self.order.rank_of_start(spans.max_start_unix_nano.min(self.window.end - 1)),
            Order::Longest => i128::from(earliest) - i128::from(spans.max_end_unix_nano),
        }
    }
}

impl SpanPosition {
    fn of(span: &Span, order: Order) -> Self {
        Self {
            rank: rank_of_span(span, order),
            trace: span.trace_id,
            span: span.span_id,
            content: xxhash_rust::xxh3::xxh3_128(&canonical_span(span)),
        }
    }
}

impl Shared<'_> {
    fn keys(&self) -> BTreeMap<Key, BTreeSet<Place>> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).keys.clone()
    }

    fn is_beyond(&self, rank: i128) -> bool {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).is_beyond(rank)
    }

    /// Rows that may be among the first. Of one rank there may be many that are one span, so that ranks are counted.
    fn promising(&self, mut rows: Vec<(u32, i64, i128)>, hidden: &HiddenHere) -> Vec<(u32, i64, i128)> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        rows.retain(|(.., rank)| first.may_take(*rank));
        if !hidden.is_nothing() {
            // Any of them may turn out not to be seen.
            return rows;
        }
        let mut ranks = BTreeSet::new();
        for (.., rank) in &rows {
            if ranks.len() < first.most || ranks.last().is_some_and(|last| rank < last) {
                ranks.insert(*rank);
            }
            if ranks.len() > first.most {
                ranks.pop_last();
            }
        }
        rows.retain(|(.., rank)| ranks.last().is_some_and(|last| rank <= last));
        rows
    }
}

impl First {
    fn add(&mut self, key: Key, place: Place) {
        let is_behind = self.after.is_none_or(|after| key >= (after.rank, after.trace, after.span));
        if !is_behind || !self.may_take(key.0) {
            return;
        }
        self.keys.entry(key).or_default().insert(place);
        if self.keys.len() > self.most {
            self.keys.pop_last();
        }
    }

    /// Whether a span of this rank may be among the first.
    fn may_take(&self, rank: i128) -> bool {
        !self.is_beyond(rank) && self.after.is_none_or(|after| rank >= after.rank)
    }

    /// Whether all of the first are better than any of this rank.
    fn is_beyond(&self, rank: i128) -> bool {
        let last = self.keys.last_key_value();
        self.keys.len() >= self.most && last.is_some_and(|((last, ..), _)| rank > *last)
    }
}

fn keys_of(
    columns: &SpanColumns,
    rows: impl Iterator<Item = u32>,
    order: Order,
) -> impl Iterator<Item = Key> {
    rows.map(move |row| key_of(columns, row as usize, order))
}

fn key_of(columns: &SpanColumns, row: usize, order: Order) -> Key {
    (rank_of(columns, row, order), columns.trace_ids[row], columns.span_ids[row])
}

fn rank_of(columns: &SpanColumns, row: usize, order: Order) -> i128 {
    let start = columns.starts[row].cast_unsigned();
    match order {
        Order::Newest | Order::Oldest => order.rank_of_start(start),
        Order::Longest => {
            i128::from(start) - i128::from(start.wrapping_add(columns.durations[row].cast_unsigned()))
        }
    }
}

fn rank_of_span(span: &Span, order: Order) -> i128 {
    match order {
        Order::Newest | Order::Oldest => order.rank_of_start(span.start_unix_nano),
        Order::Longest => i128::from(span.start_unix_nano) - i128::from(span.end_unix_nano),
    }
}
