//! Counting questions. All count spans, and same spans once.

use std::collections::{BTreeMap, BTreeSet};

use super::Oracle;
use super::canonical::{CanonicalValue, HexBytes};
use super::filter::{Level, attributes_at};

impl Oracle {
    pub fn spans_per_service(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for span in self.spans() {
            *counts.entry(span.service_name().to_owned()).or_default() += 1;
        }
        counts
    }

    /// How many spans have which value under a key at one of some levels. A span with several values counts for each of them, with
    /// one value several times (the key twice, or in two events) once. An array is one value.
    pub fn spans_per_value(&self, levels: &[Level], key: &str) -> BTreeMap<CanonicalValue, u64> {
        let mut counts = BTreeMap::new();
        for span in self.spans() {
            let values: BTreeSet<&CanonicalValue> = levels
                .iter()
                .flat_map(|level| attributes_at(&span, *level))
                .flat_map(|attributes| attributes.values_of(key))
                .collect();
            for value in values {
                *counts.entry(value.clone()).or_default() += 1;
            }
        }
        counts
    }

    /// How many spans have a parent in their own trace, by (service of the parent, service of the child).
    ///
    /// Where several spans of the trace share the parent's id, a child counts once for each service among
    /// them. A span that names itself as its parent has a parent.
    pub fn children_per_services(&self) -> BTreeMap<(String, String), u64> {
        let spans = self.spans();
        let mut services_of_id: BTreeMap<(&HexBytes, &HexBytes), BTreeSet<&str>> = BTreeMap::new();
        for span in &spans {
            let id = (&span.trace_id, &span.span_id);
            services_of_id.entry(id).or_default().insert(span.service_name());
        }
        let mut counts = BTreeMap::new();
        for child in &spans {
            let Some(parent_id) = &child.parent_id else { continue };
            let parent_services = services_of_id.get(&(&child.trace_id, parent_id));
            for parent_service in parent_services.into_iter().flatten() {
                let services = ((*parent_service).to_owned(), child.service_name().to_owned());
                *counts.entry(services).or_default() += 1;
            }
        }
        counts
    }
}
