//! More than it can take: many senders at once, as fast as they can.

use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;

use crate::message::{MEGABYTE_SPANS, megabyte};
use crate::process::Process;
use crate::sender::Sender;
use crate::{BUDGET, MEMORY, PROTOBUF};

const HTTP_SENDERS: u64 = 52;
const GRPC_SENDERS: u64 = 12;
const REQUESTS_EACH: u64 = 4;

/// What the process has beside its budget, in MiB. The program and its threads: 32. Of each connection what was
/// read and not yet taken: HTTP/1 reads 512 KiB at once, and HTTP/2 has a window of 2 MiB.
const ALLOWANCE: u64 = 32 + HTTP_SENDERS / 2 + 2 * GRPC_SENDERS;

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
