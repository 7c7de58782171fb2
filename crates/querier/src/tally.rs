//! Counting matching spans: rows of columns into numbers by key.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, stream};
use siltstone_ask::{Filter, Window};
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_format::block::parts::Parts;
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::TraceId;
use siltstone_format::tenant::Tenant;
use siltstone_format::value::ValueError;
use siltstone_live::question::{Question, Wanted};

use crate::cache::OpenedBlock;
use crate::hidden::{HiddenHere, NEVER_CLEANED};
use crate::limits::LimitReached;
use crate::plan::Plan;
use crate::querier::{Query, QueryError};
use crate::scan::{PARALLEL_GROUPS, rows_in, seen_rows, without_hidden};

/// Blocks that are read at the same time.
const PARALLEL_BLOCKS: usize = 4;
/// Doubtful traces that are read whole at a time.
const TRACES_AT_ONCE: usize = 1_000;

/// Numbers that add up.
pub(crate) trait Sum: Default + Send + 'static {
    fn add(&mut self, more: Self);
}

impl Sum for u64 {
    fn add(&mut self, more: Self) {
        *self += more;
    }
}

/// Whether there is one.
impl Sum for () {
    fn add(&mut self, (): Self) {}
}

/// What is counted of matching spans.
pub(crate) struct Counting<K, V> {
    pub(crate) tenant: Tenant,
    pub(crate) filter: Filter,
    pub(crate) window: Window,
    /// A span that is stored twice counts once. Who only asks whether there is one need not care.
    pub(crate) once: bool,
    /// What `of_rows` looks at.
    pub(crate) parts: Parts,
    pub(crate) of_rows: OfRows<K, V>,
}

pub(crate) type OfRows<K, V> =
    Arc<dyn Fn(&SpanColumns, &[u32]) -> Result<BTreeMap<K, V>, ValueError> + Send + Sync>;

/// What all reading of one counting shares.
struct Shared<'a, K, V> {
    counting: &'a Counting<K, V>,
    filter: Arc<Filter>,
    plan: &'a Plan,
    doubtful: Arc<HashSet<TraceId>>,
}

