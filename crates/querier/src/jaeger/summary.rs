//! What a list of traces says of each, so that nobody must be sent its spans: its root, its times, its services.

use std::collections::BTreeMap;
use std::sync::Arc;

use siltstone_ask::red::ERROR;
use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::origin::Origin;
use siltstone_format::span::Span;

use crate::jaeger::adjust::Piece;
use crate::jaeger::ask::shown_service;
use crate::jaeger::origins::WrittenOrigins;
use crate::jaeger::written::WriteTrace;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceSummary {
    pub trace: TraceId,
    /// The earliest span without a parent.
    pub root: Option<Root>,
    pub min_start_unix_nano: u64,
    pub max_end_unix_nano: u64,
    pub spans: u64,
    /// Spans whose status is an error.
    pub errors: u64,
    /// Spans that name a parent which is not in the trace.
    pub orphans: u64,
    /// By name.
    pub services: BTreeMap<String, OfService>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    pub service: String,
    pub operation: String,
    start_unix_nano: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfService {
    pub spans: u64,
    pub errors: u64,
}

/// A summary of the spans that have come so far. Of each span it holds two ids, and no more.
#[derive(Debug)]
pub struct Summing {
    summary: TraceSummary,
    ids: Vec<SpanId>,
    parents: Vec<SpanId>,
}

impl WriteTrace for Summing {
    type Item = TraceSummary;

    fn begin(trace: TraceId) -> Self {
        let summary = TraceSummary {
            trace,
            root: None,
            min_start_unix_nano: u64::MAX,
            max_end_unix_nano: 0,
            spans: 0,
            errors: 0,
            orphans: 0,
            services: BTreeMap::new(),
        };
        Self { summary, ids: Vec::new(), parents: Vec::new() }
    }

    fn piece(&mut self, piece: Piece, _: &mut WrittenOrigins, out: &mut Vec<TraceSummary>) {
        self.add(&piece.spans);
        if piece.is_last {
            out.push(std::mem::replace(self, Self::begin(piece.trace)).finish());
        }
    }
}

impl Summing {
    fn add(&mut self, spans: &[Span]) {
        // Spans of one origin often follow each other: its name is looked for once.
        for same in spans.chunk_by(|one, next| Arc::ptr_eq(&one.origin, &next.origin)) {
            let name = same.first().map(|span| name_of(&span.origin)).unwrap_or_default();
            let errors = same.iter().filter(|span| span.status_code == ERROR).count() as u64;
            let of_service = self.summary.services.entry(name.clone()).or_default();
            of_service.spans += same.len() as u64;
            of_service.errors += errors;
            self.summary.errors += errors;
            same.iter().for_each(|span| self.add_span(span, &name));
        }
    }

    fn add_span(&mut self, span: &Span, service: &str) {
        let summary = &mut self.summary;
        summary.spans += 1;
        summary.min_start_unix_nano = summary.min_start_unix_nano.min(span.start_unix_nano);
        summary.max_end_unix_nano = summary.max_end_unix_nano.max(span.end_unix_nano);
        self.ids.push(span.span_id);
        match span.parent_span_id {
            Some(parent) => self.parents.push(parent),
            None if summary.root.as_ref().is_none_or(|root| span.start_unix_nano < root.start_unix_nano) => {
                summary.root = Some(Root {
                    service: service.to_owned(),
                    operation: span.name.clone(),
                    start_unix_nano: span.start_unix_nano,
                });
            }
            None => {}
        }
    }

    fn finish(mut self) -> TraceSummary {
        self.ids.sort_unstable();
        let orphans = self.parents.iter().filter(|parent| self.ids.binary_search(parent).is_err());
        self.summary.orphans = orphans.count() as u64;
        self.summary
    }
}

fn name_of(origin: &Origin) -> String {
    shown_service(&origin.service_name()).to_owned()
}

#[cfg(test)]
mod tests {
    use siltstone_format::value::{Attribute, Value};

    use super::*;

    fn of_service(name: &str) -> Arc<Origin> {
        let attribute = Attribute { key: "service.name".to_owned(), value: Value::Str(name.to_owned()) };
        Arc::new(Origin { resource_attributes: vec![attribute], ..Origin::default() })
    }

    fn span(id: u8, parent: Option<u8>, times: (u64, u64), service: &Arc<Origin>) -> Span {
        Span {
            span_id: SpanId([id; 8]),
            parent_span_id: parent.map(|parent| SpanId([parent; 8])),
            name: format!("op-{id}"),
            start_unix_nano: times.0,
            end_unix_nano: times.1,
            origin: Arc::clone(service),
            ..Span::default()
        }
    }

    #[test]
    fn should_sum_up_a_trace_whatever_its_pieces() {
        let (cart, shop, nameless) = (of_service("cart"), of_service("shop"), of_service(""));
        let mut spans = [
            span(1, Some(2), (50, 60), &cart),
            span(2, None, (40, 90), &shop),
            span(3, None, (10, 20), &cart),
            span(4, Some(9), (15, 300), &cart),
            span(5, Some(1), (55, 58), &nameless),
        ];
        for failed in [0, 3] {
            spans[failed].status_code = ERROR;
        }
        let summaries: Vec<TraceSummary> = [1, 2, 5]
            .into_iter()
            .map(|size| {
                let mut summing = Summing::begin(TraceId([1; 16]));
                spans.chunks(size).for_each(|piece| summing.add(piece));
                summing.finish()
            })
            .collect();
        let expected = TraceSummary {
            trace: TraceId([1; 16]),
            root: Some(Root {
                service: "cart".to_owned(),
                operation: "op-3".to_owned(),
                start_unix_nano: 10,
            }),
            min_start_unix_nano: 10,
            max_end_unix_nano: 300,
            spans: 5,
            errors: 2,
            orphans: 1,
            services: [
                ("OTLPResourceNoServiceName".to_owned(), OfService { spans: 1, errors: 0 }),
                ("cart".to_owned(), OfService { spans: 3, errors: 2 }),
                ("shop".to_owned(), OfService { spans: 1, errors: 0 }),
            ]
            .into(),
        };
        assert!(summaries.iter().all(|summary| *summary == expected), "{summaries:#?}");
    }

    #[test]
    fn should_say_of_a_trace_without_a_root_that_it_has_none() {
        let mut summing = Summing::begin(TraceId([1; 16]));
        summing.add(&[span(1, Some(1), (5, 4), &of_service("cart"))]);
        let summary = summing.finish();
        // Its own parent: nobody is missing.
        assert_eq!((summary.root, summary.orphans, summary.spans), (None, 0, 1));
    }
}
