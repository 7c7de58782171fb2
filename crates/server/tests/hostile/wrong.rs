//! Requests that are wrong, each followed by a good one.

use std::cell::Cell;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use crate::message::{Span, USUAL_START, attribute, field, good, gzip, request, zstd};
use crate::process::Process;
use crate::sender::Sender;
use crate::{BUDGET, JSON, MEMORY, PROTOBUF};

/// What the process has beside its budget, in MiB, with few connections. The program and its threads: 32. zstd's
/// windows: 6 times 8.
const ALLOWANCE: u64 = 80;

/// What a body may be once it is open: `ingest.uncompressed_bytes`.
const CAP: usize = 64 << 20;
/// `ingest.request_bytes`.
const LARGEST: usize = 20 << 20;

struct Target {
    process: Process,
    /// Good requests sent.
    sent: Cell<u64>,
}

impl Target {
    fn start() -> Self {
        let ages = ["--ingest-small-tenant-age", "500ms", "--ingest-large-tenant-age", "500ms"];
        let deadline = ["--ingest-read-deadline", "2s"];
        let arguments = [&["--ingest-memory", MEMORY], &ages[..], &deadline[..]].concat();
        Self { process: Process::start(&arguments), sent: Cell::new(0) }
    }

    fn next_good(&self) -> Vec<u8> {
        self.sent.set(self.sent.get() + 1);
        good(self.sent.get())
    }

