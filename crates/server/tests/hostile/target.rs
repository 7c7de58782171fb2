//! A server to be wrong to, which must be as well afterwards as before.

use std::cell::Cell;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use crate::message::{good, request};
use crate::process::Process;
use crate::sender::Sender;
use crate::{BUDGET, MEMORY, PROTOBUF};

/// What the process has beside its budget, in MiB, with few connections. The program and its threads: 32. zstd's
/// windows: 6 times 8.
pub(crate) const ALLOWANCE: u64 = 80;

pub(crate) struct Target {
    pub(crate) process: Process,
    /// Good requests sent.
    sent: Cell<u64>,
}

impl Target {
    pub(crate) fn start() -> Self {
        let ages = ["--ingest-small-tenant-age", "500ms", "--ingest-large-tenant-age", "500ms"];
        let deadline = ["--ingest-read-deadline", "4s"];
        let arguments = [&["--ingest-memory", MEMORY], &ages[..], &deadline[..]].concat();
        Self { process: Process::start(&arguments), sent: Cell::new(0) }
    }

    pub(crate) fn next_good(&self) -> Vec<u8> {
        self.sent.set(self.sent.get() + 1);
        good(self.sent.get())
    }

    /// It is as well as before: it takes a good request.
    pub(crate) fn takes_a_good_request_after(&self, what: &str) {
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

    pub(crate) fn takes(&self, what: &str, body: &[u8]) {
        let answer = Sender::new(&self.process.http).post(PROTOBUF, "identity", body);
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{what}: {answer:?}");
        self.takes_a_good_request_after(what);
    }

    /// Refused as a whole, with a status for which no sender tries again.
    pub(crate) fn refuses(&self, what: &str, media_type: &str, encoding: &str, body: &[u8], status: u16) {
        let answer = Sender::new(&self.process.http).post(media_type, encoding, body);
        assert_eq!(answer.status, status, "{what}: {}", String::from_utf8_lossy(&answer.body));
        assert!(!answer.says_when(), "{what}");
        self.takes_a_good_request_after(what);
    }

    /// One span is wrong and its neighbours are not.
    pub(crate) fn refuses_one_span(&self, what: &str, wrong: &[u8]) {
        let spans = [&self.next_good(), wrong, &self.next_good()].concat();
        self.refuses_one_span_of(what, "identity", &request(&spans));
    }

    /// The request has three spans.
    pub(crate) fn refuses_one_span_of(&self, what: &str, encoding: &str, body: &[u8]) {
        let before = self.process.numbers().of("spans_total");
        let answer = Sender::new(&self.process.http).post(PROTOBUF, encoding, body);
        assert_eq!(answer.status, 200, "{what}: {}", String::from_utf8_lossy(&answer.body));
        let response = ExportTraceServiceResponse::decode(answer.body.as_slice()).unwrap();
        let partial = response.partial_success.unwrap_or_default();
        assert_eq!(partial.rejected_spans, 1, "{what}: {}", partial.error_message);
        assert_eq!(self.process.numbers().of("spans_total") - before, 2, "{what}");
        self.takes_a_good_request_after(what);
    }

    /// Everything that was acknowledged is in blocks, and the process lives.
    pub(crate) fn ends_well(mut self) {
        assert!(self.process.flush() >= self.sent.get());
        self.process.is_well();
    }
}
