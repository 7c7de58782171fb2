//! Whole traces on their way to a client, piece by piece: however many spans an answer has, few are held.
//!
//! ```text
//! ids ──▶ one view, one plan ──▶ traces that are small, many at once ──────▶ pieces
//!                            └─▶ one that is large, merged from its blocks ─▶
//! ```

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use siltstone_ask::{Filter, Window};
use siltstone_format::id::{BlockId, TraceId};
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_live::question::{Question, Wanted};

use crate::cost::CostReport;
use crate::large::LargeTrace;
use crate::limits::LimitReached;
use crate::metrics::Outcome;
use crate::plan::Plan;
use crate::querier::{Querier, Query, QueryError, Turn};
use crate::rank::Position;
use crate::search::Search;
use crate::view::View;

/// Spans of a piece, about.
pub(crate) const PIECE_SPANS: usize = 1_000;
/// Rows that a trace may have, as far as page indexes tell, and still be read as a whole.
const LARGE_ROWS: usize = 32 * 1024;
/// The same of all traces that are read together. Most have far fewer: they lie within one page, which others share,
/// so that it counts once and is opened once for all of them.
const BATCH_ROWS: usize = 1024 * 1024;
/// Spans of traces that are read together. If they have more, they are read in halves.
const BATCH_SPANS: usize = 256 * 1024;
/// Blocks that are opened at the same time.
const PARALLEL_BLOCKS: usize = 8;

/// Some spans of one trace. Those of a trace come one after the other, by start, id and content.
#[derive(Debug, PartialEq)]
pub struct TracePiece {
    pub trace: TraceId,
    /// At least one.
    pub spans: Vec<Span>,
    /// No more spans of this trace follow.
    pub is_last: bool,
}

/// Traces that come piece by piece. Whoever drops it stops all work for it.
pub struct TraceStream {
    querier: Arc<Querier>,
    turn: Arc<Turn>,
    gaps: Vec<String>,
    walk: Walk,
    next_page: Option<Position>,
}

/// How far an answer has come.
#[derive(Default)]
struct Walk {
    /// None: no trace is asked for.
    source: Option<Source>,
    /// Only traces that have such a span, if that is asked for.
    matching: Option<(Filter, Window)>,
    left: VecDeque<Batch>,
    large: Option<LargeTrace>,
    ready: VecDeque<TracePiece>,
}

/// Where all spans of an answer are read from.
struct Source {
    view: View,
    plan: Plan,
}

enum Batch {
    /// In the order of the answer.
    Small(Vec<TraceId>),
    Large(TraceId),
}

impl Querier {
    /// Found traces, in the order of the search, piece by piece.
    pub async fn stream_search(self: &Arc<Self>, search: &Search) -> Result<TraceStream, QueryError> {
        let turn = self.turn(&search.tenant).await?;
        let mut query = self.query(&turn);
        let begin = async {
            let (traces, next_page) = query.first_found(search).await?;
            let mut walk = query.walk(&search.tenant, traces).await?;
            walk.matching = Some((search.filter.clone(), search.window));
            Ok((walk, next_page))
        };
        let (walk, next_page) = self.within_turn(&turn, begin).await?;
        let gaps = query.gaps;
        Ok(TraceStream { querier: Arc::clone(self), turn: Arc::new(turn), gaps, walk, next_page })
    }

    /// Those of some traces that there are, ascending by id, piece by piece.
    pub async fn stream_traces(
        self: &Arc<Self>,
        tenant: &Tenant,
        traces: &[TraceId],
    ) -> Result<TraceStream, QueryError> {
        let turn = self.turn(tenant).await?;
        let mut query = self.query(&turn);
        let traces: BTreeSet<TraceId> = traces.iter().copied().collect();
        let begin = query.walk(tenant, traces.into_iter().collect());
        let walk = self.within_turn(&turn, begin).await?;
        let gaps = query.gaps;
        Ok(TraceStream { querier: Arc::clone(self), turn: Arc::new(turn), gaps, walk, next_page: None })
    }
}

