//! One scan of `spans`: planned once, then read in shares. Each span comes once.
//!
//! ```text
//! trace ids in the clause  ─▶ whole traces, by id
//! otherwise  live segments ─┐
//!            blocks ────────┼▶ rows that may match, without doubtful traces ─▶ batches
//!            doubtful traces ┘  (read whole and collapsed)
//! ```
//!
//! The plan is a list of blocks, and a share is a part of the list: who reads it need not be who planned.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::{StreamExt, stream};
use siltstone_ask::{Filter, Window};
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_format::block::parts::Parts;
use siltstone_format::block::read::GroupRows;
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::TraceId;
use tokio::sync::{OnceCell, mpsc};

use super::SqlQuery;
use super::arrays::{ArrayError, array_of};
use super::counted::counted;
use super::output::Output;
use super::pushed::Pushed;
use super::receiving::Sent;
use crate::cache::OpenedBlock;
use crate::hidden::{HiddenHere, Unseen};
use crate::plan::Plan;
use crate::querier::{Query, QueryError};
use crate::scan::{places_of, rows_at, rows_in, runs_of, seen_rows};
use crate::tally::TRACES_AT_ONCE;
use crate::view::View;

/// Blocks of one share that are read at the same time.
const PARALLEL_BLOCKS: usize = 2;
/// Rows of one batch, as DataFusion likes them.
const BATCH_ROWS: usize = 8_192;
/// Batches that are made at a time: they wait in memory until somebody takes them.
const BATCHES_AT_ONCE: usize = 4;

/// What is read, and as of when.
pub(super) struct SpansScan {
    query: Arc<SqlQuery>,
    filter: Arc<Filter>,
    window: Window,
    source: Source,
}

enum Source {
    /// Spans of these traces, wherever they are.
    Traces(Vec<TraceId>),
    All(Box<Everything>),
}

struct Everything {
    view: View,
    plan: Plan,
    /// Found when the first share is read.
    doubtful: OnceCell<Arc<HashSet<TraceId>>>,
}

/// One of several equal parts of a scan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) number: usize,
    pub(super) of: usize,
}

/// Where the rows of a share go.
pub(super) struct Sink {
    pub(super) outputs: Vec<Output>,
    /// Rows with the same outputs go as one, with so many columns that say how many they are.
    pub(super) counts: Option<usize>,
    pub(super) schema: SchemaRef,
    /// More rows are not wanted.
    pub(super) fetch: Option<usize>,
    pub(super) batches: mpsc::Sender<Sent>,
    pub(super) memory: MemoryReservation,
}

impl Share {
    fn has(self, number: usize) -> bool {
        number % self.of == self.number
    }
}

impl SpansScan {
    /// Plans: opens a view, and finds the blocks that may hold rows which match.
    pub(super) async fn plan(query: Arc<SqlQuery>, pushed: Pushed) -> Result<Self, QueryError> {
        let Pushed { filter, window, traces } = pushed;
        let filter = Arc::new(filter);
        if let Some(traces) = traces {
            let source = Source::Traces(traces.into_iter().collect());
            return Ok(Self { query, filter, window, source });
        }
        let mut asking = query.asking();
        let (view, mut plan) = asking.open_matching(&query.tenant, &filter, window).await?;
        asking.lacks(std::mem::take(&mut plan.missing));
        query.lacks(asking.gaps);
        let source = Source::All(Box::new(Everything { view, plan, doubtful: OnceCell::new() }));
        Ok(Self { query, filter, window, source })
    }

    pub(super) fn query(&self) -> &Arc<SqlQuery> {
        &self.query
    }

    /// Blocks that were excluded before any of their rows was looked at.
    pub(super) fn pruned_blocks(&self) -> u64 {
        match &self.source {
            Source::Traces(_) => 0,
            Source::All(everything) => {
                let Everything { view, plan, .. } = &**everything;
                let folded =
                    view.snapshot.root.tenants.get(&self.query.tenant).map_or(0, |tenant| tenant.blocks);
                let fresh = view.snapshot.entries.iter().flat_map(|entry| &entry.blocks);
                let fresh = fresh.filter(|block| *block.tenant() == self.query.tenant).count() as u64;
                (folded + fresh).saturating_sub(plan.blocks.len() as u64)
            }
        }
    }

    /// Reads a share to its end, or until nobody wants more.
    pub(super) async fn read(self: Arc<Self>, share: Share, sink: Sink) -> Result<(), QueryError> {
        match (Reader { scan: &self, share, sink: &sink }).all().await {
            Ok(()) | Err(Stop::Enough) => Ok(()),
            Err(Stop::Failed(error)) => Err(error),
        }
    }
}

/// Why reading ends early.
enum Stop {
    /// Whoever wanted the rows has gone, or has enough.
    Enough,
    Failed(QueryError),
}

impl<E: Into<QueryError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

