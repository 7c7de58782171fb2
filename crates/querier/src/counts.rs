//! How many spans: by service, by the values and by the keys of attributes, as people want them while they type.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use siltstone_ask::{Filter, Level, Target, Window};
use siltstone_format::block::parts::{AttributeParts, Parts};
use siltstone_format::columns::SpanColumns;
use siltstone_format::tenant::Tenant;
use siltstone_format::value::{Attribute, ValueError};

use crate::querier::{Answer, Querier, QueryError};
use crate::tally::{Counting, OfRows};

/// Which spans are counted.
#[derive(Clone, Debug)]
pub struct Of {
    pub tenant: Tenant,
    pub filter: Filter,
    pub window: Window,
}

/// A value of an attribute: doubles are told apart by their bits, as spans are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeenValue {
    /// `str`, `int`, `double` …
    pub kind: &'static str,
    /// Its exact text.
    pub text: String,
}

impl Querier {
    /// Spans of each service.
    pub async fn spans_per_service(&self, of: &Of) -> Result<Answer<BTreeMap<String, u64>>, QueryError> {
        let of_rows = |columns: &SpanColumns, rows: &[u32]| {
            let mut counts = vec![0; columns.origins.len()];
            rows.iter().for_each(|row| counts[columns.origins_of_rows[*row as usize] as usize] += 1);
            let mut services = BTreeMap::new();
            for (origin, count) in columns.origins.iter().zip(counts).filter(|(_, count)| *count > 0) {
                *services.entry(origin.service_name()).or_default() += count;
            }
            Ok(services)
        };
        self.counted(of, Parts { origins: true, ..Parts::default() }, Arc::new(of_rows)).await
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
        let seen = move |attribute: &Attribute| {
            (attribute.key == key).then(|| SeenValue {
                kind: attribute.value.value_type().name(),
                text: attribute.value.text(),
            })
        };
        self.counted(of, parts, of_attributes(level, seen)).await
    }

    /// Spans that have each key.
    pub async fn attribute_keys(
        &self,
        of: &Of,
        level: Level,
    ) -> Result<Answer<BTreeMap<String, u64>>, QueryError> {
        let at = |wanted: Level| level == wanted || level == Level::Any;
        let parts = Parts {
            attributes: if at(Level::Span) { AttributeParts::All } else { AttributeParts::default() },
            origins: at(Level::Resource) || at(Level::Scope),
            events: at(Level::Event),
            links: at(Level::Link),
            ..Parts::default()
        };
        self.counted(of, parts, of_attributes(level, |attribute| Some(attribute.key.clone()))).await
    }

    async fn counted<K: Ord + Send + 'static>(
        &self,
        of: &Of,
        parts: Parts,
        of_rows: OfRows<K, u64>,
    ) -> Result<Answer<BTreeMap<K, u64>>, QueryError> {
        let Of { tenant, filter, window } = of.clone();
        self.within(async |mut query| {
            let counts = query.count(Counting { tenant, filter, window, once: true, parts, of_rows }).await?;
            Ok(query.answer(counts))
        })
        .await
    }
}

/// Counts rows by what their attributes say, each row once for each.
fn of_attributes<K: Ord + Send + 'static>(
    level: Level,
    seen: impl Fn(&Attribute) -> Option<K> + Send + Sync + 'static,
) -> OfRows<K, u64> {
    Arc::new(move |columns, rows| {
        let mut counts = BTreeMap::new();
        for row in rows {
            let mut of_row = BTreeSet::new();
            each_attribute(columns, *row, level, &mut |attribute| of_row.extend(seen(attribute)))?;
            of_row.into_iter().for_each(|key| *counts.entry(key).or_default() += 1);
        }
        Ok(counts)
    })
}

fn each_attribute(
    columns: &SpanColumns,
    row: u32,
    level: Level,
    each: &mut dyn FnMut(&Attribute),
) -> Result<(), ValueError> {
    let at = |wanted: Level| level == wanted || level == Level::Any;
    if at(Level::Span) {
        columns.attributes_of(row)?.iter().for_each(&mut *each);
    }
    if at(Level::Resource) || at(Level::Scope) {
        let origin = &columns.origins[columns.origins_of_rows[row as usize] as usize];
        if at(Level::Resource) {
            origin.resource_attributes.iter().for_each(&mut *each);
        }
        if at(Level::Scope) {
            origin.scope_attributes.iter().for_each(&mut *each);
        }
    }
    if at(Level::Event) {
        columns.events_of(row)?.iter().flat_map(|event| &event.attributes).for_each(&mut *each);
    }
    if at(Level::Link) {
        columns.links_of(row)?.iter().flat_map(|link| &link.attributes).for_each(&mut *each);
    }
    Ok(())
}