    /// It is as well as before: it takes a good request.
    fn takes_a_good_request_after(&self, what: &str) {
        let body = request(&self.next_good());
        let mut refused = 0;
        loop {
            let answer = Sender::new(&self.process.http).post(PROTOBUF, "identity", &body);
            if answer.status == 200 && answer.body.is_empty() {
                break;
            }
            refused += 1;
            // It waits for two seconds itself before it says that.
            let is_full = answer.status == 429 && answer.says_when() && refused < 5;
            assert!(is_full, "after {what}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        let peak = self.process.peak_mebibytes();
        println!("{peak} MiB after {what}, {refused} times refused");
        assert!(peak <= BUDGET + ALLOWANCE, "{peak} MiB after {what}");
    }

    /// Refused as a whole, with a status for which no sender tries again.
    fn refuses(&self, what: &str, media_type: &str, encoding: &str, body: &[u8], status: u16) {
        let answer = Sender::new(&self.process.http).post(media_type, encoding, body);
        assert_eq!(answer.status, status, "{what}: {}", String::from_utf8_lossy(&answer.body));
        assert!(!answer.says_when(), "{what}");
        self.takes_a_good_request_after(what);
    }

    /// One span is wrong and its neighbours are not.
    fn refuses_one_span(&self, what: &str, wrong: &[u8]) {
        let spans = [&self.next_good(), wrong, &self.next_good()].concat();
        self.refuses_one_span_of(what, "identity", &request(&spans));
    }

    /// The request has three spans.
    fn refuses_one_span_of(&self, what: &str, encoding: &str, body: &[u8]) {
        let before = self.process.numbers().of("spans_total");
        let answer = Sender::new(&self.process.http).post(PROTOBUF, encoding, body);
        assert_eq!(answer.status, 200, "{what}: {}", String::from_utf8_lossy(&answer.body));
        let response = ExportTraceServiceResponse::decode(answer.body.as_slice()).unwrap();
        let partial = response.partial_success.unwrap_or_default();
        assert_eq!(partial.rejected_spans, 1, "{what}: {}", partial.error_message);
        assert_eq!(self.process.numbers().of("spans_total") - before, 2, "{what}");
        self.takes_a_good_request_after(what);
    }

    /// Everything that was acknowledged is in blocks, and the process ends as it should.
    fn ends_well(self) {
        assert!(self.process.flush() >= self.sent.get());
        self.process.end();
    }
}

fn usual(more: &[u8]) -> Vec<u8> {
    Span { trace: &[7; 16], span: &[7; 8], name: b"unusual", start: USUAL_START, more }.sent()
}

#[test]
fn should_refuse_wrong_spans_alone() {
    let target = Target::start();
    let span = Span { trace: &[7; 16], span: &[7; 8], name: b"wrong", start: USUAL_START, more: &[] };
    for (what, wrong) in [
        ("a short trace id", Span { trace: &[7; 15], ..span }),
        ("a long trace id", Span { trace: &[7; 1_000], ..span }),
        ("no trace id", Span { trace: &[], ..span }),
        ("a short span id", Span { span: &[7; 7], ..span }),
        ("a span id of zeros", Span { span: &[0; 8], ..span }),
        ("a name that is not UTF-8", Span { name: b"\xff\xfe", ..span }),
        ("a parent id that is too long", Span { more: &field(4, &[1; 9]), ..span }),
        // 2200-01-01, and the last moment there is.
        ("a span from 2200", Span { start: 7_258_118_400_000_000_000, ..span }),
        ("a span from the end of time", Span { start: u64::MAX, ..span }),
        ("an attribute of 300 KB", Span { more: &attribute(b"large", &field(1, &[b'x'; 300_000])), ..span }),
        ("arrays 10,000 deep", Span { more: &attribute(b"deep", &nested(10_000)), ..span }),
        ("a span of garbage", Span { more: &[0xff; 20], ..span }),
    ] {
        target.refuses_one_span(what, &wrong.sent());
    }
    target.ends_well();
}

/// An array of an array of …
fn nested(levels: usize) -> Vec<u8> {
    // From the inside out, with room for lengths of up to three bytes.
    (0..levels).fold(field(1, b"x"), |inner, _| field(5, &field(1, &inner)))
}

/// As small as they can be, each with a key of its own: twelve bytes.
fn attributes(count: usize) -> Vec<u8> {
    let key = |number: usize| [18, 12, 6, 0].map(|shift| b' ' + (number >> shift & 63) as u8);
    (0..count).flat_map(|number| attribute(&key(number), &[0x18, 1])).collect()
}

#[test]
fn should_take_spans_that_are_only_unusual() {
    let target = Target::start();
    let from_1970 = Span { trace: &[7; 16], span: &[7; 8], name: b"old", start: 1, more: &[] }.sent();
    let keys = attributes(1_600_000);
    for (what, span) in [("a span from 1970", from_1970), ("1.6 million attributes", usual(&keys))] {
        let body = request(&[span, target.next_good()].concat());
        assert!(body.len() <= LARGEST, "{}", body.len());
        let answer = Sender::new(&target.process.http).post(PROTOBUF, "identity", &body);
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{what}: {answer:?}");
        target.takes_a_good_request_after(what);
    }
    target.ends_well();
}

#[test]
fn should_refuse_bombs_without_opening_them() {
    let target = Target::start();
    let piece = vec![0; 16 << 20];
    // Members and frames one after the other: two gigabytes, if all were opened.
    target.refuses("a gzip bomb", PROTOBUF, "gzip", &gzip(&piece).repeat(128), 413);
    target.refuses("a zstd bomb", PROTOBUF, "zstd", &zstd(&piece).repeat(128), 413);
    target.refuses("a gzip bomb as JSON", JSON, "gzip", &gzip(&piece).repeat(128), 413);
    target.ends_well();
}

/// Each is small on the wire and large in memory.
#[test]
fn should_refuse_spans_of_far_too_many_parts_alone() {
    let target = Target::start();
    for (what, parts) in [
        ("as many attributes as possible", attributes((CAP - 1_000) / 12)),
        ("as many empty events as possible", [0x5a, 0].repeat((CAP - 1_000) / 2)),
        ("texts that are longer as JSON", attribute(b"a", &control_characters()).repeat(CAP / 250_000 - 1)),
        ("an event with such texts", field(11, &field(3, &[field(1, b"a"), field(2, &control_characters())].concat()).repeat(CAP / 250_000 - 1))),
    ] {
        let body = request(&[target.next_good(), usual(&parts), target.next_good()].concat());
        assert!(body.len() < CAP && body.len() > CAP / 10 * 9, "{}", body.len());
        target.refuses_one_span_of(what, "zstd", &zstd(&body));
    }
    target.ends_well();
}

/// An array of one text, nearly as large as an attribute may be.
fn control_characters() -> Vec<u8> {
    field(5, &field(1, &field(1, &[1; 249_000])))
}
