//! A call from one service to another: the caller's client span around the callee's server span, with the
//! network between them, impatience and second attempts.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::attributes::{count, int, text};
use crate::failures::{Failure, exception};
use crate::operations::{Door, Operation};
use crate::scopes::Instrument;
use crate::services::Service;
use crate::subject::decimal;
use crate::trace::{Draft, Here, Parent, Weaver};

const MOST_ATTEMPTS: u64 = 3;

impl Weaver {
    pub(crate) fn call(
        &mut self,
        operation: &'static Operation,
        here: Here,
        clock: &mut u64,
    ) -> Option<Failure> {
        let mut failure = None;
        for attempt in 0..MOST_ATTEMPTS {
            if attempt > 0 {
                *clock += self.dice.around(25_000_000 << attempt, 0.3);
            }
            failure = self.attempt(operation, here, clock, attempt);
            // Only what may have been lost on the way is worth another try.
            if !matches!(failure, Some(Failure::Unavailable | Failure::Timeout)) {
                break;
            }
        }
        failure
    }

    fn attempt(
        &mut self,
        operation: &'static Operation,
        here: Here,
        clock: &mut u64,
        attempt: u64,
    ) -> Option<Failure> {
        let start = *clock;
        let client = Here { pod: here.pod, span_id: self.dice.span_id() };
        // Once something is unavailable it likely stays so for a moment.
        let share = if attempt == 0 { self.shares.retried_calls } else { 0.08 };
        let lost = self.dice.chance(share);
        let failure = if lost && self.dice.percent(70) {
            *clock += self.dice.around(2_000_000, 0.8);
            Some(Failure::Unavailable)
        } else {
            let arrived = start + self.dice.around(190_000, 0.5);
            let outcome = self.run(operation, Parent::Remote(client.span_id, here.pod), arrived, Vec::new());
            if lost {
                // The caller gives up while the callee is still at it.
                *clock = start + (outcome.end - start) / 3;
                Some(Failure::Timeout)
            } else {
                *clock = outcome.end + self.dice.around(170_000, 0.5);
                outcome.failure
            }
        };
        self.client_span(operation, here, client, (start, *clock), failure, attempt);
        failure
    }

    fn client_span(
        &mut self,
        operation: &'static Operation,
        here: Here,
        client: Here,
        (start, end): (u64, u64),
        failure: Option<Failure>,
        attempt: u64,
    ) {
        let caller = self.fleet.pods[here.pod].service;
        let mut attributes = self.client_attributes(operation, failure);
        self.push_thread(&mut attributes, here.pod);
        if attempt > 0 {
            push_attempt(&mut attributes, operation, caller, attempt);
        }
        let mut events = Vec::new();
        if let Some(failure) = failure {
            attributes.push(text("error.type", failure.words(caller.language).0));
            if matches!(failure, Failure::Unavailable | Failure::Timeout) && self.dice.percent(25) {
                let depth = self.enricher.stack_depth();
                events.push(exception(failure, caller, "send", depth, end));
            }
        }
        let (name, instrument) = match &operation.door {
            Door::Grpc { service, method } => ([*service, "/", *method].concat(), Instrument::Rpc),
            Door::Http { method, .. } => ((*method).to_owned(), Instrument::HttpClient),
            Door::Topic(_) | Door::Timer { .. } => (String::new(), Instrument::App),
        };
        let draft = Draft {
            here: client,
            instrument,
            parent: Parent::Local(here.span_id),
            kind: SpanKind::Client,
            name,
            start,
            end,
            attributes,
            events,
            links: Vec::new(),
        };
        self.finish(draft, failure.map(|failure| failure.words(caller.language).1));
    }

    fn client_attributes(
        &mut self,
        operation: &'static Operation,
        failure: Option<Failure>,
    ) -> Vec<KeyValue> {
        let callee = operation.service;
        let mut attributes = Vec::with_capacity(8);
        match &operation.door {
            Door::Http { method, path, .. } => {
                let path = self.subject.fill(path, &mut self.dice);
                attributes.push(text("http.request.method", *method));
                attributes.push(text("url.full", ["http://", callee.name, ":8080", &path].concat()));
                attributes.push(text("server.address", callee.name));
                attributes.push(int("server.port", callee.port));
                match failure {
                    // Without an answer there is no status.
                    Some(Failure::Timeout | Failure::Unavailable) => {}
                    failure => attributes
                        .push(int("http.response.status_code", failure.map_or(200, Failure::http_status))),
                }
            }
            Door::Grpc { service, method } => {
                attributes.push(text("rpc.system", "grpc"));
                attributes.push(text("rpc.service", *service));
                attributes.push(text("rpc.method", *method));
                attributes.push(int("rpc.grpc.status_code", failure.map_or(0, Failure::grpc_status)));
                attributes.push(text("server.address", callee.name));
                attributes.push(int("server.port", callee.port));
            }
            Door::Topic(_) | Door::Timer { .. } => {}
        }
        attributes
    }
}

fn push_attempt(attributes: &mut Vec<KeyValue>, operation: &Operation, caller: &Service, attempt: u64) {
    attributes.push(match (&operation.door, caller.old_sdk) {
        (Door::Http { .. }, _) => count("http.request.resend_count", attempt),
        (_, true) => text("app.retry.count", decimal(attempt)),
        (_, false) => count("app.retry.count", attempt),
    });
}