impl TraceStream {
    /// The next spans; none: these were all. After an error nothing more comes.
    pub async fn next(&mut self) -> Result<Option<TracePiece>, QueryError> {
        self.read_on().await?;
        Ok(self.walk.ready.pop_front())
    }

    /// The next spans of as many traces as make a piece together.
    pub(crate) async fn next_pieces(&mut self) -> Result<Option<Vec<TracePiece>>, QueryError> {
        self.read_on().await?;
        let (mut pieces, mut spans) = (Vec::new(), 0);
        while spans < PIECE_SPANS
            && let Some(piece) = self.walk.ready.pop_front()
        {
            spans += piece.spans.len();
            pieces.push(piece);
        }
        Ok((!pieces.is_empty()).then_some(pieces))
    }

    /// Makes pieces ready, unless there are no more.
    async fn read_on(&mut self) -> Result<(), QueryError> {
        let mut query = Query {
            querier: &self.querier,
            limits: self.turn.limits,
            cost: Arc::clone(&self.turn.cost),
            gaps: Vec::new(),
        };
        let read = self.querier.within_turn(&self.turn, query.make_ready(&mut self.walk)).await;
        self.gaps.append(&mut query.gaps);
        match &read {
            Ok(()) if self.walk.ready.is_empty() => self.turn.ends(Outcome::Answered),
            Ok(()) => {}
            Err(_) => self.walk = Walk::default(),
        }
        read
    }

    pub(crate) fn querier(&self) -> &Arc<Querier> {
        &self.querier
    }

    /// Held by all that is still done for the answer.
    pub(crate) fn turn(&self) -> &Arc<Turn> {
        &self.turn
    }

    /// What the answer lacks, as far as it is known by now.
    pub fn gaps(&self) -> &[String] {
        &self.gaps
    }

    /// Where a search goes on, if there are more traces.
    pub fn next_page(&self) -> Option<Position> {
        self.next_page
    }

    /// What the answer has cost so far.
    pub fn cost(&self) -> CostReport {
        self.turn.cost.report()
    }
}

