//! One trace: runs an operation with all it calls, on a clock of virtual nanoseconds, and leaves the spans.
//!
//! A span's end follows from what happened inside it, so parents enclose their children unless a clock is
//! wrong, a caller gave up waiting, or a message is processed after its sender is done.

use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::{common::v1::KeyValue, trace::v1::Span};

use crate::attributes::{count, double, int, text, texts};
use crate::config::Shares;
use crate::dice::{Dice, mix};
use crate::enrich::Enricher;
use crate::failures::{Failure, exception};
use crate::fleet::Fleet;
use crate::operations::{Door, Operation, Step, Topic};
use crate::scopes::Instrument;
use crate::services::{GATEWAY, Language, STOREFRONT, Service};
use crate::subject::{Subject, decimal};

/// No trace has more spans than this.
pub(crate) const LARGEST_TRACE: usize = 10_000;

/// A finished span on its way to its pod's exporter.
pub(crate) struct Emitted {
    pub(crate) pod: usize,
    pub(crate) instrument: Instrument,
    /// When it really ended, whatever the pod's clock says.
    pub(crate) ended: u64,
    pub(crate) span: Span,
}

/// A message that waits for its consumer.
pub(crate) struct Published {
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    pub(crate) at: u64,
    pub(crate) operation: &'static Operation,
}

/// Makes traces, one after the other.
pub(crate) struct Weaver {
    pub(crate) dice: Dice,
    pub(crate) fleet: Fleet,
    pub(crate) subject: Subject,
    /// Messages of all traces so far that nobody has polled.
    pub(crate) published: Vec<Published>,
    pub(crate) trace: Trace,
    pub(crate) shares: Shares,
    pub(crate) enricher: Enricher,
    /// Next offset of each partition, by topic.
    pub(crate) offsets: Vec<u64>,
}

/// The trace in the making.
#[derive(Default)]
pub(crate) struct Trace {
    pub(crate) id: [u8; 16],
    pub(crate) state: &'static str,
    pub(crate) spans: Vec<Emitted>,
    /// Size for [`Step::Fill`].
    wanted: usize,
}

#[derive(Clone, Copy)]
pub(crate) enum Parent {
    None,
    Local([u8; 8]),
    /// With the pod that the request comes from.
    Remote([u8; 8], usize),
}

/// The span that is open while steps run.
#[derive(Clone, Copy)]
pub(crate) struct Here {
    pub(crate) pod: usize,
    pub(crate) span_id: [u8; 8],
}

pub(crate) struct Outcome {
    pub(crate) end: u64,
    pub(crate) failure: Option<Failure>,
}

impl Weaver {
    /// Makes the trace that begins with this operation; `wanted` is the size of a batch job's.
    pub(crate) fn weave(
        &mut self,
        entry: &'static Operation,
        start: u64,
        links: Vec<Link>,
        wanted: usize,
    ) -> Vec<Emitted> {
        let state = if self.dice.percent(2) { "ot=th:c;rv:9b8233f7e3a151" } else { "" };
        self.trace =
            Trace { id: self.dice.trace_id(), state, spans: Vec::new(), wanted: wanted.min(LARGEST_TRACE) };
        self.subject.renew(&mut self.dice);
        self.run(entry, Parent::None, start, links);
        let mut spans = std::mem::take(&mut self.trace.spans);
        if spans.len() > 1 && self.dice.chance(self.shares.missing_parents) {
            lose_a_parent(&mut spans, &mut self.dice);
        }
        spans
    }

