//! How many spans: by service, by the values and by the keys of attributes, as people want them while they type.

use std::collections::BTreeMap;
use std::sync::Arc;

use siltstone_ask::{Filter, Level, Target, Window};
use siltstone_format::block::parts::{AttributeParts, Parts};
use siltstone_format::columns::SpanColumns;
use siltstone_format::tenant::Tenant;

use crate::attributes::{self, is_at};
use crate::querier::{Answer, Querier, QueryError};
use crate::tally::{Counting, OfRows};

pub use crate::attributes::SeenValue;

/// Which spans are counted.
#[derive(Clone, Debug)]
pub struct Of {
    pub tenant: Tenant,
    pub filter: Filter,
    pub window: Window,
}

impl Querier {
    /// Spans of each service.
    pub async fn spans_per_service(&self, of: &Of) -> Result<Answer<BTreeMap<String, u64>>, QueryError> {
        let of_rows = |columns: &SpanColumns, rows: &[u32]| {
            let (names, of_rows) = columns.services();
            let mut counts = vec![0; names.len()];
            rows.iter().for_each(|row| counts[of_rows[*row as usize] as usize] += 1);
            let mut services = BTreeMap::new();
            for (name, count) in names.into_iter().zip(counts).filter(|(_, count)| *count > 0) {
                *services.entry(name.into_owned()).or_default() += count;
            }
            Ok(services)
        };
        self.counted(of, Parts { services: true, ..Parts::default() }, Arc::new(of_rows)).await
    }

    /// Spans that have each value under a key. One that has several values counts for each, with one value several
    /// times once.
    pub async fn attribute_values(
        &self,
        of: &Of,
        level: Level,
        key: &str,
    ) -> Result<Answer<BTreeMap<SeenValue, u64>>, QueryError> {
        let parts = Filter::exists(Target::attribute(level, key)).parts();
        let key = key.to_owned();
        let of_rows =
            move |columns: &SpanColumns, rows: &[u32]| attributes::count_values(columns, rows, level, &key);
        self.counted(of, parts, Arc::new(of_rows)).await
    }

    /// Spans that have each key.
    pub async fn attribute_keys(
        &self,
        of: &Of,
        level: Level,
    ) -> Result<Answer<BTreeMap<String, u64>>, QueryError> {
        let parts = Parts {
            attributes: match is_at(level, Level::Span) {
                true => AttributeParts::All,
                false => AttributeParts::default(),
            },
            origins: is_at(level, Level::Resource) || is_at(level, Level::Scope),
            events: is_at(level, Level::Event),
            links: is_at(level, Level::Link),
            ..Parts::default()
        };
        let of_rows = move |columns: &SpanColumns, rows: &[u32]| attributes::count_keys(columns, rows, level);
        self.counted(of, parts, Arc::new(of_rows)).await
    }

    async fn counted<K: Ord + Send + 'static>(
        &self,
        of: &Of,
        parts: Parts,
        of_rows: OfRows<K, u64>,
    ) -> Result<Answer<BTreeMap<K, u64>>, QueryError> {
        let Of { tenant, filter, window } = of.clone();
        self.within(&of.tenant, async |mut query| {
            let counts = query.count(Counting { tenant, filter, window, once: true, parts, of_rows }).await?;
            Ok(query.answer(counts))
        })
        .await
    }
}