impl Query<'_> {
    /// Begins to read traces, which are all different.
    async fn walk(&mut self, tenant: &Tenant, traces: Vec<TraceId>) -> Result<Walk, QueryError> {
        if traces.is_empty() {
            return Ok(Walk::default());
        }
        let mut sorted = traces.clone();
        sorted.sort_unstable();
        let question = Question { tenant: tenant.clone(), wanted: Wanted::Traces(sorted.clone()) };
        let view = self.open(&question).await?;
        let plan = self.planner(&view).of_traces(&sorted).await;
        let mut plan = plan.map_err(|error| self.late_or(&view, error.into()))?;
        self.lacks(std::mem::take(&mut plan.missing));
        self.gaps.sort();
        self.gaps.dedup();
        let most_rows = self.most_rows(&view, &plan, &sorted).await;
        let most_rows = most_rows.map_err(|error| self.late_or(&view, error))?;
        let left = batches(traces, &most_rows);
        Ok(Walk { source: Some(Source { view, plan }), left, ..Walk::default() })
    }

    /// Which rows may be of each trace, from page indexes alone.
    async fn most_rows(
        &self,
        view: &View,
        plan: &Plan,
        traces: &[TraceId],
    ) -> Result<HashMap<TraceId, MostRows>, QueryError> {
        let mut most = HashMap::<TraceId, MostRows>::new();
        for trace in view.live.iter().flat_map(|segment| &segment.spans.trace_ids) {
            most.entry(*trace).or_default().live += 1;
        }
        let opens: Vec<_> =
            plan.blocks.iter().map(|entry| self.querier.blocks.open(entry, self.purse())).collect();
        let mut opens = stream::iter(opens).buffered(PARALLEL_BLOCKS);
        while let Some(block) = opens.try_next().await? {
            for trace in traces {
                let found = block.spans.find(trace).into_iter();
                let stored: Vec<Stored> = found.map(|rows| (block.id, rows.group, rows.rows)).collect();
                if !stored.is_empty() {
                    most.entry(*trace).or_default().stored.extend(stored);
                }
            }
        }
        Ok(most)
    }

    /// Reads until pieces are ready, or all was read.
    async fn make_ready(&mut self, walk: &mut Walk) -> Result<(), QueryError> {
        while walk.ready.is_empty() {
            let Some(source) = walk.source.take() else { return Ok(()) };
            let more =
                self.read_part(walk, &source).await.map_err(|error| self.late_or(&source.view, error))?;
            if self.is_expired(&source.view) {
                return Err(QueryError::Expired);
            }
            walk.source = more.then_some(source);
        }
        Ok(())
    }

    /// Makes more pieces ready, if the next part has any; false: there are no more.
    async fn read_part(&mut self, walk: &mut Walk, source: &Source) -> Result<bool, QueryError> {
        let Source { view, plan } = source;
        if let Some(mut large) = walk.large.take() {
            let (spans, is_last) = self.next_part(&mut large, view).await?;
            if !spans.is_empty() {
                walk.ready.push_back(TracePiece { trace: large.id(), spans, is_last });
            }
            walk.large = (!is_last).then_some(large);
            return Ok(true);
        }
        match walk.left.pop_front() {
            Some(Batch::Large(trace)) => walk.large = Some(self.large_trace(trace, view, plan).await?),
            Some(Batch::Small(traces)) => match self.traces_of(view, plan, &traces, BATCH_SPANS).await {
                Err(QueryError::Limit(LimitReached::Spans(_))) if traces.len() > 1 => {
                    let (first, second) = traces.split_at(traces.len() / 2);
                    walk.left.push_front(Batch::Small(second.to_vec()));
                    walk.left.push_front(Batch::Small(first.to_vec()));
                }
                whole => {
                    let mut whole = whole?;
                    let spans = traces.into_iter().filter_map(|trace| Some((trace, whole.remove(&trace)?)));
                    let matching = walk.matching.as_ref();
                    let wanted =
                        spans.filter(|(_, spans)| matching.is_none_or(|wanted| holds(spans, wanted)));
                    walk.ready.extend(wanted.flat_map(|(trace, spans)| cut(trace, spans)));
                }
            },
            None => return Ok(false),
        }
        Ok(true)
    }
}

/// Whether one of the spans is what was searched for: others may have been deleted meanwhile.
fn holds(spans: &[Span], (filter, window): &(Filter, Window)) -> bool {
    spans.iter().any(|span| window.contains(span.start_unix_nano) && filter.matches(span))
}

/// Rows of whole pages of a block's row group.
type Stored = (BlockId, usize, Range<usize>);

/// Rows that may be of a trace.
#[derive(Default)]
struct MostRows {
    live: usize,
    stored: Vec<Stored>,
}

impl MostRows {
    fn count(&self) -> usize {
        self.live + self.stored.iter().map(|(.., rows)| rows.len()).sum::<usize>()
    }

    /// Those that are not among the rows of others. Adds them to these.
    fn beside(&self, others: &mut HashSet<Stored>) -> usize {
        let new = self.stored.iter().filter(|rows| others.insert((*rows).clone()));
        self.live + new.map(|(.., rows)| rows.len()).sum::<usize>()
    }
}