struct Reader<'a> {
    scan: &'a SpansScan,
    share: Share,
    sink: &'a Sink,
}

impl Reader<'_> {
    async fn all(&self) -> Result<(), Stop> {
        let query = self.scan.query.asking();
        let (view, plan, doubtful) = match &self.scan.source {
            Source::Traces(traces) => return self.whole(traces).await,
            Source::All(everything) => (&everything.view, &everything.plan, &everything.doubtful),
        };
        let (filter, window) = (&self.scan.filter, self.scan.window);
        let find = || async { query.doubtful(view, plan, filter, window).await.map(Arc::new) };
        let doubtful = doubtful.get_or_try_init(find).await.map_err(|error| query.late_or(view, error))?;
        self.live(&query, view, plan, doubtful).await?;
        let blocks = plan.blocks.iter().enumerate();
        let reads: Vec<_> =
            blocks.map(|(number, entry)| self.block(&query, number, entry, plan, doubtful)).collect();
        let mut reads = stream::iter(reads).buffer_unordered(PARALLEL_BLOCKS);
        while let Some(read) = reads.next().await {
            read.map_err(|stop| match stop {
                Stop::Failed(error) => Stop::Failed(query.late_or(view, error)),
                Stop::Enough => Stop::Enough,
            })?;
        }
        if query.is_expired(view) {
            return Err(QueryError::Expired.into());
        }
        let mut doubtful: Vec<TraceId> = doubtful.iter().copied().collect();
        doubtful.sort_unstable();
        self.whole(&doubtful).await
    }

    /// This share's part of some traces, whole and each span once.
    async fn whole(&self, traces: &[TraceId]) -> Result<(), Stop> {
        let chunks = traces.chunks(TRACES_AT_ONCE).enumerate().filter(|(number, _)| self.share.has(*number));
        for (_, traces) in chunks {
            let mut query = self.scan.query.asking();
            let columns = query.columns_of_traces(&self.scan.query.tenant, traces).await?;
            let rows = seen_rows(&columns, &self.scan.filter, self.scan.window, &HiddenHere::default())?;
            self.scan.query.lacks(std::mem::take(&mut query.gaps));
            self.send(&query, Arc::new(columns), rows).await?;
        }
        Ok(())
    }

    async fn live(
        &self,
        query: &Query<'_>,
        view: &View,
        plan: &Plan,
        doubtful: &Arc<HashSet<TraceId>>,
    ) -> Result<(), Stop> {
        for (number, segment) in view.live.iter().enumerate() {
            if self.share.has(number) {
                let hidden = plan.hidden.at(segment.known_deletions);
                let unseen = Unseen { hidden, doubtful: Arc::clone(doubtful) };
                let rows = self.scan.filter.rows_within(self.scan.window, &segment.spans)?;
                let rows = unseen.seen_of(&rows, &segment.spans);
                self.send(query, Arc::clone(&segment.spans), rows).await?;
            }
        }
        Ok(())
    }

    async fn block(
        &self,
        query: &Query<'_>,
        number: usize,
        entry: &BlockEntry,
        plan: &Plan,
        doubtful: &Arc<HashSet<TraceId>>,
    ) -> Result<(), Stop> {
        let block = query.querier.blocks.open(entry, query.purse()).await?;
        let mine: Vec<GroupRows> =
            block.spans.groups().filter(|group| self.share.has(number + group.group)).collect();
        if self.share.has(number) {
            query.cost.read_block();
        }
        let hidden = plan.hidden.at(entry.clean_through);
        let unseen = Arc::new(Unseen { hidden, doubtful: Arc::clone(doubtful) });
        for group in mine {
            self.group(query, &block, group, &unseen).await?;
        }
        query.querier.blocks.used(&block).await;
        Ok(())
    }

    /// First what tells the rows that are wanted, then of these what is put out.
    async fn group(
        &self,
        query: &Query<'_>,
        block: &Arc<OpenedBlock>,
        group: GroupRows,
        unseen: &Arc<Unseen>,
    ) -> Result<(), Stop> {
        let all = group.rows.len();
        let parts = self.sink.outputs.iter().fold(Parts::default(), |all, output| all.and(&output.parts()));
        // Most parents are named by their place in the trace, so traces must be read whole.
        let is_whole = parts.parents;
        let wanted = self.wanted(query, block, group.group, unseen).await?;
        let (runs, rows): (Vec<GroupRows>, Vec<u32>) = match wanted {
            Some(rows) if rows.is_empty() => return Ok(()),
            Some(rows) if !is_whole && 2 * rows.len() < all => {
                let runs = runs_of(rows.iter().map(|row| *row as usize), group.group);
                let places = places_of(rows.iter().map(|row| *row as usize), &runs)
                    .map(|place| place as u32)
                    .collect();
                (runs, places)
            }
            Some(rows) => (vec![group], rows),
            None => {
                let first = self.sink.fetch.map_or(all, |fetch| fetch.min(all));
                let read = if is_whole { all } else { first };
                let run = GroupRows { rows: group.rows.start..group.rows.start + read, ..group };
                (vec![run], (0..first as u32).collect())
            }
        };
        if self.sink.outputs.is_empty() {
            return self.put(batch_of_none(&self.sink.schema, rows.len())?).await;
        }
        let columns = query.read(block, runs, parts, |columns| Ok(Arc::new(columns))).await?;
        self.send(query, columns, rows).await
    }

    /// Rows of a group that match, start in the window, are not hidden and not doubtful. None: all of it.
    async fn wanted(
        &self,
        query: &Query<'_>,
        block: &Arc<OpenedBlock>,
        group: usize,
        unseen: &Arc<Unseen>,
    ) -> Result<Option<Vec<u32>>, QueryError> {
        let window = self.scan.window;
        let worth = query.worth_reading(block, group, &self.scan.filter, window).await?;
        let runs = worth.runs();
        query.cost.scanned(rows_in(&runs));
        if worth.is_exact && worth.is_inside && unseen.is_nothing() {
            let all = worth.rows.is_all();
            return Ok((!all).then(|| worth.rows.iter().map(|row| row as u32).collect()));
        }
        let (parts, unseen) = (unseen.with_parts(worth.parts()), Arc::clone(unseen));
        let pieces = query.read_pieces(block, runs, parts, move |read, columns| {
            let places = unseen.seen_of(&worth.matching(read, &columns, window)?, &columns);
            let rows = rows_at(places.into_iter().map(|place| place as usize), read);
            Ok(rows.map(|row| row as u32).collect::<Vec<u32>>())
        });
        Ok(Some(pieces.await?.concat()))
    }

    /// Makes batches of some rows and sends them, few at a time.
    async fn send(&self, query: &Query<'_>, columns: Arc<SpanColumns>, rows: Vec<u32>) -> Result<(), Stop> {
        let held = columns.memory_bytes();
        let grown = self.sink.memory.try_grow(held);
        grown.map_err(|error| QueryError::Memory(error.to_string()))?;
        let sent = self.send_held(query, columns, rows).await;
        self.sink.memory.shrink(held);
        sent
    }

    async fn send_held(
        &self,
        query: &Query<'_>,
        columns: Arc<SpanColumns>,
        rows: Vec<u32>,
    ) -> Result<(), Stop> {
        if let Some(counts) = self.sink.counts {
            let (outputs, schema) = (self.sink.outputs.clone(), Arc::clone(&self.sink.schema));
            let counted = move || counted(&outputs, counts, &schema, &columns, &rows);
            let groups = query.work(counted).await??;
            for first in (0..groups.num_rows()).step_by(BATCH_ROWS) {
                self.put(groups.slice(first, BATCH_ROWS.min(groups.num_rows() - first))).await?;
            }
            return Ok(());
        }
        for some in rows.chunks(BATCH_ROWS * BATCHES_AT_ONCE) {
            let (columns, some) = (Arc::clone(&columns), some.to_vec());
            let (outputs, schema) = (self.sink.outputs.clone(), Arc::clone(&self.sink.schema));
            for batch in query.work(move || batches(&outputs, &schema, &columns, &some)).await?? {
                self.put(batch).await?;
            }
        }
        Ok(())
    }

    async fn put(&self, batch: RecordBatch) -> Result<(), Stop> {
        self.scan.query.has_rows(batch.num_rows());
        self.sink.batches.send(Ok(batch)).await.map_err(|_| Stop::Enough)
    }
}

