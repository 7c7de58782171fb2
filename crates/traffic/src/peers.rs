//! Spans at the border: a statement to a store or third party, and a message put on a topic.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::attributes::{boolean, count, int, text};
use crate::failures::{Failure, exception};
use crate::fleet::uuid;
use crate::operations::{Consumer, Topic};
use crate::scopes::Instrument;
use crate::services::{KAFKA, System};
use crate::statements::Statement;
use crate::trace::{Draft, Here, Parent, Published, Weaver};

impl Weaver {
    pub(crate) fn ask(
        &mut self,
        statement: &'static Statement,
        here: Here,
        clock: &mut u64,
    ) -> Option<Failure> {
        let start = *clock;
        let failure = self.dice.chance(self.shares.failed_traces * 0.15).then_some(Failure::Store);
        *clock += self.dice.around(u64::from(statement.median_us) * 1_000, 0.42);
        let mut attributes = self.statement_attributes(statement, failure);
        self.push_thread(&mut attributes, here.pod);
        let service = self.fleet.pods[here.pod].service;
        let mut events = Vec::new();
        if let Some(failure) = failure {
            attributes.push(text("error.type", failure.words(service.language).0));
            let depth = self.enricher.stack_depth();
            events.push(exception(failure, service, "query", depth, *clock));
        }
        let draft = Draft {
            here: Here { pod: here.pod, span_id: self.dice.span_id() },
            instrument: instrument(statement.peer.system),
            parent: Parent::Local(here.span_id),
            kind: SpanKind::Client,
            name: span_name(statement),
            start,
            end: *clock,
            attributes,
            events,
            links: Vec::new(),
        };
        self.finish(draft, failure.map(|failure| failure.words(service.language).1));
        failure
    }

    fn statement_attributes(
        &mut self,
        statement: &'static Statement,
        failure: Option<Failure>,
    ) -> Vec<KeyValue> {
        let filled = self.subject.fill(statement.text, &mut self.dice);
        let address = statement.peer.address;
        let mut attributes = Vec::with_capacity(9);
        match statement.peer.system {
            System::Postgres => {
                attributes.push(text("db.system.name", "postgresql"));
                attributes.push(text("db.namespace", statement.peer.namespace));
                attributes.push(text("db.operation.name", statement.verb));
                attributes.push(text("db.collection.name", statement.target));
                attributes.push(text("db.query.text", filled));
                if statement.rows > 0 && failure.is_none() {
                    attributes.push(count("db.response.returned_rows", self.rows(statement.rows)));
                }
            }
            System::Redis => {
                attributes.push(text("db.system.name", "redis"));
                attributes.push(text("db.namespace", statement.peer.namespace));
                attributes.push(text("db.operation.name", statement.verb));
                attributes.push(text("db.query.text", filled));
                if statement.verb == "GET" {
                    attributes.push(boolean("cache.hit", self.dice.percent(88)));
                }
            }
            System::Elasticsearch => {
                attributes.push(text("db.system.name", "elasticsearch"));
                attributes.push(text("db.operation.name", statement.verb));
                attributes.push(text("db.collection.name", statement.target));
                attributes.push(text("url.path", filled));
                attributes.push(count("db.response.returned_rows", self.rows(statement.rows)));
            }
            System::Blob => {
                attributes.push(text("rpc.system", "aws-api"));
                attributes.push(text("rpc.method", statement.verb));
                attributes.push(text("aws.s3.bucket", statement.target));
                attributes.push(text("aws.s3.key", filled));
                attributes.push(count("http.request.body.size", self.dice.around(48_000, 0.6)));
            }
            System::Http | System::Kafka => {
                attributes.push(text("http.request.method", statement.verb));
                attributes.push(text("url.full", ["https://", address, &filled].concat()));
                attributes.push(int("http.response.status_code", failure.map_or(200, Failure::http_status)));
            }
        }
        attributes.push(text("server.address", address));
        attributes
    }

    fn rows(&mut self, about: u16) -> u64 {
        match about {
            1 => 1,
            about => self.dice.around(u64::from(about), 0.3).min(u64::from(about) * 3 / 2),
        }
    }

    pub(crate) fn publish(&mut self, topic: &'static Topic, here: Here, clock: &mut u64) {
        let start = *clock;
        let span_id = self.dice.span_id();
        *clock += self.dice.around(1_300_000, 0.5);
        let partition = self.dice.below(topic.partitions);
        let offset = &mut self.offsets[partition as usize];
        *offset += 1;
        let mut attributes = vec![
            text("messaging.system", "kafka"),
            text("messaging.destination.name", topic.name),
            text("messaging.operation.type", "send"),
            text("messaging.destination.partition.id", partition.to_string()),
            count("messaging.kafka.offset", *offset),
            text("messaging.message.id", uuid(self.dice.trace_id())),
            text("server.address", KAFKA.address),
        ];
        self.push_thread(&mut attributes, here.pod);
        let draft = Draft {
            here: Here { pod: here.pod, span_id },
            instrument: Instrument::Messaging,
            parent: Parent::Local(here.span_id),
            kind: SpanKind::Producer,
            name: ["send ", topic.name].concat(),
            start,
            end: *clock,
            attributes,
            events: Vec::new(),
            links: Vec::new(),
        };
        self.finish(draft, None);
        let lag = self.dice.around(180_000_000, 0.9);
        match &topic.consumer {
            Consumer::Child(operation) => {
                self.run(operation, Parent::Remote(span_id, here.pod), *clock + lag, Vec::new());
            }
            Consumer::Linked(operation) => {
                let at = *clock + lag;
                self.published.push(Published { trace_id: self.trace.id, span_id, at, operation });
            }
        }
    }
}

fn instrument(system: System) -> Instrument {
    match system {
        System::Postgres => Instrument::Sql,
        System::Redis => Instrument::Cache,
        System::Kafka => Instrument::Messaging,
        System::Blob | System::Elasticsearch | System::Http => Instrument::HttpClient,
    }
}

fn span_name(statement: &Statement) -> String {
    match statement.peer.system {
        System::Postgres | System::Elasticsearch => [statement.verb, " ", statement.target].concat(),
        System::Blob => ["S3.", statement.verb].concat(),
        System::Redis | System::Http | System::Kafka => statement.verb.to_owned(),
    }
}