/// Traces that are read together, by the rows that they may have.
fn batches(traces: Vec<TraceId>, most_rows: &HashMap<TraceId, MostRows>) -> VecDeque<Batch> {
    let mut batches = VecDeque::new();
    let (mut small, mut rows, mut known) = (Vec::new(), 0, HashSet::new());
    for trace in traces {
        let Some(of_trace) = most_rows.get(&trace) else { continue };
        let is_large = of_trace.count() > LARGE_ROWS;
        if !small.is_empty() && (is_large || rows >= BATCH_ROWS) {
            batches.push_back(Batch::Small(std::mem::take(&mut small)));
            rows = 0;
            known.clear();
        }
        match is_large {
            true => batches.push_back(Batch::Large(trace)),
            false => {
                small.push(trace);
                rows += of_trace.beside(&mut known);
            }
        }
    }
    if !small.is_empty() {
        batches.push_back(Batch::Small(small));
    }
    batches
}

fn cut(trace: TraceId, spans: Vec<Span>) -> Vec<TracePiece> {
    if (1..=PIECE_SPANS).contains(&spans.len()) {
        return vec![TracePiece { trace, spans, is_last: true }];
    }
    let mut pieces = Vec::with_capacity(spans.len() / PIECE_SPANS + 1);
    let mut spans = spans.into_iter().peekable();
    while spans.peek().is_some() {
        let piece: Vec<Span> = spans.by_ref().take(PIECE_SPANS).collect();
        pieces.push(TracePiece { trace, spans: piece, is_last: spans.peek().is_none() });
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(number: u8) -> TraceId {
        TraceId([number; 16])
    }

    #[test]
    fn should_read_small_traces_together_and_large_ones_alone_in_their_order() {
        let rows = [(1, 10), (2, LARGE_ROWS), (3, LARGE_ROWS + 1), (5, 1), (6, 2)];
        let most = rows.map(|(number, live)| (trace(number), MostRows { live, stored: Vec::new() })).into();
        let made: Vec<(bool, Vec<TraceId>)> = batches([1, 2, 3, 4, 6, 5].map(trace).to_vec(), &most)
            .into_iter()
            .map(|batch| match batch {
                Batch::Small(traces) => (false, traces),
                Batch::Large(trace) => (true, vec![trace]),
            })
            .collect();
        let expected = [(false, vec![1, 2]), (true, vec![3]), (false, vec![6, 5])];
        assert_eq!(made, expected.map(|(large, traces)| (large, traces.into_iter().map(trace).collect())));
    }

    #[test]
    fn should_not_read_too_many_rows_together() {
        let block = |number: u128| BlockId(ulid::Ulid(number));
        let sizes = |rows_of: &dyn Fn(u8) -> MostRows| -> Vec<usize> {
            let most = (0..100).map(|number| (trace(number), rows_of(number))).collect();
            let made = batches((0..100).map(trace).collect(), &most).into_iter();
            made.map(|batch| if let Batch::Small(traces) = batch { traces.len() } else { 0 }).collect()
        };
        let live = |_| MostRows { live: LARGE_ROWS, stored: Vec::new() };
        assert_eq!(sizes(&live), [32, 32, 32, 4]);
        let apart = |number: u8| {
            let rows = (block(1), usize::from(number), 0..LARGE_ROWS);
            MostRows { live: 0, stored: vec![rows] }
        };
        assert_eq!(sizes(&apart), [32, 32, 32, 4]);
        // Ten of them lie in each page.
        let shared = |number: u8| {
            let rows = (block(u128::from(number) / 50), usize::from(number / 10), 0..LARGE_ROWS);
            MostRows { live: 0, stored: vec![rows] }
        };
        assert_eq!(sizes(&shared), [100]);
    }

    #[test]
    fn should_cut_a_trace_into_pieces_of_which_the_last_says_so() {
        let spans = |count: usize| vec![Span::default(); count];
        let sizes = |count| -> Vec<(usize, bool)> {
            cut(trace(1), spans(count)).iter().map(|piece| (piece.spans.len(), piece.is_last)).collect()
        };
        assert_eq!(sizes(PIECE_SPANS), [(PIECE_SPANS, true)]);
        assert_eq!(sizes(PIECE_SPANS + 1), [(PIECE_SPANS, false), (1, true)]);
        assert_eq!(sizes(0), []);
    }
}