fn batches(
    outputs: &[Output],
    schema: &SchemaRef,
    columns: &SpanColumns,
    rows: &[u32],
) -> Result<Vec<RecordBatch>, QueryError> {
    if outputs.is_empty() {
        return Ok(vec![batch_of_none(schema, rows.len())?]);
    }
    let arrays: Vec<_> = outputs.iter().map(|output| array_of(output, columns)).collect();
    let batch_of = |rows: &[u32]| {
        let arrays = arrays.iter().map(|array_of| array_of(rows)).collect::<Result<_, _>>()?;
        Ok(RecordBatch::try_new(Arc::clone(schema), arrays).map_err(ArrayError::from)?)
    };
    rows.chunks(BATCH_ROWS).map(batch_of).collect()
}

/// Rows of which nothing is wanted but how many there are.
fn batch_of_none(schema: &SchemaRef, rows: usize) -> Result<RecordBatch, QueryError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), Vec::new(), &options)
        .map_err(ArrayError::from)?)
}

impl fmt::Display for SpansScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Traces(traces) => write!(f, "traces={}", traces.len()),
            Source::All(everything) => {
                let Everything { view, plan, .. } = &**everything;
                write!(f, "blocks={}, live_segments={}", plan.blocks.len(), view.live.len())
            }
        }
    }
}

impl fmt::Debug for SpansScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpansScan({self})")
    }
}
