//! Receivers on free ports, before a core that keeps what it is handed.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use siltstone_catalog::time::Clock;
use siltstone_format::tenant::Tenant;
use siltstone_ingest::budget::Budget;
use siltstone_ingest::export::{Accept, Accepted, Admission, Export, Refused};
use siltstone_ingest::metrics::Metrics;
use siltstone_ingest::receive::connections::{Answer, Bounds, Stop, serve};
use siltstone_ingest::receive::otlp::grpc::GrpcReceiver;
use siltstone_ingest::receive::otlp::http::HttpReceiver;
use siltstone_ingest::receive::otlp::{Otlp, Settings};
use siltstone_testkit::VirtualClock;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

pub(crate) const MEMORY_BYTES: usize = 1 << 20;
pub(crate) const REQUEST_BYTES: usize = 200 << 10;
pub(crate) const UNCOMPRESSED_BYTES: usize = 400 << 10;

pub(crate) struct TestClock(VirtualClock);

impl Clock for TestClock {
    fn wall_millis(&self) -> u64 {
        self.0.now() / 1_000_000
    }

    fn elapsed(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.0.sleep(duration))
    }
}

pub(crate) struct Core {
    pub(crate) budget: Budget,
    pub(crate) exports: Mutex<Vec<Export>>,
    /// Instead of taking a request.
    pub(crate) outcome: Mutex<Option<Result<Accepted, Refused>>>,
    /// One permit lets one request through.
    pub(crate) gate: Semaphore,
    pub(crate) waiting: Semaphore,
}

#[async_trait]
impl Accept for Core {
    async fn admit(&self, _tenant: &Tenant, bytes: usize) -> Result<Admission, Refused> {
        let memory = self.budget.reserve(bytes * 2, Duration::ZERO).await?;
        Ok(Admission::new(memory))
    }

    async fn accept(&self, export: Export, admission: Admission) -> Result<Accepted, Refused> {
        assert!(export.body.len() <= admission.body_bytes().max(1), "more is held than was admitted");
        self.waiting.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
        if let Some(outcome) = self.outcome.lock().unwrap().clone() {
            return outcome;
        }
        let request = ExportTraceServiceRequest::decode(export.body.clone())
            .map_err(|error| Refused::Malformed(error.to_string()))?;
        let spans = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        let spans = spans.map(|scope| scope.spans.len() as u64).sum();
        self.exports.lock().unwrap().push(export);
        Ok(Accepted { spans, ..Accepted::default() })
    }
}

pub(crate) struct Receivers {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) core: Arc<Core>,
    pub(crate) clock: VirtualClock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) stop: Stop,
    pub(crate) grpc_receiver: Arc<GrpcReceiver>,
    pub(crate) ports: Vec<JoinHandle<()>>,
}

pub(crate) fn settings() -> Settings {
    Settings { request_bytes: REQUEST_BYTES, uncompressed_bytes: UNCOMPRESSED_BYTES, ..Settings::default() }
}

impl Receivers {
    pub(crate) async fn start() -> Self {
        Self::with(settings(), 64).await
    }

    pub(crate) async fn with(settings: Settings, connections: usize) -> Self {
        let clock = VirtualClock::starting_at(1_800_000_000_000_000_000);
        let shared_clock: Arc<dyn Clock> = Arc::new(TestClock(clock.clone()));
        let core = Arc::new(Core {
            budget: Budget::new(MEMORY_BYTES, Arc::clone(&shared_clock)),
            exports: Mutex::default(),
            outcome: Mutex::default(),
            gate: Semaphore::new(1_000),
            waiting: Semaphore::new(0),
        });
        let metrics = Arc::new(Metrics::default());
        let otlp = Arc::new(Otlp {
            accept: Arc::clone(&core) as _,
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&shared_clock),
            settings,
        });
        let grpc_receiver = Arc::new(GrpcReceiver::new(Arc::clone(&otlp)).await);
        let stop = Stop::default();
        let bounds = Bounds { connections, idle: Duration::from_secs(120) };
        let (http, http_port) = port(Arc::new(HttpReceiver::new(otlp)), bounds, &shared_clock, &stop).await;
        let (grpc, grpc_port) = port(Arc::clone(&grpc_receiver), bounds, &shared_clock, &stop).await;
        Self { http, grpc, core, clock, metrics, stop, grpc_receiver, ports: vec![http_port, grpc_port] }
    }

    /// The bodies that were taken.
    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        self.core.exports.lock().unwrap().iter().map(|export| export.body.to_vec()).collect()
    }

    pub(crate) fn answer_with(&self, outcome: Result<Accepted, Refused>) {
        *self.core.outcome.lock().unwrap() = Some(outcome);
    }

    /// Lets no request through until permits are added to the gate.
    pub(crate) fn close_gate(&self) {
        self.core.gate.forget_permits(usize::MAX >> 4);
    }

    /// Returns once a request has got as far as the core.
    pub(crate) async fn request_waits(&self) {
        self.core.waiting.acquire().await.unwrap().forget();
    }

    pub(crate) fn metric(&self, line: &str) -> u64 {
        let mut text = String::new();
        self.metrics.render(&mut text);
        let found = text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("no {line} in {text}"))
    }

    /// Moves time on once somebody waits for it.
    pub(crate) async fn pass(&self, time: Duration) {
        let sleeps_until = self.clock.monotonic() + time;
        while self.clock.next_deadline().is_none_or(|deadline| deadline > sleeps_until) {
            tokio::task::yield_now().await;
        }
        self.clock.advance(time);
    }
}

async fn port<A: Answer>(
    answer: Arc<A>,
    bounds: Bounds,
    clock: &Arc<dyn Clock>,
    stop: &Stop,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, tokio::spawn(serve(listener, answer, bounds, Arc::clone(clock), stop.clone())))
}

/// A request of so many spans.
pub(crate) fn request(spans: usize) -> ExportTraceServiceRequest {
    let span = |index: usize| Span {
        trace_id: vec![7; 16],
        span_id: (index as u64 + 1).to_be_bytes().to_vec(),
        name: format!("GET /products/{index}"),
        start_time_unix_nano: 1_800_000_000_000_000_000,
        end_time_unix_nano: 1_800_000_000_000_100_000,
        ..Span::default()
    };
    let scope = ScopeSpans { spans: (0..spans).map(span).collect(), ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 1).unwrap()
}

pub(crate) fn compressed(encoding: &str, bytes: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => gzip(bytes),
        "zstd" => zstd(bytes),
        _ => bytes.to_vec(),
    }
}