    /// One operation on one pod of its service.
    pub(crate) fn run(
        &mut self,
        operation: &'static Operation,
        parent: Parent,
        start: u64,
        links: Vec<Link>,
    ) -> Outcome {
        let service = operation.service;
        let pod = self.fleet.choose(service, start, &mut self.dice);
        let here = Here { pod, span_id: self.dice.span_id() };
        let work = u64::from(operation.work_us) * 1_000;
        let mut clock = start + self.dice.around(work * 2 / 3, 0.45);
        let before = self.trace.spans.len();
        let mut failure = self.steps(operation.steps, here, &mut clock);
        // Health checks are too simple to fail.
        if failure.is_none()
            && !operation.steps.is_empty()
            && self.dice.chance(self.shares.failed_traces * 0.26)
        {
            failure = Some(Failure::Bug);
        }
        clock += self.dice.around(work / 3, 0.45);
        let events = self.server_events(operation, failure, before, clock);
        let status_text = failure.map_or("", |failure| failure.words(service.language).1);
        let (kind, name, instrument) = door_span(&operation.door);
        let caller = match parent {
            Parent::Remote(_, caller) => Some(caller),
            Parent::None | Parent::Local(_) => None,
        };
        let attributes = self.door_attributes(operation, pod, failure, caller);
        let failed = failure.is_some();
        self.finish(
            Draft { here, instrument, parent, kind, name, start, end: clock, attributes, events, links },
            failed.then_some(status_text),
        );
        Outcome { end: clock, failure }
    }

    fn server_events(
        &mut self,
        operation: &Operation,
        failure: Option<Failure>,
        spans_before: usize,
        at: u64,
    ) -> Vec<Event> {
        if let Some(failure) = failure {
            // Everybody on the way up could tell, but those who only pass an error on mostly do not.
            let own = self.trace.spans.len() == spans_before || self.dice.percent(60);
            if own {
                let depth = self.enricher.stack_depth();
                return vec![exception(failure, operation.service, "handle", depth, at)];
            }
        } else if evaluates_flags(operation.service) && self.dice.percent(38) {
            return vec![flag_evaluation(at - 40_000, &mut self.dice)];
        }
        Vec::new()
    }

    /// Runs steps one after the other until one fails.
    pub(crate) fn steps(&mut self, steps: &'static [Step], here: Here, clock: &mut u64) -> Option<Failure> {
        for step in steps {
            // The moment it takes to get from one thing to the next.
            *clock += self.dice.around(18_000, 0.7);
            if let Some(failure) = self.step(step, here, clock) {
                return Some(failure);
            }
        }
        None
    }

    fn step(&mut self, step: &'static Step, here: Here, clock: &mut u64) -> Option<Failure> {
        match step {
            Step::Inner(function, work_us, inside) => self.inner(function, *work_us, inside, here, clock),
            Step::Call(operation) => self.call(operation, here, clock),
            Step::Ask(statement) => self.ask(statement, here, clock),
            Step::Publish(topic) => {
                self.publish(topic, here, clock);
                None
            }
            Step::Fork(branches) => {
                self.fork(branches, here, clock);
                None
            }
            Step::Maybe(percent, steps) => {
                if self.dice.percent(*percent) {
                    self.steps(steps, here, clock)
                } else {
                    None
                }
            }
            Step::Times(median, steps) => self.times(*median, steps, here, clock),
            Step::Fill(steps) => self.fill(steps, here, clock),
        }
    }

    fn fork(&mut self, branches: &'static [Step], here: Here, clock: &mut u64) {
        let start = *clock;
        for branch in branches {
            let mut own = start + self.dice.around(9_000, 0.6);
            self.step(branch, here, &mut own);
            *clock = own.max(*clock);
        }
    }

    fn times(&mut self, median: u32, steps: &'static [Step], here: Here, clock: &mut u64) -> Option<Failure> {
        let times = self.dice.around(u64::from(median), 0.9).max(1);
        for _ in 0..times {
            if self.trace.spans.len() >= LARGEST_TRACE / 2 {
                break;
            }
            self.subject.next_product(&mut self.dice);
            if let Some(failure) = self.steps(steps, here, clock) {
                return Some(failure);
            }
        }
        None
    }

    fn fill(&mut self, steps: &'static [Step], here: Here, clock: &mut u64) -> Option<Failure> {
        // The root is still to come.
        while self.trace.spans.len() + 1 < self.trace.wanted {
            for step in steps.iter().take(self.trace.wanted - 1 - self.trace.spans.len()) {
                *clock += self.dice.around(600_000, 0.8);
                // A job carries on after a failed page.
                self.step(step, here, clock);
            }
        }
        None
    }