impl Query<'_> {
    pub(crate) async fn count<K: Ord + Send + 'static, V: Sum>(
        &mut self,
        counting: Counting<K, V>,
    ) -> Result<BTreeMap<K, V>, QueryError> {
        let filter = Arc::new(counting.filter.clone());
        let wanted = Wanted::Matching { filter: Some(counting.filter.clone()), window: counting.window };
        let view = self.open(&Question { tenant: counting.tenant.clone(), wanted }).await?;
        let plan = self.planner(&view).of_filter(&filter, counting.window).await;
        let plan = plan.map_err(|error| self.late_or(&view, error.into()))?;
        let doubtful = match counting.once {
            true => self.doubtful(&view, &plan, &filter, counting.window).await,
            false => Ok(HashSet::new()),
        };
        let doubtful = Arc::new(doubtful.map_err(|error| self.late_or(&view, error))?);
        let shared = Shared { counting: &counting, filter, plan: &plan, doubtful };

        let mut sums = BTreeMap::new();
        let hidden = plan.hidden.at(NEVER_CLEANED);
        for segment in &view.live {
            let rows = seen_rows(&segment.spans, &shared.filter, counting.window, &hidden)?;
            let rows = without(rows, &segment.spans, &shared.doubtful);
            add_all(&mut sums, (counting.of_rows)(&segment.spans, &rows)?);
        }
        let reads: Vec<_> = plan.blocks.iter().map(|entry| self.count_block(entry, &shared)).collect();
        let mut reads = stream::iter(reads).buffer_unordered(PARALLEL_BLOCKS);
        while let Some(read) = reads.next().await {
            add_all(&mut sums, read.map_err(|error| self.late_or(&view, error))?);
            if sums.len() > self.limits.groups {
                return Err(LimitReached::Groups(self.limits.groups).into());
            }
        }
        drop(reads);
        if self.is_expired(&view) {
            return Err(QueryError::Expired);
        }
        let doubtful: Vec<TraceId> = shared.doubtful.iter().copied().collect();
        self.lacks(plan.missing);
        for traces in doubtful.chunks(TRACES_AT_ONCE) {
            add_all(&mut sums, self.count_whole(traces, &counting).await?);
        }
        Ok(sums)
    }

    async fn count_block<K: Ord + Send + 'static, V: Sum>(
        &self,
        entry: &BlockEntry,
        shared: &Shared<'_, K, V>,
    ) -> Result<BTreeMap<K, V>, QueryError> {
        let block = self.querier.blocks.open(entry, self.purse()).await?;
        self.cost.read_block();
        let hidden = Arc::new(shared.plan.hidden.at(entry.clean_through));
        let groups = block.spans.groups().map(|group| group.group);
        let reads: Vec<_> = groups.map(|group| self.count_group(&block, group, shared, &hidden)).collect();
        let mut reads = stream::iter(reads).buffer_unordered(PARALLEL_GROUPS);
        let mut sums = BTreeMap::new();
        while let Some(read) = reads.next().await {
            add_all(&mut sums, read?);
        }
        drop(reads);
        self.querier.blocks.used(&block).await;
        Ok(sums)
    }

    async fn count_group<K: Ord + Send + 'static, V: Sum>(
        &self,
        block: &Arc<OpenedBlock>,
        group: usize,
        shared: &Shared<'_, K, V>,
        hidden: &Arc<HiddenHere>,
    ) -> Result<BTreeMap<K, V>, QueryError> {
        let (filter, window) = (Arc::clone(&shared.filter), shared.counting.window);
        let worth = self.worth_reading(block, group, &filter, window).await?;
        let runs = worth.runs();
        self.cost.scanned(rows_in(&runs));
        let must_hide = !hidden.is_nothing();
        let parts = shared.counting.parts.clone().and(&worth.parts(&filter));
        let parts = Parts {
            starts: parts.starts || must_hide,
            trace_ids: parts.trace_ids || must_hide || !shared.doubtful.is_empty(),
            ..parts
        };
        let of_rows = Arc::clone(&shared.counting.of_rows);
        let (hidden, doubtful) = (Arc::clone(hidden), Arc::clone(&shared.doubtful));
        let pieces = self.read_pieces(block, runs, parts, move |read, columns| {
            let rows = worth.matching(read, &columns, &filter, window)?;
            Ok(of_rows(&columns, &without(without_hidden(&rows, &columns, &hidden), &columns, &doubtful))?)
        });
        let mut sums = BTreeMap::new();
        pieces.await?.into_iter().for_each(|piece| add_all(&mut sums, piece));
        Ok(sums)
    }

    /// Spans of whole traces, collapsed.
    async fn count_whole<K: Ord, V: Sum>(
        &mut self,
        traces: &[TraceId],
        counting: &Counting<K, V>,
    ) -> Result<BTreeMap<K, V>, QueryError> {
        let columns = self.columns_of_traces(&counting.tenant, traces).await?;
        let rows = seen_rows(&columns, &counting.filter, counting.window, &HiddenHere::default())?;
        Ok((counting.of_rows)(&columns, &rows)?)
    }
}

pub(crate) fn without(mut rows: Vec<u32>, columns: &SpanColumns, doubtful: &HashSet<TraceId>) -> Vec<u32> {
    if !doubtful.is_empty() {
        rows.retain(|row| !doubtful.contains(&columns.trace_ids[*row as usize]));
    }
    rows
}

fn add_all<K: Ord, V: Sum>(sums: &mut BTreeMap<K, V>, more: BTreeMap<K, V>) {
    for (key, value) in more {
        sums.entry(key).or_default().add(value);
    }
}
