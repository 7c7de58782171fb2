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

use crate::cache::OpenedBlock;
use crate::hidden::{HiddenHere, Unseen};
use crate::limits::LimitReached;
use crate::plan::Plan;
use crate::querier::{Query, QueryError};
use crate::scan::{PARALLEL_GROUPS, rows_in, seen_rows};

/// Blocks that are read at the same time.
const PARALLEL_BLOCKS: usize = 4;
/// Fewer are added up where they come in.
const MANY_KEYS: usize = 256;
/// Doubtful traces that are read whole at a time.
pub(crate) const TRACES_AT_ONCE: usize = 1_000;

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

impl<K, V> Shared<'_, K, V> {
    /// Of rows that know the deletions up to a number.
    fn unseen_at(&self, clean_through: u64) -> Unseen {
        Unseen { hidden: self.plan.hidden.at(clean_through), doubtful: Arc::clone(&self.doubtful) }
    }
}

impl Query<'_> {
    pub(crate) async fn count<K: Ord + Send + 'static, V: Sum>(
        &mut self,
        counting: Counting<K, V>,
    ) -> Result<BTreeMap<K, V>, QueryError> {
        let filter = Arc::new(counting.filter.clone());
        let (view, plan) = self.open_matching(&counting.tenant, &filter, counting.window).await?;
        let doubtful = match counting.once {
            true => self.doubtful(&view, &plan, &filter, counting.window).await,
            false => Ok(HashSet::new()),
        };
        let doubtful = Arc::new(doubtful.map_err(|error| self.late_or(&view, error))?);
        let shared = Shared { counting: &counting, filter, plan: &plan, doubtful };

        let mut sums = BTreeMap::new();
        for segment in &view.live {
            let unseen = shared.unseen_at(segment.known_deletions);
            let (filter, spans) = (Arc::clone(&shared.filter), Arc::clone(&segment.spans));
            let (of_rows, window) = (Arc::clone(&counting.of_rows), counting.window);
            let of_segment = move || {
                let rows = unseen.seen_of(&filter.rows_within(window, &spans)?, &spans);
                add_all(&mut sums, of_rows(&spans, &rows)?);
                Ok::<_, QueryError>(sums)
            };
            sums = self.work(of_segment).await??;
        }
        let reads: Vec<_> = plan.blocks.iter().map(|entry| self.count_block(entry, &shared)).collect();
        let mut reads = stream::iter(reads).buffer_unordered(PARALLEL_BLOCKS);
        while let Some(read) = reads.next().await {
            let read = read.map_err(|error| self.late_or(&view, error))?;
            sums = self.added(sums, read).await?;
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
        let unseen = Arc::new(shared.unseen_at(entry.clean_through));
        let groups = block.spans.groups().map(|group| group.group);
        let reads: Vec<_> = groups.map(|group| self.count_group(&block, group, shared, &unseen)).collect();
        let mut reads = stream::iter(reads).buffer_unordered(PARALLEL_GROUPS);
        let mut sums = BTreeMap::new();
        while let Some(read) = reads.next().await {
            sums = self.added(sums, read?).await?;
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
        unseen: &Arc<Unseen>,
    ) -> Result<BTreeMap<K, V>, QueryError> {
        let window = shared.counting.window;
        let worth = self.worth_reading(block, group, &shared.filter, window).await?;
        let runs = worth.runs();
        self.cost.scanned(rows_in(&runs));
        let parts = unseen.with_parts(shared.counting.parts.clone().and(&worth.parts()));
        let (of_rows, unseen) = (Arc::clone(&shared.counting.of_rows), Arc::clone(unseen));
        let pieces = self.read_pieces(block, runs, parts, move |read, columns| {
            let rows = worth.matching(read, &columns, window)?;
            Ok(of_rows(&columns, &unseen.seen_of(&rows, &columns))?)
        });
        let mut sums = BTreeMap::new();
        for piece in pieces.await? {
            sums = self.added(sums, piece).await?;
        }
        Ok(sums)
    }

    /// Adds up; many keys on a worker, as there may be hundreds of thousands.
    async fn added<K: Ord + Send + 'static, V: Sum>(
        &self,
        mut sums: BTreeMap<K, V>,
        more: BTreeMap<K, V>,
    ) -> Result<BTreeMap<K, V>, QueryError> {
        if sums.is_empty() {
            return Ok(more);
        }
        if more.len() < MANY_KEYS {
            add_all(&mut sums, more);
            return Ok(sums);
        }
        self.work(move || {
            add_all(&mut sums, more);
            sums
        })
        .await
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

fn add_all<K: Ord, V: Sum>(sums: &mut BTreeMap<K, V>, more: BTreeMap<K, V>) {
    for (key, value) in more {
        sums.entry(key).or_default().add(value);
    }
}
