//! Services and their operations: what people pick from lists. Whether there is one is asked, not how often, so
//! spans that are there twice do no harm.

use std::collections::BTreeSet;
use std::sync::Arc;

use siltstone_ask::{Comparison, Field, Filter, FilterError, Window};
use siltstone_format::block::parts::Parts;
use siltstone_format::columns::SpanColumns;
use siltstone_format::tenant::Tenant;

use crate::querier::{Answer, Querier, Query, QueryError};
use crate::tally::{Counting, OfRows};

pub use siltstone_ask::red::Operation;

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
        self.within(tenant, async |mut query| {
            let of_span = |columns: &SpanColumns, rows: &[u32]| {
                let (names, of_rows) = columns.services();
                let mut is_there = vec![false; names.len()];
                rows.iter().for_each(|row| is_there[of_rows[*row as usize] as usize] = true);
                let there = names.into_iter().zip(is_there).filter(|(_, is_there)| *is_there);
                there.map(|(name, _)| name.into_owned()).collect()
            };
            let parts = Parts { services: true, ..Parts::default() };
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
        self.within(tenant, async |mut query| {
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

impl Query<'_> {
    /// What matching spans say, each once.
    async fn distinct<T: Ord + Send + 'static>(
        &mut self,
        tenant: &Tenant,
        filter: Filter,
        window: Window,
        parts: Parts,
        of_rows: fn(&SpanColumns, &[u32]) -> BTreeSet<T>,
    ) -> Result<BTreeSet<T>, QueryError> {
        let of_rows: OfRows<T, ()> = Arc::new(move |columns, rows| {
            Ok(of_rows(columns, rows).into_iter().map(|one| (one, ())).collect())
        });
        let tenant = tenant.clone();
        let counting = Counting { tenant, filter, window, once: false, parts, of_rows };
        Ok(self.count(counting).await?.into_keys().collect())
    }
}
