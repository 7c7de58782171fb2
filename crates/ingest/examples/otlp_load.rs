//! What the adapters cost: CPU time of the server's one thread for each request, before a core that does nothing.
//!
//! `cargo run --release -p siltstone-ingest --example otlp_load`; `docs/benchmarks.md` has the results.

#![expect(clippy::unwrap_used, reason = "a measurement, not the product")]

use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::time::{ClockId, clock_gettime};
use siltstone_catalog::time::{Clock, SystemClock};
use siltstone_format::tenant::Tenant;
use siltstone_ingest::budget::Budget;
use siltstone_ingest::export::{Accept, Accepted, Admission, Export, Refused};
use siltstone_ingest::metrics::Metrics;
use siltstone_ingest::receive::connections::{Answer, Bounds, Stop, serve};
use siltstone_ingest::receive::otlp::grpc::GrpcReceiver;
use siltstone_ingest::receive::otlp::http::HttpReceiver;
use siltstone_ingest::receive::otlp::{Otlp, Settings};
use tokio::net::TcpListener;

/// As the program has it: allocating and freeing large buffers is a good part of the cost.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const REQUESTS: usize = 4_000;
const BODY_BYTES: usize = 280 << 10;
const SENDERS: usize = 4;

struct Nothing {
    budget: Budget,
    bytes: AtomicU64,
}

#[async_trait]
impl Accept for Nothing {
    async fn admit(&self, _tenant: &Tenant, bytes: usize) -> Result<Admission, Refused> {
        Ok(Admission::new(self.budget.reserve(bytes, Duration::ZERO).await?))
    }

    async fn accept(&self, export: Export, _admission: Admission) -> Result<Accepted, Refused> {
        self.bytes.fetch_add(export.body.len() as u64, Ordering::Relaxed);
        Ok(Accepted::default())
    }
}

fn cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}

/// Serves on a thread of its own while `send` runs, and returns what that cost the thread.
fn measured(name: &str, is_grpc: bool, send: impl FnOnce(SocketAddr)) {
    let (told, address) = sync_channel(1);
    let stop = Stop::default();
    let stopping = stop.clone();
    let server = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
                let budget = Budget::new(1 << 30, Arc::clone(&clock));
                let core = Arc::new(Nothing { budget, bytes: AtomicU64::new(0) });
                let otlp = Arc::new(Otlp {
                    accept: Arc::clone(&core) as _,
                    metrics: Arc::new(Metrics::default()),
                    clock: Arc::clone(&clock),
                    settings: Settings::default(),
                });
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                told.send(listener.local_addr().unwrap()).unwrap();
                let before = cpu();
                let serving: Pin<Box<dyn Future<Output = ()>>> = if is_grpc {
                    Box::pin(port(listener, Arc::new(GrpcReceiver::new(otlp).await), clock, stopping))
                } else {
                    Box::pin(port(listener, Arc::new(HttpReceiver::new(otlp)), clock, stopping))
                };
                serving.await;
                let bytes = core.bytes.load(Ordering::Relaxed);
                assert_eq!(bytes, (REQUESTS * BODY_BYTES) as u64, "not everything arrived");
                cpu() - before
            })
        })
        .unwrap();
    send(address.recv().unwrap());
    stop.gently.cancel();
    let cost = server.join().unwrap();
    println!("{name}: {:.1} µs a request", cost.as_secs_f64() * 1e6 / REQUESTS as f64);
}

async fn port<A: Answer>(listener: TcpListener, answer: Arc<A>, clock: Arc<dyn Clock>, stop: Stop) {
    let bounds = Bounds { connections: 64, idle: Duration::from_secs(60) };
    serve(listener, answer, bounds, clock, stop).await;
}

/// The floor: the bytes out of the socket, into one buffer, and two bytes back.
fn plain_recv() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sender = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let body = vec![0; BODY_BYTES];
        for _ in 0..REQUESTS {
            stream.write_all(&body).unwrap();
            stream.read_exact(&mut [0; 2]).unwrap();
        }
    });
    let (mut stream, _) = listener.accept().unwrap();
    let before = cpu();
    for _ in 0..REQUESTS {
        let mut body = vec![0; BODY_BYTES];
        stream.read_exact(&mut body).unwrap();
        stream.write_all(b"ok").unwrap();
    }
    let cost = cpu() - before;
    sender.join().unwrap();
    println!("recv into one buffer: {:.1} µs a request", cost.as_secs_f64() * 1e6 / REQUESTS as f64);
}

fn send_http(address: SocketAddr) {
    std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_nodelay(true).unwrap();
                let head = format!(
                    "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n\
                     content-length: {BODY_BYTES}\r\n\r\n"
                );
                let request = [head.into_bytes(), vec![0; BODY_BYTES]].concat();
                let mut answer = [0; 4_096];
                for _ in 0..REQUESTS / SENDERS {
                    stream.write_all(&request).unwrap();
                    // The answer is small and has no body: it comes at once.
                    let read = stream.read(&mut answer).unwrap();
                    assert!(
                        answer[..read].starts_with(b"HTTP/1.1 200") && answer[..read].ends_with(b"\r\n\r\n")
                    );
                }
            });
        }
    });
}

fn send_grpc(address: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(BODY_BYTES as u32);
    frame.put_bytes(0, BODY_BYTES);
    let frame: Bytes = frame.freeze();
    runtime.block_on(async {
        let senders = (0..SENDERS).map(|_| {
            let frame = frame.clone();
            tokio::spawn(async move {
                let stream = tokio::net::TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let io = TokioIo::new(stream);
                let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
                tokio::spawn(connection);
                for _ in 0..REQUESTS / SENDERS {
                    let uri = format!(
                        "http://{address}/opentelemetry.proto.collector.trace.v1.TraceService/Export"
                    );
                    let request = http::Request::post(uri).header("content-type", "application/grpc");
                    sender.ready().await.unwrap();
                    let request = request.body(Full::new(frame.clone())).unwrap();
                    let body = sender.send_request(request).await.unwrap().into_body();
                    let body = body.collect().await.unwrap();
                    assert_eq!(body.trailers().unwrap().get("grpc-status").unwrap(), "0");
                }
            })
        });
        for sender in senders.collect::<Vec<_>>() {
            sender.await.unwrap();
        }
    });
}

fn main() {
    println!("{REQUESTS} requests of {BODY_BYTES} bytes, {SENDERS} connections");
    plain_recv();
    for _ in 0..2 {
        measured("OTLP over HTTP", false, send_http);
        measured("OTLP over gRPC", true, send_grpc);
    }
}
