//! Bodies that are too long, shorter or longer than announced, or late.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;

use crate::message::{Span, USUAL_START, megabyte, request};
use crate::process::Process;
use crate::sender::{Sender, head};
use crate::target::Target;
use crate::{BUDGET, PROTOBUF};

const HUGE: usize = 100_000_000;

#[test]
fn should_refuse_huge_bodies_however_they_are_announced() {
    let target = Target::start();
    let piece = vec![0; 1 << 20];
    let head = head(PROTOBUF, "identity");

    let mut sender = Sender::new(&target.process.http);
    sender.write(format!("{head}Content-Length: {HUGE}\r\n\r\n").as_bytes());
    let mut taken = 0;
    while taken < HUGE && sender.write(&piece) {
        taken += piece.len();
    }
    assert_eq!(sender.answer().unwrap().status, 413);
    target.takes_a_good_request_after("100 MB as announced");

    // The answer does not wait for what will never come.
    let mut sender = Sender::new(&target.process.http);
    sender.write(format!("{head}Content-Length: {HUGE}\r\n\r\n").as_bytes());
    sender.write(b"short");
    sender.says_no_more();
    assert_eq!(sender.answer().unwrap().status, 413);
    target.takes_a_good_request_after("100 MB announced and not sent");

    let mut sender = Sender::new(&target.process.http);
    sender.write(format!("{head}Content-Length: 1000000\r\n\r\n").as_bytes());
    sender.write(b"short");
    sender.says_no_more();
    let answer = sender.answer();
    assert!(answer.as_ref().is_none_or(|answer| answer.status == 400), "{answer:?}");
    target.takes_a_good_request_after("1 MB announced and not sent");

    // What follows the announced body is another request, and none.
    let mut sender = Sender::new(&target.process.http);
    sender.write(format!("{head}Content-Length: 10\r\n\r\n").as_bytes());
    let mut taken = 0;
    while taken < HUGE && sender.write(&piece) {
        taken += piece.len();
    }
    assert!(taken < HUGE, "100 MB were read behind a body of 10 bytes");
    target.takes_a_good_request_after("100 MB behind a body of 10 bytes");
    target.ends_well();
}

#[test]
fn should_refuse_huge_and_broken_chunks() {
    let target = Target::start();
    let head = format!("{}Transfer-Encoding: chunked\r\n\r\n", head(PROTOBUF, "identity"));
    let piece = [b"100000\r\n".to_vec(), vec![0; 1 << 20], b"\r\n".to_vec()].concat();
    let mut sender = Sender::new(&target.process.http);
    sender.write(head.as_bytes());
    let mut taken = 0;
    while taken < HUGE && sender.write(&piece) {
        taken += piece.len();
    }
    assert_eq!(sender.answer().unwrap().status, 413);
    target.takes_a_good_request_after("100 MB in chunks");
    for size in ["FFFFFFFFFFFFFFFF", "FFFFFFFFFFFFFFFFFFFF", "-1", "x"] {
        let mut sender = Sender::new(&target.process.http);
        sender.write(format!("{head}{size}\r\nabc").as_bytes());
        sender.says_no_more();
        let answer = sender.answer();
        assert!(answer.as_ref().is_none_or(|answer| answer.status == 400), "{size}: {answer:?}");
        target.takes_a_good_request_after("a chunk of an absurd size");
    }
    target.ends_well();
}

/// Each of them holds room for its body until the deadline. There are more of them than there is room.
#[test]
fn should_say_when_to_come_again_while_slow_senders_hold_the_memory() {
    let target = Target::start();
    let body = megabyte(0);
    let count = BUDGET as usize * (1 << 20) / (2 * body.len()) + 8;
    let start = format!("{}Content-Length: {}\r\n\r\n", head(PROTOBUF, "identity"), body.len());
    let mut slow: Vec<Sender> = (0..count).map(|_| Sender::new(&target.process.http)).collect();
    for sender in &mut slow {
        assert!(sender.write(start.as_bytes()) && sender.write(&body[..1000]));
    }
    let nearly_all = (BUDGET << 20) - 2 * body.len() as u64;
    while target.process.numbers().of("memory_bytes") < nearly_all {
        std::thread::yield_now();
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let large = Sender::new(&target.process.http).post(PROTOBUF, "identity", &body);
            assert!(large.status == 429 && large.says_when(), "{large:?}");
        });
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let address = format!("http://{}", target.process.grpc);
            let message = ExportTraceServiceRequest::decode(&*body).unwrap();
            let status = runtime.block_on(async {
                TraceServiceClient::connect(address).await.unwrap().export(message).await.unwrap_err()
            });
            assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
            assert!(!status.details().is_empty(), "it does not say when to try again: {status}");
        });
    });
    for mut sender in slow {
        // Some waited for room in vain, all others were too slow.
        let answer = sender.answer().unwrap();
        assert!(matches!(answer.status, 429 | 503) && answer.says_when(), "{answer:?}");
    }
    target.takes_a_good_request_after("slow senders");
    target.takes("a request of a megabyte", &request(&[]));
    target.takes("a request of a megabyte", &body);
    target.ends_well();
}

/// Who holds a connection and asks nothing must not keep others out, whoever the port is for.
#[test]
fn should_close_silent_connections_on_every_port_for_spans() {
    let mut process = Process::start(&["--ingest-idle", "500ms"]);
    for address in [&process.http, &process.grpc, &process.live] {
        let mut never_says_a_word = Sender::new(address);
        let mut begins = Sender::new(address);
        // How a connection of HTTP/2 begins, and a first frame: settings, all as they are.
        assert!(begins.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"));
        assert!(never_says_a_word.answer().is_none(), "{address}");
        assert!(begins.answer().is_none(), "{address}");
    }
    process.is_well();
}

/// Three spans of which one is wrong, and a message that is longer than allowed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_refuse_the_same_over_grpc() {
    let target = Target::start();
    let mut client = TraceServiceClient::connect(format!("http://{}", target.process.grpc)).await.unwrap();
    let message = |bytes: &[u8]| ExportTraceServiceRequest::decode(bytes).unwrap();
    let wrong = Span { trace: &[7; 3], span: &[7; 8], name: b"wrong", start: USUAL_START, more: &[] }.sent();
    let spans = [target.next_good(), wrong, target.next_good()].concat();
    let answer = client.export(message(&request(&spans))).await.unwrap().into_inner();
    assert_eq!(answer.partial_success.unwrap().rejected_spans, 1);
    // Requests one after the other are one request.
    let status = client.export(message(&megabyte(0).repeat(25))).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
    assert!(status.details().is_empty(), "it would be sent again: {status}");
    target.takes_a_good_request_after("25 MB over gRPC");
    let answer = client.export(message(&request(&target.next_good()))).await.unwrap().into_inner();
    assert_eq!(answer.partial_success, None);
    target.ends_well();
}
