//! Senders that take an answer for a promise, and a killed server for nothing; and the promises.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use siltstone_ask::canonical_span;
use siltstone_tests::decode::request_spans;

use crate::process::Process;

/// What was sent so far.
pub(crate) struct Ledger {
    requests: Vec<Request>,
    state: Mutex<State>,
}

struct Request {
    message: ExportTraceServiceRequest,
    /// What a reader shows of it, as canonical bytes.
    spans: Vec<Vec<u8>>,
}

#[derive(Default)]
struct State {
    /// Not acknowledged: never sent, or of unknown fate.
    open: Vec<usize>,
    /// How many may still be sent in this round.
    share: usize,
    acknowledged: Vec<usize>,
    attempted: BTreeSet<usize>,
    refusals: Vec<String>,
}

impl Request {
    fn new(message: ExportTraceServiceRequest) -> Self {
        let spans = request_spans(&message).map(|span| canonical_span(&span)).collect();
        Self { message, spans }
    }
}

impl Ledger {
    pub(crate) fn new(messages: impl Iterator<Item = ExportTraceServiceRequest>) -> Self {
        let requests: Vec<Request> = messages.map(Request::new).collect();
        let open = (0..requests.len()).rev().collect();
        Self { requests, state: Mutex::new(State { open, share: usize::MAX, ..State::default() }) }
    }

    fn next(&self) -> Option<usize> {
        let mut state = self.state.lock().unwrap();
        state.share = state.share.checked_sub(1)?;
        let next = state.open.pop()?;
        state.attempted.insert(next);
        Some(next)
    }

    fn settle(&self, number: usize, acknowledged: bool) {
        let mut state = self.state.lock().unwrap();
        if acknowledged { state.acknowledged.push(number) } else { state.open.push(number) }
    }

    /// Requests.
    pub(crate) fn acknowledged(&self) -> usize {
        self.state.lock().unwrap().acknowledged.len()
    }

    /// Every acknowledged span was found, and nothing that was never sent.
    pub(crate) fn check(&self, found: &BTreeSet<Vec<u8>>) -> Result<(), String> {
        let state = self.state.lock().unwrap();
        let acknowledged = self.spans(&state.acknowledged);
        let missing = acknowledged.clone().filter(|span| !found.contains(*span)).count();
        if missing > 0 {
            return Err(format!("{missing} of {} acknowledged spans are missing", acknowledged.count()));
        }
        let attempted: BTreeSet<_> = self.spans(&state.attempted).collect();
        let unknown = found.iter().filter(|span| !attempted.contains(span)).count();
        if unknown > 0 {
            return Err(format!("{unknown} of {} spans are there that nobody sent", found.len()));
        }
        Ok(())
    }

    fn spans<'a>(
        &'a self,
        requests: impl IntoIterator<Item = &'a usize, IntoIter: Clone>,
    ) -> impl Iterator<Item = &'a Vec<u8>> + Clone {
        requests.into_iter().flat_map(|number| &self.requests[*number].spans)
    }

    pub(crate) fn refusals(&self) -> Vec<String> {
        self.state.lock().unwrap().refusals.clone()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state.lock().unwrap().open.is_empty()
    }

    /// Sends over HTTP until the server is gone or says no.
    pub(crate) fn send_by_http(&self, address: &str) {
        let Ok(mut connection) = TcpStream::connect(address) else { return };
        while let Some(number) = self.next() {
            let answer = post(&mut connection, &self.requests[number].message.encode_to_vec());
            self.settle(number, matches!(answer, Ok((200, _))));
            match answer {
                Ok((200, _)) => {}
                Ok((_, body)) => {
                    self.state.lock().unwrap().refusals.push(body);
                    return;
                }
                Err(_) => return,
            }
        }
    }

    /// The same over gRPC.
    pub(crate) async fn send_by_grpc(&self, address: &str) {
        let Ok(mut client) = TraceServiceClient::connect(format!("http://{address}")).await else { return };
        while let Some(number) = self.next() {
            let answer = client.export(self.requests[number].message.clone()).await;
            self.settle(number, answer.is_ok());
            if answer.is_err() {
                return;
            }
        }
    }

    /// A round: four senders have a share of the requests to send, and after some time the server is killed.
    #[expect(clippy::disallowed_methods, reason = "the moment of the kill is to be any")]
    pub(crate) fn send_and_kill(&self, process: Process, share: usize, after: Duration) {
        self.state.lock().unwrap().share = share;
        let (http, grpc) = (process.http.clone(), process.grpc.clone());
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| self.send_by_http(&http));
                scope.spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(self.send_by_grpc(&grpc));
                });
            }
            std::thread::sleep(after);
            process.kill();
        });
    }
}

/// The status and the body of the answer.
fn post(connection: &mut TcpStream, body: &[u8]) -> std::io::Result<(u16, String)> {
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes())?;
    connection.write_all(body)?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let read = connection.read(&mut piece)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&piece[..read]);
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
        if answer.len() >= end + 4 + length {
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            return Ok((status, String::from_utf8_lossy(&answer[end + 4..]).into_owned()));
        }
    }
}
