//! More than it can take: many senders at once, as fast as they can.

use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;

use crate::message::{MEGABYTE_SPANS, megabyte, part_of_one_trace};
use crate::process::Process;
use crate::sender::Sender;
use crate::{BUDGET, MEMORY, PROTOBUF};

const HTTP_SENDERS: u64 = 52;
const GRPC_SENDERS: u64 = 12;
const REQUESTS_EACH: u64 = 3;

/// What the process has beside its budget, in MiB. The program, its threads, and what encoding a block takes beyond
/// what is reserved for it: 64. For each HTTP/1 connection two buffers of 512 KiB: one that is being taken from, and
/// the next one. For each HTTP/2 connection its window of 2 MiB, in buffers that may be half empty.
const ALLOWANCE: u64 = 64 + HTTP_SENDERS + 4 * GRPC_SENDERS;

#[derive(Default)]
struct Outcomes {
    accepted: AtomicU64,
    refused: AtomicU64,
}

#[test]
fn should_stay_within_its_memory_and_lose_nothing_when_many_send_too_much() {
    let ages = ["--ingest-small-tenant-age", "500ms", "--ingest-large-tenant-age", "500ms"];
    let process = Process::start(&[&["--ingest-memory", MEMORY], &ages[..]].concat());
    let outcomes = Outcomes::default();
    std::thread::scope(|scope| {
        let (process, outcomes) = (&process, &outcomes);
        for sender in 0..HTTP_SENDERS {
            scope.spawn(move || send_by_http(&process.http, sender, outcomes));
        }
        for sender in HTTP_SENDERS..HTTP_SENDERS + GRPC_SENDERS {
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(send_by_grpc(&process.grpc, sender, outcomes));
            });
        }
    });
    let accepted = outcomes.accepted.into_inner() * MEGABYTE_SPANS;
    let refused = outcomes.refused.into_inner();
    assert_eq!(process.numbers().of("spans_total"), accepted, "spans acknowledged, by both sides");
    assert_eq!(process.numbers().of("refused_requests_total{reason=\"overloaded\"}"), refused);
    assert_eq!(process.flush(), accepted, "acknowledged spans are in blocks");
    let peak = process.peak_mebibytes();
    println!("{accepted} spans accepted, {refused} requests refused, at most {peak} MiB");
    assert!(accepted > 0);
    assert!(peak <= BUDGET + ALLOWANCE, "{peak} MiB");
    process.end();
}

fn send_by_http(address: &str, number: u64, outcomes: &Outcomes) {
    let mut sender = Sender::new(address);
    for request in 0..REQUESTS_EACH {
        let answer = sender.post(PROTOBUF, "identity", &megabyte(number * REQUESTS_EACH + request));
        match answer.status {
            200 => {
                assert!(answer.body.is_empty(), "a part was refused");
                outcomes.accepted.fetch_add(1, Ordering::Relaxed);
            }
            429 => {
                assert!(answer.says_when(), "{answer:?}");
                outcomes.refused.fetch_add(1, Ordering::Relaxed);
                // What is left in the connection is not ours to know: after a refusal it may be closed.
                sender = Sender::new(address);
            }
            _ => panic!("{answer:?}"),
        }
    }
}

async fn send_by_grpc(address: &str, number: u64, outcomes: &Outcomes) {
    let mut client = TraceServiceClient::connect(format!("http://{address}")).await.unwrap();
    for request in 0..REQUESTS_EACH {
        let bytes = megabyte(number * REQUESTS_EACH + request);
        let message = ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap();
        match client.export(message).await {
            Ok(answer) => {
                assert_eq!(answer.into_inner().partial_success, None);
                outcomes.accepted.fetch_add(1, Ordering::Relaxed);
            }
            Err(status) => {
                assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
                assert!(!status.details().is_empty(), "it does not say when to try again: {status}");
                outcomes.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// A trace as nobody has it, 20,000 spans at a time.
#[test]
fn should_take_a_trace_of_a_million_spans() {
    let ages = ["--ingest-small-tenant-age", "500ms", "--ingest-large-tenant-age", "500ms"];
    let process = Process::start(&[&["--ingest-memory", MEMORY], &ages[..]].concat());
    let mut sender = Sender::new(&process.http);
    for request in 0..50 {
        let answer = sender.post(PROTOBUF, "identity", &part_of_one_trace(request, 20_000));
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{answer:?}");
    }
    assert_eq!(process.flush(), 1_000_000);
    let peak = process.peak_mebibytes();
    println!("a million spans of one trace: at most {peak} MiB");
    assert!(peak <= BUDGET + 64, "{peak} MiB");
}
