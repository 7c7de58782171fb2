//! Counts what a run consists of, for calibration.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::traffic::Batch;

/// Totals over all batches that were counted.
#[derive(Debug, Default)]
pub struct Measured {
    pub requests: usize,
    pub spans: usize,
    pub encoded_bytes: usize,
    pub attributes: usize,
    pub events: usize,
    pub links: usize,
    pub errors: usize,
    pub resources: usize,
    /// Hashes of the values by key; a collision in 64 bits among some hundred thousand does not matter here.
    attribute_keys: BTreeMap<String, HashSet<u64>>,
    /// Traces with a span whose `http.response.status_code` is 500.
    pub traces_with_500: HashSet<Vec<u8>>,
    pub spans_by_writer: BTreeMap<usize, usize>,
    trace_sizes: HashMap<Vec<u8>, usize>,
    pods: HashSet<u64>,
}

impl Measured {
    pub fn count(&mut self, batch: &Batch) {
        self.requests += 1;
        self.encoded_bytes += batch.request.encoded_len();
        for resource_spans in &batch.request.resource_spans {
            self.resources += 1;
            if let Some(resource) = &resource_spans.resource {
                self.pods.insert(hash(&resource.encode_to_vec()));
            }
            for span in resource_spans.scope_spans.iter().flat_map(|scope| &scope.spans) {
                *self.spans_by_writer.entry(batch.writer).or_default() += 1;
                self.count_span(span);
            }
        }
    }

    fn count_span(&mut self, span: &Span) {
        self.spans += 1;
        self.attributes += span.attributes.len();
        self.events += span.events.len();
        self.links += span.links.len();
        self.errors += usize::from(span.status.as_ref().is_some_and(|status| status.code == 2));
        *self.trace_sizes.entry(span.trace_id.clone()).or_default() += 1;
        for attribute in &span.attributes {
            self.count_attribute(attribute);
            if attribute.key == "http.response.status_code" && is_500(attribute) {
                self.traces_with_500.insert(span.trace_id.clone());
            }
        }
    }

    fn count_attribute(&mut self, attribute: &KeyValue) {
        let value = hash(&attribute.encode_to_vec());
        match self.attribute_keys.get_mut(&attribute.key) {
            Some(values) => {
                values.insert(value);
            }
            None => {
                self.attribute_keys.insert(attribute.key.clone(), HashSet::from([value]));
            }
        }
    }

    #[must_use]
    pub fn traces(&self) -> usize {
        self.trace_sizes.len()
    }

    #[must_use]
    pub fn pods(&self) -> usize {
        self.pods.len()
    }

    #[must_use]
    pub fn bytes_per_span(&self) -> f64 {
        self.encoded_bytes as f64 / self.spans as f64
    }

    /// Distinct (attribute key, value) pairs a span.
    #[must_use]
    pub fn distinct_values_per_span(&self) -> f64 {
        self.attribute_keys.values().map(HashSet::len).sum::<usize>() as f64 / self.spans as f64
    }

    /// Distinct values of each attribute key, most first.
    #[must_use]
    pub fn distinct_by_key(&self) -> Vec<(&str, usize)> {
        let mut keys: Vec<_> =
            self.attribute_keys.iter().map(|(key, values)| (key.as_str(), values.len())).collect();
        keys.sort_by_key(|(_, values)| std::cmp::Reverse(*values));
        keys
    }

    /// The sizes of all traces, ascending.
    #[must_use]
    pub fn trace_sizes(&self) -> Vec<usize> {
        let mut sizes: Vec<usize> = self.trace_sizes.values().copied().collect();
        sizes.sort_unstable();
        sizes
    }
}

fn is_500(attribute: &KeyValue) -> bool {
    matches!(attribute.value.as_ref().and_then(|value| value.value.as_ref()), Some(Value::IntValue(500)))
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
