//! Services and their operations: what people pick from lists. Whether there is one is asked, not how often, so
//! spans that are there twice do no harm.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, stream};
use siltstone_ask::{Comparison, Field, Filter, FilterError, Window};
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_format::block::parts::Parts;
use siltstone_format::columns::SpanColumns;
use siltstone_format::tenant::Tenant;
use siltstone_live::question::{Question, Wanted};

use crate::hidden::{Hidden, HiddenHere, NEVER_CLEANED};
use crate::querier::{Answer, Querier, Query, QueryError};

/// Blocks that are read at the same time.
const PARALLEL_BLOCKS: usize = 4;

/// A name of a service's spans, with the kind that they have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operation {
    pub service: String,
    pub name: String,
    /// By OTLP's number.
    pub kind: i32,
}

/// Which operations are wanted.
#[derive(Clone, Debug, Default)]
pub struct OperationsOf {
    /// None: of all services.
    pub service: Option<String>,
    pub kind: Option<i32>,
}

impl Querier {
    /// Services that have a span which starts in the window, sorted.
    pub async fn services(
        &self,
        tenant: &Tenant,
        window: Window,
    ) -> Result<Answer<BTreeSet<String>>, QueryError> {
        self.within(async |mut query| {
            let of_span = |columns: &SpanColumns, rows: &[u32]| {
                let origins: BTreeSet<u32> =
                    rows.iter().map(|row| columns.origins_of_rows[*row as usize]).collect();
                origins.into_iter().map(|origin| columns.origins[origin as usize].service_name()).collect()
            };
            let parts = Parts { origins: true, ..Parts::default() };
            let found = query.distinct(tenant, Filter::all(), window, parts, of_span).await?;
            Ok(query.answer(found))
        })
        .await
    }

    /// Operations that have a span which starts in the window, sorted.
    pub async fn operations(
        &self,
        tenant: &Tenant,
        of: &OperationsOf,
        window: Window,
    ) -> Result<Answer<BTreeSet<Operation>>, QueryError> {
        let Ok(filter) = of.filter() else { return Ok(Answer::nothing()) };
        self.within(async |mut query| {
            let of_span = |columns: &SpanColumns, rows: &[u32]| {
                let numbers: BTreeSet<(u32, u32, i32)> = rows
                    .iter()
                    .map(|row| *row as usize)
                    .map(|row| (columns.origins_of_rows[row], columns.names_of_rows[row], columns.kinds[row]))
                    .collect();
                let operation = |(origin, name, kind)| Operation {
                    service: columns.origins[origin as usize].service_name(),
                    name: columns.names.get(name).to_owned(),
                    kind,
                };
                numbers.into_iter().map(operation).collect()
            };
            let parts = Parts { origins: true, names: true, kinds: true, ..Parts::default() };
            let found = query.distinct(tenant, filter, window, parts, of_span).await?;
            Ok(query.answer(found))
        })
        .await
    }
}

impl OperationsOf {
    fn filter(&self) -> Result<Filter, FilterError> {
        let service = self.service.as_ref().map(|service| {
            // As text, whatever it looks like.
            let literal = siltstone_ask::Literal::Str(service.clone());
            Filter::compare(Field::ServiceName.into(), Comparison::Eq, literal)
        });
        let kind = self.kind.map(|kind| Filter::compare(Field::Kind.into(), Comparison::Eq, i64::from(kind)));
        Filter::and(service.into_iter().chain(kind).collect::<Result<_, _>>()?)
    }
}

/// What some rows of some columns say, each once.
type OfRows<T> = fn(&SpanColumns, &[u32]) -> BTreeSet<T>;

impl Query<'_> {
    /// What matching spans say, each once.
    async fn distinct<T: Ord + Send + 'static>(
        &mut self,
        tenant: &Tenant,
        filter: Filter,
        window: Window,
        parts: Parts,
        of_rows: OfRows<T>,
    ) -> Result<BTreeSet<T>, QueryError> {
        let wanted = Wanted::Matching { filter: Some(filter.clone()), window };
        let view = self.open(&Question { tenant: tenant.clone(), wanted }).await?;
        let plan = self.planner(&view).of_filter(&filter, window).await;
        let plan = plan.map_err(|error| self.late_or(&view, error.into()))?;
        let filter = Arc::new(filter);
        let mut all = BTreeSet::new();
        let hidden = plan.hidden.at(NEVER_CLEANED);
        for segment in &view.live {
            let rows = seen_rows(&segment.spans, &filter, window, &hidden)?;
            all.extend(of_rows(&segment.spans, &rows));
        }
        let reads: Vec<_> = plan
            .blocks
            .iter()
            .map(|entry| self.distinct_of_block(entry, &filter, window, &plan.hidden, &parts, of_rows))
            .collect();
        let mut reads = stream::iter(reads).buffer_unordered(PARALLEL_BLOCKS);
        while let Some(read) = reads.next().await {
            all.extend(read.map_err(|error| self.late_or(&view, error))?);
        }
        drop(reads);
        if self.is_expired(&view) {
            return Err(QueryError::Expired);
        }
        self.lacks(plan.missing);
        Ok(all)
    }

    async fn distinct_of_block<T: Ord + Send + 'static>(
        &self,
        entry: &BlockEntry,
        filter: &Arc<Filter>,
        window: Window,
        hidden: &Hidden,
        parts: &Parts,
        of_rows: OfRows<T>,
    ) -> Result<BTreeSet<T>, QueryError> {
        let block = self.querier.blocks.open(entry, self.purse()).await?;
        self.cost.read_block();
        let hidden = Arc::new(hidden.at(entry.clean_through));
        let spans = &entry.summary.spans;
        let is_inside =
            window.contains(spans.min_start_unix_nano) && window.contains(spans.max_start_unix_nano);
        let must_look = !is_inside || !hidden.is_nothing();
        let parts = Parts { starts: must_look, trace_ids: must_look, ..parts.clone().and(&filter.parts()) };
        let mut all = BTreeSet::new();
        for group in block.spans.groups() {
            self.cost.scanned(group.rows.len());
            let (filter, hidden) = (Arc::clone(filter), Arc::clone(&hidden));
            let read = self.read(&block, vec![group], parts.clone(), move |columns| {
                let rows = if must_look {
                    seen_rows(&columns, &filter, window, &hidden)?
                } else {
                    filter.rows(&columns)?.iter().map(|row| row as u32).collect()
                };
                Ok(of_rows(&columns, &rows))
            });
            all.extend(read.await?);
        }
        Ok(all)
    }
}

/// Rows that match, start in the window and are not hidden.
pub(crate) fn seen_rows(
    columns: &SpanColumns,
    filter: &Filter,
    window: Window,
    hidden: &HiddenHere,
) -> Result<Vec<u32>, QueryError> {
    let is_seen = |row: &usize| {
        let start = columns.starts[*row].cast_unsigned();
        window.contains(start) && !hidden.hides(&columns.trace_ids[*row], start)
    };
    Ok(filter.rows(columns)?.iter().filter(is_seen).map(|row| row as u32).collect())
}
