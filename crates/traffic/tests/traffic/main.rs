//! The traffic is what it claims to be: deterministic, calibrated, complete.

mod calibration;
mod features;
mod graph;
mod stream;

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use siltstone_traffic::{Batch, Traffic, TrafficConfig};

/// Every span with its writer, its service's name and the time at which it is sent.
struct Sent {
    writer: usize,
    service: String,
    sent_unix_nano: u64,
    span: Span,
}

fn batches(spans: usize) -> impl Iterator<Item = Batch> {
    Traffic::new(TrafficConfig { spans, ..TrafficConfig::default() })
}

fn sent(batches: impl Iterator<Item = Batch>) -> Vec<Sent> {
    let mut all = Vec::new();
    for Batch { writer, sent_unix_nano, request } in batches {
        for resource_spans in request.resource_spans {
            let resource = resource_spans.resource.unwrap_or_default();
            let service = string(&resource.attributes, "service.name").unwrap_or_default().to_owned();
            for span in resource_spans.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                all.push(Sent { writer, service: service.clone(), sent_unix_nano, span });
            }
        }
    }
    all
}

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()
}

fn string<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    match value(attributes, key)? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}