    fn inner(
        &mut self,
        function: &'static str,
        work_us: u32,
        steps: &'static [Step],
        here: Here,
        clock: &mut u64,
    ) -> Option<Failure> {
        let start = *clock;
        let inside = Here { pod: here.pod, span_id: self.dice.span_id() };
        // A coarse clock does not notice what a hit in a local table takes.
        if !(steps.is_empty() && self.dice.percent(2)) {
            *clock += self.dice.around(u64::from(work_us) * 1_000, 0.5);
        }
        let failure = self.steps(steps, inside, clock);
        let mut attributes = Vec::with_capacity(4);
        attributes.push(text("code.function.name", function));
        self.push_thread(&mut attributes, here.pod);
        let draft = Draft {
            here: inside,
            instrument: Instrument::App,
            parent: Parent::Local(here.span_id),
            kind: SpanKind::Internal,
            name: function.to_owned(),
            start,
            end: *clock,
            attributes,
            events: Vec::new(),
            links: Vec::new(),
        };
        self.finish(draft, failure.map(|_| ""));
        failure
    }

    fn door_attributes(
        &mut self,
        operation: &'static Operation,
        pod: usize,
        failure: Option<Failure>,
        caller: Option<usize>,
    ) -> Vec<KeyValue> {
        let service = operation.service;
        let mut attributes = Vec::with_capacity(10);
        match &operation.door {
            Door::Http { method, route, path } => {
                attributes.push(text("http.request.method", *method));
                attributes.push(text("http.route", *route));
                attributes.push(text("url.path", self.subject.fill(path, &mut self.dice)));
                attributes.push(text("url.scheme", if service.index == 0 { "https" } else { "http" }));
                let probe = operation.is_probe();
                let status = if probe { 200 } else { self.status(failure, method) };
                attributes.push(int("http.response.status_code", status));
                self.push_http_details(&mut attributes, service, method, probe);
            }
            Door::Grpc { service: name, method } => {
                attributes.push(text("rpc.system", "grpc"));
                attributes.push(text("rpc.service", *name));
                attributes.push(text("rpc.method", *method));
                attributes.push(int("rpc.grpc.status_code", failure.map_or(0, Failure::grpc_status)));
                attributes.push(int("server.port", service.port));
                if let Some(caller) = caller {
                    attributes.push(text("network.peer.address", self.fleet.pods[caller].address.as_str()));
                }
                self.push_business(&mut attributes, service, method);
            }
            Door::Topic(topic) => self.push_consumed(&mut attributes, topic, service),
            Door::Timer { name } => attributes.push(text("code.function.name", *name)),
        }
        self.push_thread(&mut attributes, pod);
        if let Some(failure) = failure {
            attributes.push(text("error.type", failure.words(service.language).0));
        }
        attributes
    }

    fn status(&mut self, failure: Option<Failure>, method: &str) -> i64 {
        match failure {
            Some(failure) => failure.http_status(),
            None if self.dice.percent(2) => *self.dice.pick(&[404, 404, 304, 304, 400, 401, 429]),
            None if method == "POST" => 201,
            None => 200,
        }
    }

    fn push_http_details(
        &mut self,
        attributes: &mut Vec<KeyValue>,
        service: &Service,
        method: &str,
        probe: bool,
    ) {
        if method != "GET" {
            attributes.push(count("http.request.body.size", self.dice.around(420, 0.7)));
        }
        if service.index != GATEWAY.index {
            return;
        }
        if probe {
            // The node's kubelet asks, and always gets the same two bytes.
            attributes.push(text("client.address", "10.32.0.1"));
            attributes.push(int("http.response.body.size", 2));
            return;
        }
        attributes.push(text("client.address", self.subject.address_text()));
        attributes.push(count("http.response.body.size", self.dice.around(4_600, 0.9)));
        if self.subject.logged_in {
            attributes.push(text("enduser.id", decimal(self.subject.user)));
        }
        if self.dice.percent(1) {
            let hops = [self.subject.address_text(), "10.32.0.4".to_owned()];
            attributes.push(texts("http.request.header.x-forwarded-for", hops));
        }
    }

    fn push_business(&mut self, attributes: &mut Vec<KeyValue>, service: &Service, method: &str) {
        match method {
            "Place" => {
                self.subject.next_order(&mut self.dice);
                attributes.push(double("app.cart.total", self.dice.around(7_400, 0.8) as f64 / 100.0));
            }
            "Charge" => {}
            _ => return,
        }
        attributes.push(self.order_id(service));
    }

    /// Text from an old SDK, a number from a new one.
    pub(crate) fn order_id(&self, service: &Service) -> KeyValue {
        match service.old_sdk {
            true => text("app.order.id", decimal(self.subject.order)),
            false => count("app.order.id", self.subject.order),
        }
    }

    fn push_consumed(&mut self, attributes: &mut Vec<KeyValue>, topic: &'static Topic, service: &Service) {
        attributes.push(text("messaging.system", "kafka"));
        attributes.push(text("messaging.destination.name", topic.name));
        attributes.push(text("messaging.operation.type", "process"));
        attributes.push(double("app.queue.lag_seconds", self.dice.around(180, 0.9) as f64 / 1_000.0));
        attributes.push(self.order_id(service));
    }

    /// The Java agent always says which thread.
    pub(crate) fn push_thread(&self, attributes: &mut Vec<KeyValue>, pod: usize) {
        if self.fleet.pods[pod].service.language == Language::Java {
            // A request stays on its thread.
            let request = mix(u64::from(self.trace.id[0]) << 8 | u64::from(self.trace.id[1]), pod as u64);
            attributes.push(count("thread.id", 40 + request % 48));
        }
    }
}

fn door_span(door: &Door) -> (SpanKind, String, Instrument) {
    match door {
        Door::Http { method, route, .. } => {
            (SpanKind::Server, [*method, " ", *route].concat(), Instrument::HttpServer)
        }
        Door::Grpc { service, method } => {
            (SpanKind::Server, [*service, "/", *method].concat(), Instrument::Rpc)
        }
        Door::Topic(topic) => (SpanKind::Consumer, ["process ", topic.name].concat(), Instrument::Messaging),
        Door::Timer { name } => (SpanKind::Internal, (*name).to_owned(), Instrument::App),
    }
}

fn evaluates_flags(service: &Service) -> bool {
    service.index == GATEWAY.index || service.index == STOREFRONT.index
}

fn flag_evaluation(at: u64, dice: &mut Dice) -> Event {
    let key = *dice.pick(&["new-price-box", "lazy-images", "sticky-cart"]);
    Event {
        time_unix_nano: at,
        name: "feature_flag.evaluation".to_owned(),
        attributes: vec![
            text("feature_flag.key", key),
            text("feature_flag.provider.name", "flagd"),
            text("feature_flag.result.variant", if dice.percent(20) { "on" } else { "off" }),
        ],
        dropped_attributes_count: 0,
    }
}

/// A pod was killed before it could export: mostly the root is missing, else some other span with children.
fn lose_a_parent(spans: &mut Vec<Emitted>, dice: &mut Dice) {
    let lost = if dice.percent(60) {
        spans.iter().position(|emitted| emitted.span.parent_span_id.is_empty())
    } else {
        let child = dice.below(spans.len() as u64) as usize;
        let parent = spans[child].span.parent_span_id.clone();
        spans.iter().position(|emitted| emitted.span.span_id == parent)
    };
    if let Some(lost) = lost {
        spans.remove(lost);
    }
}

/// A span that only lacks what all spans have alike.
pub(crate) struct Draft {
    pub(crate) here: Here,
    pub(crate) instrument: Instrument,
    pub(crate) parent: Parent,
    pub(crate) kind: SpanKind,
    pub(crate) name: String,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) events: Vec<Event>,
    pub(crate) links: Vec<Link>,
}
